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

/// A JSON document in printable ASCII and its line ends, and the same document: what else JSON may have is in its
/// strings, where `\u009b` means the character.
pub fn printable_json(document: &str) -> String {
    let mut all = String::with_capacity(document.len());
    for one in document.chars() {
        match one {
            '\n' | ' '..='~' => all.push(one),
            _ => all.extend(
                one.encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}")),
            ),
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

    #[test]
    fn a_document_in_printable_ascii_says_the_same() {
        let text = "\u{1b}[2J\u{7f}\u{9b}1A\u{202e}\u{1f600} \"Öko\" \\ok\n";
        let document = serde_json::json!({"maker": [text], "\u{2028}": 1});
        let spelled = printable_json(&serde_json::to_string_pretty(&document).unwrap());
        let plain = |one: char| one == '\n' || one == ' ' || one.is_ascii_graphic();
        assert!(spelled.chars().all(plain), "{spelled:?}");
        assert!(spelled.contains(r"\u009b1A\u202e\ud83d\ude00"), "{spelled}");
        let again: serde_json::Value = serde_json::from_str(&spelled).unwrap();
        assert_eq!(again, document);
    }
}
