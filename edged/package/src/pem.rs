//! Textual encodings (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Base64 characters a line.
const LINE: usize = 64;

/// A labelled piece of DER.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

/// All blocks of a text, in order; text between blocks is a remark. `None` when a block is damaged.
pub(crate) fn blocks(text: &str) -> Option<Vec<Block>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut base64 = String::new();
        loop {
            match lines.next()? {
                line if line == end => break,
                line => base64.push_str(line),
            }
        }
        found.push(Block {
            label: label.to_owned(),
            der: STANDARD.decode(base64).ok()?,
        });
    }
    Some(found)
}

/// One block as text, with a line feed at its end.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, left) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = left;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let bytes: Vec<u8> = (0..200).collect();
        let text = format!("remark\n{}{}", block("CMS", &bytes), block("X", &[]));
        let found = blocks(&text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].label.as_str(), &found[0].der), ("CMS", &bytes));
        assert!(blocks("-----BEGIN CMS-----\nAAAA\n").is_none());
        assert!(blocks("-----BEGIN CMS-----\n!\n-----END CMS-----\n").is_none());
    }
}
