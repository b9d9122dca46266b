//! Reading an entry and checking it on the way.

use std::io::{self, BufReader, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::headers::{Entry, Method};
use super::region::{Region, RegionReader};
use crate::error::PackageError;
use crate::hash::{Algorithm, Hash, Hasher};

/// Bytes that one pass over a file moves at a time.
const CHUNK: usize = 64 << 10;

#[derive(Debug)]
enum Source {
    Stored(RegionReader),
    Deflated(Box<DeflateDecoder<BufReader<RegionReader>>>),
}

/// A file of a package, verified while it is read.
///
/// Size, checksum and digest are compared when the last byte has been given: a reader that stops before has no proof,
/// and [`finish`](Self::finish) gets it for him. An error carries a [`PackageError`] inside.
#[derive(Debug)]
pub struct VerifiedReader {
    source: Source,
    file: String,
    packed: u64,
    size: u64,
    crc_listed: u32,
    given: u64,
    crc: Crc,
    digest: Option<(Hasher, Algorithm)>,
    expected: Option<(Hash, String)>,
    found: Option<Hash>,
    ended: bool,
}

impl VerifiedReader {
    pub(crate) fn new(archive: &Region, entry: &Entry) -> Result<Self, PackageError> {
        let region = entry.region(archive).ok_or_else(|| {
            PackageError::archive(
                &entry.name,
                "this entry is cut short; send the whole file again",
            )
        })?;
        let source = match entry.method {
            Method::Stored => Source::Stored(region.reader()),
            Method::Deflated => Source::Deflated(Box::new(DeflateDecoder::new(
                BufReader::with_capacity(CHUNK, region.reader()),
            ))),
        };
        Ok(Self {
            source,
            file: entry.name.clone(),
            packed: entry.packed,
            size: entry.size,
            crc_listed: entry.crc,
            given: 0,
            crc: Crc::new(),
            digest: None,
            expected: None,
            found: None,
            ended: false,
        })
    }

    /// The same reader, that also computes a digest.
    pub(crate) fn hashing(mut self, algorithm: Algorithm) -> Self {
        self.digest = Some((algorithm.begin(), algorithm));
        self
    }

    /// The same reader, that also compares the digest with what somebody promised.
    pub(crate) fn expecting(mut self, hash: Hash, promised_by: &str) -> Self {
        self.digest = Some((hash.algorithm.begin(), hash.algorithm));
        self.expected = Some((hash, promised_by.to_owned()));
        self
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads what is left and says whether the whole file was what it has to be.
    ///
    /// # Errors
    /// As reading does.
    pub fn finish(mut self) -> Result<(), PackageError> {
        self.drain()
    }

    fn drain(&mut self) -> Result<(), PackageError> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PackageError::read(&self.file, error)),
            }
        }
    }

    /// The digest that [`hashing`](Self::hashing) asked for, after reading all there is.
    pub(crate) fn digest(mut self) -> Result<Option<Hash>, PackageError> {
        self.drain()?;
        Ok(self.found)
    }

    pub(crate) fn into_bytes(mut self) -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(PackageError::read(&self.file, error)),
        }
    }

    fn refuse(&self, reason: &str) -> io::Error {
        PackageError::archive(&self.file, reason).into()
    }

    fn end(&mut self) -> io::Result<()> {
        self.ended = true;
        if self.given != self.size {
            return Err(self.refuse("it ends before its listed size; send the whole file again"));
        }
        if let Source::Deflated(decoder) = &self.source
            && decoder.total_in() != self.packed
        {
            return Err(self.refuse("bytes hide behind its compressed data; pack it again"));
        }
        if self.crc.sum() != self.crc_listed {
            return Err(self.refuse("its checksum (CRC-32) is wrong; send the whole file again"));
        }
        let Some((hasher, algorithm)) = self.digest.take() else {
            return Ok(());
        };
        let found = hasher.finish(algorithm);
        if let Some((expected, promised_by)) = &self.expected
            && *expected != found
        {
            return Err(PackageError::Digest {
                file: self.file.clone(),
                promised_by: promised_by.clone(),
                algorithm,
                expected: expected.hex.clone(),
                found: found.hex,
            }
            .into());
        }
        self.found = Some(found);
        Ok(())
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        let count = match &mut self.source {
            Source::Stored(reader) => reader.read(buffer)?,
            Source::Deflated(decoder) => {
                decoder.read(buffer).map_err(|error| match error.kind() {
                    // Inflate says "corrupt" so, and only so.
                    io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::UnexpectedEof => PackageError::archive(
                        &self.file,
                        "its compressed data is damaged; send the whole file again",
                    )
                    .into(),
                    _ => error,
                })?
            }
        };
        if count == 0 {
            self.end()?;
            return Ok(0);
        }
        let given = buffer.get(..count).unwrap_or_default();
        self.given = self
            .given
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.given > self.size {
            return Err(self.refuse("it is larger than its listed size; pack it again"));
        }
        self.crc.update(given);
        if let Some((hasher, _)) = &mut self.digest {
            hasher.feed(given);
        }
        Ok(count)
    }
}
