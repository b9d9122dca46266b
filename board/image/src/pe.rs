//! The parts of a PE/COFF file that a signature and the firmware look at (Microsoft's PE format).

use std::ops::Range;

use anyhow::{Context, bail};

/// Where the DOS header says where the PE header is.
const PE_POINTER: usize = 0x3c;
/// The signature and the COFF header, in front of the optional header.
const COFF: usize = 24;
/// The optional header of a 64-bit file.
const PE32_PLUS: u16 = 0x20b;
/// Places in it.
const HEADERS_SIZE: usize = 60;
const CHECKSUM: usize = 64;
const DIRECTORIES: usize = 112;
/// The certificate table's entry among the directories, and an entry's length.
const CERTIFICATES: usize = 4;
const DIRECTORY: usize = 8;
/// A section's header.
const SECTION: usize = 40;

/// A section of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Such as `.linux`.
    pub name: String,
    /// Where its bytes are in the file, with their padding.
    pub raw: Range<usize>,
    /// How many of them are its own.
    pub size: usize,
}

/// A 64-bit PE file, its header read.
#[derive(Debug, Clone)]
pub struct Pe<'a> {
    bytes: &'a [u8],
    /// Where the checksum is.
    pub checksum: usize,
    /// Where the directory entry of the certificate table is.
    pub directory: usize,
    /// The certificate table; empty when there is none.
    pub certificates: Range<usize>,
    /// Where the headers end.
    pub headers: usize,
    /// In the order of the file's table.
    pub sections: Vec<Section>,
}

/// A number in `bytes`, least byte first.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> anyhow::Result<[u8; N]> {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("it ends before byte {at}"))
}

fn half(bytes: &[u8], at: usize) -> anyhow::Result<u16> {
    Ok(u16::from_le_bytes(number(bytes, at)?))
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<usize> {
    Ok(usize::try_from(u32::from_le_bytes(number(bytes, at)?))?)
}

impl<'a> Pe<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// It is no 64-bit PE file, or one that is cut off.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        Self::read(bytes).context("this is not a whole 64-bit PE file")
    }

    fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let pe = word(bytes, PE_POINTER)?;
        if bytes.get(pe..pe + 4) != Some(b"PE\0\0") {
            bail!("it has no PE header");
        }
        let optional = pe + COFF;
        if half(bytes, optional)? != PE32_PLUS {
            bail!("it is not for 64 bits");
        }
        let directory = optional + DIRECTORIES + CERTIFICATES * DIRECTORY;
        let (start, length) = (word(bytes, directory)?, word(bytes, directory + 4)?);
        let certificates = start..start + length;
        if certificates.end > bytes.len() {
            bail!("its certificates lie beyond the end");
        }
        let table = optional + usize::from(half(bytes, pe + 20)?);
        let sections = (0..usize::from(half(bytes, pe + 6)?))
            .map(|index| section(bytes, table + index * SECTION))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            bytes,
            checksum: optional + CHECKSUM,
            directory,
            certificates,
            headers: word(bytes, optional + HEADERS_SIZE)?,
            sections,
        })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is in a section, without padding.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let bytes = self.bytes.get(section.raw.clone())?;
        Some(bytes.get(..section.size).unwrap_or(bytes))
    }
}

fn section(bytes: &[u8], at: usize) -> anyhow::Result<Section> {
    let name: [u8; 8] = number(bytes, at)?;
    let name = String::from_utf8_lossy(&name);
    let start = word(bytes, at + 20)?;
    let raw = start..start + word(bytes, at + 16)?;
    if raw.end > bytes.len() {
        bail!("a section lies beyond the end");
    }
    Ok(Section {
        name: name.trim_end_matches('\0').to_owned(),
        raw,
        size: word(bytes, at + 8)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PE file of 0x400 bytes with the sections `.one` (5 bytes) and `.two`.
    pub(crate) fn small() -> Vec<u8> {
        let mut file = vec![0u8; 0x400];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(PE_POINTER, &0x40u32.to_le_bytes());
        put(0x40, b"PE\0\0");
        put(0x46, &2u16.to_le_bytes());
        put(0x54, &0xf0u16.to_le_bytes());
        put(0x58, &PE32_PLUS.to_le_bytes());
        put(0x58 + HEADERS_SIZE, &0x200u32.to_le_bytes());
        for (index, (name, size, start)) in [(b".two", 256u32, 0x300u32), (b".one", 5, 0x200)]
            .into_iter()
            .enumerate()
        {
            let at = 0x148 + index * SECTION;
            put(at, name);
            put(at + 8, &size.to_le_bytes());
            put(at + 16, &0x100u32.to_le_bytes());
            put(at + 20, &start.to_le_bytes());
        }
        put(0x200, b"hello");
        file
    }

    #[test]
    fn a_section_is_found_without_its_padding() {
        let file = small();
        let pe = Pe::parse(&file).unwrap();
        assert_eq!(pe.section(".one"), Some(b"hello".as_slice()));
        assert_eq!(pe.section(".two").map(<[u8]>::len), Some(256));
        assert_eq!(pe.section(".three"), None);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused() {
        let file = small();
        for end in [0, 0x3d, 0x60, 0x160, 0x250] {
            assert!(Pe::parse(&file[..end]).is_err(), "{end}");
        }
    }
}
