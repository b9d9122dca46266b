//! One JSON object a line.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest frame in bytes, newline included: a container's specification is a few KiB, a burst of log lines 64 KiB;
/// a peer that sends more is broken and is cut off.
pub const FRAME_MAX: usize = 1 << 20;

/// A message and the request it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame<T> {
    /// `{"command": …, "data": …}`.
    #[serde(flatten)]
    pub message: T,
    /// Chosen by the client, repeated by the reply; absent on events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

/// Why a frame was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_MAX`].
    #[error("frame of {0} bytes is longer than {FRAME_MAX}")]
    TooLong(usize),
    /// Not one of the messages of this protocol.
    #[error("frame is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// What a server answers when it did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// One sentence that names the thing and says what to do.
    pub sentence: String,
    /// Whether trying the same again later can succeed.
    pub transient: bool,
}

/// A frame as its line, newline included.
pub fn encode<T: Serialize>(frame: &Frame<T>) -> Result<Vec<u8>, FrameError> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    if line.len() > FRAME_MAX {
        Err(FrameError::TooLong(line.len()))
    } else {
        Ok(line)
    }
}

/// A line, with or without its newline, as a frame.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<Frame<T>, FrameError> {
    if line.len() > FRAME_MAX {
        return Err(FrameError::TooLong(line.len()));
    }
    Ok(serde_json::from_slice(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardian::Command;

    #[test]
    fn a_frame_is_one_json_object_with_command_and_data() {
        let line = encode(&Frame {
            message: Command::Observe {},
            id: Some(7),
        })
        .unwrap();
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            "{\"command\":\"observe\",\"data\":{},\"id\":7}\n"
        );
        assert_eq!(decode::<Command>(&line).unwrap().id, Some(7));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bad in [
            &b"{}"[..],
            b"[]",
            b"{\"command\":\"format-disk\",\"data\":{}}",
            b"\xff",
        ] {
            assert!(decode::<Command>(bad).is_err());
        }
        assert!(matches!(
            decode::<Command>(&vec![b' '; FRAME_MAX + 1]),
            Err(FrameError::TooLong(_))
        ));
    }
}
