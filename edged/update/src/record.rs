//! A value that is written in turn into two blocks of one file, in place.
//!
//! Both blocks are there from the first day, so it can be written where the partition is full; and a write that is cut
//! off leaves the other block, which holds the value before.

use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Hash;

/// Bytes of a block: room for what a box with more than a thousand applications was like.
const BLOCK: usize = 128 << 10;
/// What a block begins with.
const MAGIC: &[u8; 8] = b"UMECREC1";
/// Magic, number, length, SHA-256 of what follows the digest together with number and length.
const HEAD: usize = 8 + 8 + 4 + 32;

/// A value in a file.
#[derive(Debug)]
pub struct Record<T> {
    file: File,
    number: u64,
    value: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Record<T> {
    /// Opens the file, or makes it, and reads the newest value that is whole.
    ///
    /// # Errors
    /// The file cannot be read, or there is no room to make it.
    pub fn open(path: &Path) -> io::Result<(Self, Option<T>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let whole = u64::try_from(2 * BLOCK).map_err(io::Error::other)?;
        if file.metadata()?.len() < whole {
            // Written, not only made longer: what is a hole needs room later.
            file.write_all_at(&vec![0; 2 * BLOCK], 0)?;
            file.sync_all()?;
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        let mut newest = None;
        for index in 0..2 {
            let mut block = vec![0; BLOCK];
            file.read_exact_at(&mut block, index * whole / 2)?;
            let found = decode::<T>(&block);
            if let Some((number, value)) = found
                && newest.as_ref().is_none_or(|(newest, _)| number > *newest)
            {
                newest = Some((number, value));
            }
        }
        let (number, value) = newest.map_or((0, None), |(number, value)| (number, Some(value)));
        let record = Self {
            file,
            number,
            value: PhantomData,
        };
        Ok((record, value))
    }

    /// Writes a value; it is durable when this returns.
    ///
    /// # Errors
    /// It does not fit, or the medium does not take it.
    pub fn write(&mut self, value: &T) -> io::Result<()> {
        let number = self.number + 1;
        let block = encode(number, value)?;
        let half = u64::try_from(BLOCK).map_err(io::Error::other)?;
        self.file.write_all_at(&block, number % 2 * half)?;
        self.file.sync_data()?;
        self.number = number;
        Ok(())
    }
}

fn encode<T: Serialize>(number: u64, value: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    if json.len() > BLOCK - HEAD {
        return Err(io::Error::other(format!(
            "the record of the update has {} bytes, and there is room for {}",
            json.len(),
            BLOCK - HEAD
        )));
    }
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let digest = digest(&number.to_le_bytes(), &json);
    Ok([
        MAGIC.as_slice(),
        &number.to_le_bytes(),
        &length.to_le_bytes(),
        digest.as_bytes(),
        &json,
    ]
    .concat())
}

fn digest(number: &[u8], json: &[u8]) -> Hash {
    Hash::of(&[number, json].concat())
}

fn decode<T: DeserializeOwned>(block: &[u8]) -> Option<(u64, T)> {
    let rest = block.strip_prefix(MAGIC)?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (wanted, rest) = rest.split_first_chunk::<32>()?;
    let json = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if digest(number, json).as_bytes() != wanted {
        return None;
    }
    Some((
        u64::from_le_bytes(*number),
        serde_json::from_slice(json).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Record<Vec<String>>;

    fn words(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn the_newest_value_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut record, none) = Words::open(&path).unwrap();
        assert_eq!(none, None);
        for text in ["one", "two", "three"] {
            record.write(&words(text)).unwrap();
            assert_eq!(Words::open(&path).unwrap().1, Some(words(text)));
        }
    }

    #[test]
    fn a_write_that_is_cut_off_leaves_the_value_before_or_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut record, _) = Words::open(&path).unwrap();
        record.write(&words("one")).unwrap();
        record.write(&words("two")).unwrap();
        let before = std::fs::read(&path).unwrap();
        record.write(&words("three")).unwrap();
        let after = std::fs::read(&path).unwrap();
        let changed: Vec<usize> = (0..after.len())
            .filter(|at| before[*at] != after[*at])
            .collect();
        assert!(!changed.is_empty());
        for cut in &changed {
            let torn = [&after[..*cut], &before[*cut..]].concat();
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(Words::open(&path).unwrap().1, Some(words("two")), "{cut}");
        }
    }

    #[test]
    fn the_file_never_grows_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut record, _) = Words::open(&path).unwrap();
        let made = std::fs::metadata(&path).unwrap().len();
        for _ in 0..5 {
            record.write(&words(&"x".repeat(50_000))).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), made);
        assert!(record.write(&words(&"x".repeat(BLOCK))).is_err());
    }
}
