//! A bundle from a stick. umec-stick reads it: edged has no device and parses no file system.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use edged_console::{ErrorKind, PlatformError};
use edged_protocol::decode;
use edged_protocol::stick::{LINE_MAX, Reply};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;

use super::intake::{CHUNK, Source};

/// Longest wait for what is on the stick: the first folder of the slowest one is read in a second or two, and the kernel
/// gives a device that does not answer up after thirty seconds, more than once.
const PATIENCE: Duration = Duration::from_secs(120);

/// The bytes of the one bundle that is plugged in.
#[derive(Debug)]
pub(super) struct Stick {
    /// Its name there.
    pub name: String,
    size: u64,
    left: u64,
    stream: BufReader<UnixStream>,
}

/// Asks what is on the stick.
pub(super) async fn open(socket: &Path) -> Result<Stick, PlatformError> {
    let away = |error: &dyn std::fmt::Display| {
        let what = format!("umec-stick, which reads sticks, is not to be reached: {error}");
        PlatformError::new(ErrorKind::Unavailable, what)
            .with_hint("send the bundle on standard input, or reboot and try again")
    };
    let asked = async {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        let mut line = Vec::new();
        (&mut stream)
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .await?;
        std::io::Result::Ok((stream, line))
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    let asked = asked.map_err(|_| away(&format!("no answer in {PATIENCE:?}")))?;
    let (stream, line) = asked.map_err(|error| away(&error))?;
    match decode::<Reply>(&line)
        .map_err(|error| away(&error))?
        .message
    {
        Reply::Bundle { name, size } => Ok(Stick {
            name,
            size,
            left: size,
            stream,
        }),
        Reply::Refused(refusal) => Err(PlatformError::new(ErrorKind::NotFound, refusal.sentence)),
    }
}

impl Source for Stick {
    async fn next(&mut self) -> Result<Bytes, String> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = self.stream.read_buf(&mut chunk).await;
        let read = u64::try_from(read.map_err(|error| error.to_string())?).unwrap_or(u64::MAX);
        if read == 0 && self.left > 0 {
            return Err(format!(
                "the stick gave {} of {} bytes; was it pulled out?",
                self.size - self.left,
                self.size
            ));
        }
        self.left = self.left.saturating_sub(read);
        Ok(chunk.freeze())
    }
}
