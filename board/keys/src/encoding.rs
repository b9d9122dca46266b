//! PEM, as far as keys and certificates need it (RFC 7468).

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes of the one block with this label in a file.
pub(crate) fn pem(path: &Path, label: &str) -> anyhow::Result<Vec<u8>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let inside = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end));
    let Some((inside, _)) = inside else {
        bail!("{} holds no {label}", path.display());
    };
    let packed: String = inside.split_whitespace().collect();
    STANDARD
        .decode(packed)
        .with_context(|| format!("{} is not PEM", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_label() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(
            &path,
            "x\n-----BEGIN THING-----\nAQID\nBA==\n-----END THING-----\n",
        )
        .unwrap();
        assert_eq!(pem(&path, "THING").unwrap(), [1, 2, 3, 4]);
        assert!(pem(&path, "CERTIFICATE").is_err());
    }
}
