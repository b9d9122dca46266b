//! A part of a file (RFC 9110, 14.1.2), and files as bodies.

use std::io::{self, SeekFrom};
use std::path::Path;

use axum::body::{Body, Bytes};
use futures_util::stream;
use mec_api::Problem;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::folder::disk;

/// Bytes of a file that are in memory for one reader.
const CHUNK: usize = 64 << 10;

/// Which bytes of a file, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub first: u64,
    pub last: u64,
}

impl Part {
    /// What a Range header asks for of a file with `size` bytes. `None` is the whole file: for no header, for units and
    /// lists that are not served in parts (the header may be ignored), and for what cannot be read.
    ///
    /// # Errors
    /// 416 where the file has no such bytes.
    pub fn asked(header: Option<&str>, size: u64) -> Result<Option<Self>, Problem> {
        let Some((first, last)) = header
            .and_then(|header| header.strip_prefix("bytes="))
            .and_then(|range| range.split_once('-'))
        else {
            return Ok(None);
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // More digits than fit are beyond the end of every file.
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let end = size.saturating_sub(1);
        let part = match (number(first.trim()), number(last.trim())) {
            (Some(first), None) if last.trim().is_empty() => Self { first, last: end },
            (Some(first), Some(last)) if first <= last => Self {
                first,
                last: last.min(end),
            },
            (None, Some(count)) if first.trim().is_empty() => Self {
                first: if count == 0 {
                    size
                } else {
                    size.saturating_sub(count)
                },
                last: end,
            },
            _ => return Ok(None),
        };
        if part.first >= size {
            return Err(Problem::range_not_satisfiable(format!(
                "the package has {size} bytes, and none at {}",
                part.first
            )));
        }
        Ok(Some(part))
    }

    /// Its length.
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// The bytes of a file as a body, read while they are sent.
pub(super) async fn body(path: &Path, part: Part) -> Result<Body, Problem> {
    let opened = async {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(part.first)).await?;
        Ok(file.take(part.length()))
    };
    let file = opened.await.map_err(|error: io::Error| disk(&error))?;
    let chunks = stream::try_unfold(file, |mut file| async {
        let mut chunk = Vec::with_capacity(CHUNK);
        let count = (&mut file)
            .take(u64::try_from(CHUNK).unwrap_or(u64::MAX))
            .read_to_end(&mut chunk)
            .await?;
        Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(chunk), file)))
    });
    Ok(Body::from_stream(chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_first_and_last_or_a_tail() {
        for (header, found) in [
            ("bytes=0-9", Some((0, 9))),
            ("bytes=90-", Some((90, 99))),
            ("bytes=90-1000", Some((90, 99))),
            ("bytes=-10", Some((90, 99))),
            ("bytes=-1000", Some((0, 99))),
            ("lines=0-9", None),
            ("bytes=9-0", None),
            ("bytes=0-1,5-6", None),
            ("bytes=x-", None),
            ("bytes=-", None),
        ] {
            let part = Part::asked(Some(header), 100).unwrap();
            assert_eq!(part.map(|part| (part.first, part.last)), found, "{header}");
        }
        for header in ["bytes=100-", "bytes=999999999999999999999-", "bytes=-0"] {
            let problem = Part::asked(Some(header), 100).unwrap_err();
            assert_eq!(problem.status().as_u16(), 416, "{header}");
        }
        assert!(Part::asked(Some("bytes=0-"), 0).is_err());
    }
}
