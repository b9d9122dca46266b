//! One line into words and back, by the quoting rules of POSIX shells (XCU 2.2) without any expansion.

/// Why a line is not a list of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A `'` or `"` has no partner.
    #[error("a quote is not closed; write '…' or \"…\" around a value with spaces")]
    OpenQuote,
    /// The line ends with a backslash.
    #[error("the line ends with a backslash; write \\\\ for a backslash itself")]
    OpenEscape,
}

/// The words of a line.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    // None between words: an empty quoted word ('') is a word too.
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => {
                let escaped = chars.next().ok_or(SplitError::OpenEscape)?;
                word.get_or_insert_default().push(escaped);
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::OpenQuote)? {
                        '\'' => break,
                        char => word.push(char),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), SplitError> {
    loop {
        match chars.next().ok_or(SplitError::OpenQuote)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(SplitError::OpenEscape)? {
                special @ ('"' | '\\' | '$' | '`') => word.push(special),
                other => word.extend(['\\', other]),
            },
            char => word.push(char),
        }
    }
}

/// A line that [`split`] turns back into the same words.
pub fn quote<W: AsRef<str>>(words: &[W]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote_one(word.as_ref())).collect();
    quoted.join(" ")
}

fn quote_one(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%#".contains(c);
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_as_a_shell_splits_them() {
        for (line, words) in [
            ("", vec![]),
            ("  ps \t -o\njson ", vec!["ps", "-o", "json"]),
            ("a 'b c' \"d e\"", vec!["a", "b c", "d e"]),
            (r#"a\ b "\"x\" \n" 'a\b'"#, vec!["a b", r#""x" \n"#, r"a\b"]),
            ("-e K='v w'x ''", vec!["-e", "K=v wx", ""]),
            ("$HOME * ; | &", vec!["$HOME", "*", ";", "|", "&"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused() {
        assert_eq!(split("a 'b"), Err(SplitError::OpenQuote));
        assert_eq!(split("a \"b"), Err(SplitError::OpenQuote));
        assert_eq!(split("a \\"), Err(SplitError::OpenEscape));
    }

    #[test]
    fn quoted_words_come_back_as_they_were() {
        let words = [
            "run",
            "",
            "a b",
            "it's",
            "\"",
            "\\",
            "x\ny",
            "#c",
            "-e",
            "K=ü $x `y`",
        ];
        assert_eq!(split(&quote(&words)).unwrap(), words);
        assert_eq!(quote(&["run", "r.io/a:1"]), "run r.io/a:1");
    }
}
