//! What a partition holds, from its first bytes (LUKS2 on-disk format specification, section 2.1, binary header).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The label of a volume that is whole.
pub const WHOLE: &str = "umec-data";
/// The label of one that is being made.
pub const MAKING: &str = "umec-making";
/// As far as we look before we call a partition empty: both binary headers and the JSON areas of the usual layout.
const LOOKED_AT: usize = 64 * 1024;
/// Of the first header and of the second.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// Places in the binary header: version, label, subsystem; the last two are 48 bytes, filled up with NUL.
const VERSION: std::ops::Range<usize> = 6..8;
const LABEL: std::ops::Range<usize> = 24..72;
const SUBSYSTEM: std::ops::Range<usize> = 208..256;

/// What the partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Zeros.
    Empty,
    /// A volume of ours whose making was cut short: nothing was ever kept in it.
    HalfMade,
    /// A volume of ours.
    Ready {
        /// Which PCRs it was sealed with, as [`super::seal::fingerprint`] writes it.
        sealed_with: String,
    },
    /// Something else.
    Foreign,
}

/// Looks at a device.
pub fn read(device: &Path) -> Result<State, String> {
    let mut head = vec![0_u8; LOOKED_AT];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut head, 0))
        .map_err(|error| format!("cannot read {}: {error}", device.display()))?;
    Ok(state(&head))
}

fn state(head: &[u8]) -> State {
    if head.iter().all(|byte| *byte == 0) {
        return State::Empty;
    }
    if !head.starts_with(MAGIC) || head.get(VERSION) != Some(&[0, 2]) {
        return State::Foreign;
    }
    match text(head, LABEL).as_str() {
        WHOLE => State::Ready {
            sealed_with: text(head, SUBSYSTEM),
        },
        MAKING => State::HalfMade,
        _ => State::Foreign,
    }
}

fn text(head: &[u8], range: std::ops::Range<usize>) -> String {
    let bytes = head.get(range).unwrap_or_default();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(label: &str) -> Vec<u8> {
        let mut head = vec![0; LOOKED_AT];
        head[..6].copy_from_slice(MAGIC);
        head[7] = 2;
        head[24..24 + label.len()].copy_from_slice(label.as_bytes());
        head[208..211].copy_from_slice(b"0=a");
        head
    }

    #[test]
    fn a_volume_is_whole_only_with_its_last_label() {
        assert_eq!(
            state(&header(WHOLE)),
            State::Ready {
                sealed_with: "0=a".to_owned()
            }
        );
        assert_eq!(state(&header(MAKING)), State::HalfMade);
    }

    #[test]
    fn only_zeros_are_overwritten() {
        assert_eq!(state(&vec![0; LOOKED_AT]), State::Empty);
        let mut one = vec![0; LOOKED_AT];
        one[LOOKED_AT - 1] = 1;
        assert_eq!(state(&one), State::Foreign);
        assert_eq!(state(&header("somebody's")), State::Foreign);
        let mut first_version = header(MAKING);
        first_version[7] = 1;
        assert_eq!(state(&first_version), State::Foreign);
    }
}
