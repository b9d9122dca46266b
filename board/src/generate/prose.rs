//! Descriptions as documentation comments.

/// The width of a line of comments, as everywhere in this repository.
const WIDTH: usize = 116;

/// Names that are words, although they look like names of code.
const WORDS: [&str; 8] = [
    "URIs",
    "URLs",
    "IDs",
    "WebSocket",
    "WebSockets",
    "OAuth",
    "IPv4",
    "IPv6",
];

/// `text` as a documentation comment, wrapped, with what looks like code marked as code.
pub fn comment(mark: &str, indent: usize, text: &str) -> String {
    let margin = " ".repeat(indent);
    let mut lines = String::new();
    for paragraph in text.split('\n') {
        if !lines.is_empty() {
            lines += &format!("{margin}{mark}\n");
        }
        let mut line = format!("{margin}{mark}");
        for word in marked(paragraph) {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines += &line;
                lines.push('\n');
                line = format!("{margin}{mark}");
            }
            line.push(' ');
            line += &word;
        }
        lines += &line;
        lines.push('\n');
    }
    lines
}

/// The words of a text; what is in backquotes is one word, and what looks like code gets them.
fn marked(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        let quotes = word.matches('`').count();
        match words.last_mut() {
            Some(last) if open => {
                last.push(' ');
                last.push_str(word);
            }
            _ if quotes > 0 => words.push(word.to_owned()),
            _ => words.push(ticked(word)),
        }
        open ^= quotes % 2 == 1;
    }
    words
}

fn ticked(word: &str) -> String {
    let is_edge = |c: char| "()[],.;:'\"".contains(c);
    let core = word.trim_matches(is_edge);
    if core.is_empty() || WORDS.contains(&core) || !looks_like_code(core) {
        return word.to_owned();
    }
    let begin = word.find(core).unwrap_or_default();
    let (before, rest) = word.split_at(begin);
    let after = rest.strip_prefix(core).unwrap_or_default();
    format!("{before}`{core}`{after}")
}

/// What the lint `doc_markdown` takes for code, and addresses.
fn looks_like_code(word: &str) -> bool {
    let uppers = word.chars().skip(1).filter(|c| c.is_uppercase()).count();
    let lowers = word.chars().filter(|c| c.is_lowercase()).count();
    word.contains('_')
        || word.contains("::")
        || word.contains("://")
        || word.contains('/') && word.contains('=')
        || uppers > 0 && lowers > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_marked_and_words_are_not() {
        let line = comment(
            "///",
            0,
            "Set transportId (not MQTT_URL), as OAuth or `a b` says.",
        );
        assert_eq!(
            line,
            "/// Set `transportId` (not `MQTT_URL`), as OAuth or `a b` says.\n"
        );
    }

    #[test]
    fn long_lines_are_wrapped() {
        let text = comment("///", 4, &"word ".repeat(40));
        assert!(text.lines().count() > 1);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("    /// "))
        );
    }
}
