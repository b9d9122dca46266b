//! How a layer's archive is packed, and the three ways to unpack the stream.

use std::fmt;
use std::io::BufRead;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

use crate::UnpackError;

/// `log2` of the largest zstd window: RFC 8878 asks decoders for 8 MiB, and more would not fit our 16 MiB of memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// `log2` of the deflate window gzip always has.
const GZIP_WINDOW_LOG: u8 = 15;

/// How a layer's blob is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A bare tar archive.
    None,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several, windows up to 8 MiB.
    Zstd,
}

impl Compression {
    /// What a manifest's media type says (OCI image specification, "layer"; Docker's manifest schema 2).
    ///
    /// # Errors
    /// [`UnpackError::UnknownMediaType`] for everything else, foreign (non-distributable) layers included.
    pub fn from_media_type(media_type: &str) -> Result<Self, UnpackError> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Self::Zstd),
            other => Err(UnpackError::UnknownMediaType {
                media_type: other.to_owned(),
            }),
        }
    }

    /// The bytes each member or frame begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Where a decoder stands between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing seen yet.
    Start,
    /// Inside a member or frame.
    Inside,
    /// After at least one whole member or frame: the stream may end here, or another one begin.
    Between,
}

enum Engine {
    Plain,
    Gzip(Decompress),
    Zstd(ZstdDecoder<'static>),
}

/// What one call of an engine did.
struct Step {
    read: usize,
    written: usize,
    ended: bool,
}

/// Inflates a stream of members or frames until its very end.
pub(crate) struct Inflater {
    engine: Engine,
    compression: Compression,
    place: Place,
}

impl Inflater {
    pub(crate) fn new(compression: Compression) -> Result<Self, UnpackError> {
        let engine = match compression {
            Compression::None => Engine::Plain,
            Compression::Gzip => Engine::Gzip(Decompress::new_gzip(GZIP_WINDOW_LOG)),
            Compression::Zstd => {
                Engine::Zstd(zstd_decoder().map_err(|e| damaged(compression, e.to_string()))?)
            }
        };
        Ok(Self {
            engine,
            compression,
            place: Place::Start,
        })
    }

    /// Fills `out` as far as the stream goes; less than all of it only at the stream's end.
    pub(crate) fn fill(
        &mut self,
        blob: &mut impl BufRead,
        out: &mut [u8],
    ) -> Result<usize, UnpackError> {
        let mut filled = 0;
        while let Some(room) = out.get_mut(filled..).filter(|room| !room.is_empty()) {
            let input = blob.fill_buf().map_err(from_io)?;
            if input.is_empty() && self.may_end() {
                break;
            }
            // An engine may hold output back after its last input: it is asked until it gives nothing.
            let step = self.step(input, room)?;
            blob.consume(step.read);
            filled = filled.saturating_add(step.written);
        }
        Ok(filled)
    }

    fn may_end(&self) -> bool {
        match self.place {
            Place::Between => true,
            Place::Start => self.compression == Compression::None,
            Place::Inside => false,
        }
    }

    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, UnpackError> {
        let compression = self.compression;
        if self.place == Place::Between
            && let Engine::Gzip(inflate) = &mut self.engine
        {
            *inflate = Decompress::new_gzip(GZIP_WINDOW_LOG);
        }
        let step = match &mut self.engine {
            Engine::Plain => plain(input, room),
            Engine::Gzip(inflate) => gzip(inflate, input, room),
            Engine::Zstd(decoder) => decoder
                .run_on_buffers(input, room)
                .map(|status| Step {
                    read: status.bytes_read,
                    written: status.bytes_written,
                    ended: status.remaining == 0,
                })
                .map_err(|e| e.to_string()),
        };
        let step = step.map_err(|reason| match self.place {
            Place::Between if !input.starts_with(compression.magic()) => {
                UnpackError::TrailingData { compression }
            }
            Place::Between | Place::Start | Place::Inside => damaged(compression, reason),
        })?;
        if step.read == 0 && step.written == 0 && !step.ended {
            return Err(UnpackError::Truncated { compression });
        }
        self.place = if step.ended {
            Place::Between
        } else {
            Place::Inside
        };
        Ok(step)
    }
}

fn zstd_decoder() -> std::io::Result<ZstdDecoder<'static>> {
    let mut decoder = ZstdDecoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
    Ok(decoder)
}

#[allow(clippy::unnecessary_wraps)] // one shape with the other engines
fn plain(input: &[u8], room: &mut [u8]) -> Result<Step, String> {
    let count = input.len().min(room.len());
    if let (Some(from), Some(to)) = (input.get(..count), room.get_mut(..count)) {
        to.copy_from_slice(from);
    }
    Ok(Step {
        read: count,
        written: count,
        ended: true,
    })
}

fn gzip(inflate: &mut Decompress, input: &[u8], room: &mut [u8]) -> Result<Step, String> {
    let (read_before, written_before) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, room, FlushDecompress::None)
        .map_err(|e| e.to_string())?;
    let count = |now: u64, before: u64| {
        usize::try_from(now.saturating_sub(before)).map_err(|e| e.to_string())
    };
    Ok(Step {
        read: count(inflate.total_in(), read_before)?,
        written: count(inflate.total_out(), written_before)?,
        ended: status == Status::StreamEnd,
    })
}

fn damaged(compression: Compression, reason: String) -> UnpackError {
    UnpackError::Damaged {
        compression,
        reason,
    }
}

/// [`Blob`](crate::blob::Blob) sends its own refusals through `io::Error`; everything else is the reader's failure.
fn from_io(error: std::io::Error) -> UnpackError {
    match error.downcast::<UnpackError>() {
        Ok(refusal) => refusal,
        Err(source) => UnpackError::ReadBlob { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_and_invented_media_types_are_refused() {
        for media_type in [
            "",
            "application/vnd.oci.image.layer.v1.tar+xz",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip; q=1",
        ] {
            assert!(
                matches!(
                    Compression::from_media_type(media_type),
                    Err(UnpackError::UnknownMediaType { .. })
                ),
                "{media_type:?} was taken"
            );
        }
    }
}
