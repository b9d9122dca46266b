//! Writing a ZIP that is the same, bit for bit, for the same content: one time for all, no attributes of the machine.

use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::Crc;

/// 1 January 1980, midnight: the first moment that ZIP knows.
const DATE: u16 = 0x0021;
/// 2.0: folders and deflate.
const VERSION: u16 = 20;
/// Unix as the maker, so that attributes mean something.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// A plain file, readable by all, writable by its owner.
const ATTRIBUTES: u32 = 0o100_644 << 16;
const CHUNK: usize = 64 << 10;

struct Written {
    name: String,
    crc: u32,
    size: u32,
    local: u32,
}

/// Writes files as they are: images are compressed inside, and a signature over stored bytes stays readable by eye.
pub(crate) struct Writer<W> {
    out: W,
    at: u32,
    files: Vec<Written>,
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "a package stays below 4 GiB; make the image smaller",
    )
}

impl<W: Write + Seek> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            at: 0,
            files: Vec::new(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        self.at = self.at.checked_add(count).ok_or_else(too_large)?;
        self.out.write_all(bytes)
    }

    fn header(file: &Written) -> io::Result<Vec<u8>> {
        let name_len = u16::try_from(file.name.len()).map_err(|_| too_large())?;
        let mut header = Vec::new();
        for half in [VERSION, 0, 0, 0, DATE] {
            header.extend(half.to_le_bytes());
        }
        for word in [file.crc, file.size, file.size] {
            header.extend(word.to_le_bytes());
        }
        header.extend(name_len.to_le_bytes());
        header.extend(0_u16.to_le_bytes());
        Ok(header)
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, mut content: impl Read) -> io::Result<()> {
        let mut file = Written {
            name: name.to_owned(),
            crc: 0,
            size: 0,
            local: self.at,
        };
        self.put(b"PK\x03\x04")?;
        let blank = Self::header(&file)?;
        self.put(&blank)?;
        self.put(name.as_bytes())?;
        let data = self.at;
        let mut crc = Crc::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = match content.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = chunk.get(..count).unwrap_or_default();
            crc.update(bytes);
            self.put(bytes)?;
        }
        file.crc = crc.sum();
        file.size = self.at.saturating_sub(data);
        self.out.seek(SeekFrom::Start(u64::from(file.local) + 4))?;
        self.out.write_all(&Self::header(&file)?)?;
        self.out.seek(SeekFrom::Start(u64::from(self.at)))?;
        self.files.push(file);
        Ok(())
    }

    /// Writes the directory.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let start = self.at;
        for file in std::mem::take(&mut self.files) {
            self.put(b"PK\x01\x02")?;
            self.put(&MADE_BY.to_le_bytes())?;
            let header = Self::header(&file)?;
            self.put(&header)?;
            // Comment, disk, internal attributes.
            self.put(&[0; 6])?;
            self.put(&ATTRIBUTES.to_le_bytes())?;
            self.put(&file.local.to_le_bytes())?;
            self.put(file.name.as_bytes())?;
            self.files.push(file);
        }
        let len = self.at.saturating_sub(start);
        let count = u16::try_from(self.files.len()).map_err(|_| too_large())?;
        self.put(b"PK\x05\x06\0\0\0\0")?;
        self.put(&count.to_le_bytes())?;
        self.put(&count.to_le_bytes())?;
        self.put(&len.to_le_bytes())?;
        self.put(&start.to_le_bytes())?;
        self.put(&[0; 2])?;
        self.out.flush()?;
        Ok(self.out)
    }
}
