//! What a box says of itself, before it comes to a terminal.

/// A text without the characters that do something there, or that nobody sees: written as in Rust (`\u{1b}`). The others
/// stay, also quotes and backslashes: this is for people to read, and is not read back.
pub fn printable(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '"' | '\'' | '\\' => all.push(one),
            _ => all.extend(one.escape_debug()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        let colour = "\u{1b}[2J\u{9b}1A\rok\n\u{202e}";
        let spelled = r"\u{1b}[2J\u{9b}1A\rok\n\u{202e}";
        assert_eq!(printable(colour), spelled);
        let plain = r#"{"release":1,"maker":"Öko \ 'Söhne'"}"#;
        assert_eq!(printable(plain), plain);
    }
}
