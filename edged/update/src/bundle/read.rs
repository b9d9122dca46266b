//! A whole bundle in a file.

use std::io::{self, Read, Seek, SeekFrom, Take};

use super::{Intake, Manifest, Part, PartEntry, Schema, UpdateKey, image};
use crate::{Refusal, Release};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// What a bundle is judged by: facts of the box it comes to.
#[derive(Debug, Clone)]
pub struct Here {
    /// The board.
    pub board: String,
    /// The newest release that was confirmed here, by the running image, the record and the TPM's counter.
    pub release: Release,
    /// The key that updates are signed by.
    pub key: UpdateKey,
    /// Bytes that a slot holds.
    pub slot: u64,
    /// The key in PEM whose policy opens the data (`.pcrpkey` of the running image); none where no TPM seals it.
    pub policy_key: Option<String>,
    /// The database; none where nobody knows it.
    pub schema: Option<SchemaHere>,
}

/// The database of a box and the program that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaHere {
    /// The layout that the running program writes.
    pub program: u32,
    /// The oldest layout whose programs can read the database as it is.
    pub database: u32,
    /// Whether a release is taken after which there is no way back.
    pub no_way_back: bool,
}

impl SchemaHere {
    pub(crate) fn takes(self, bundle: Schema) -> Result<(), Refusal> {
        if bundle.writes < self.database {
            return Err(Refusal::OldSchema {
                bundle: bundle.writes,
                here: self.database,
            });
        }
        if bundle.reads > self.program && !self.no_way_back {
            return Err(Refusal::NoWayBack {
                reads: bundle.reads,
                here: self.program,
            });
        }
        Ok(())
    }
}

/// A bundle, all of it verified.
#[derive(Debug)]
pub struct Bundle<F> {
    file: F,
    manifest: Manifest,
    parts: u64,
}

impl<F: Read + Seek> Bundle<F> {
    /// Reads and verifies all of it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn open(mut file: F, here: &Here) -> Result<Self, Refusal> {
        let mut intake = Intake::new(here.clone());
        file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => intake.push(buffer.get(..length).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::arrived(file, intake, here)
    }

    /// The file that was written while it came.
    ///
    /// # Errors
    /// It is cut off, or the image in it is not for this box.
    pub fn arrived(file: F, intake: Intake, here: &Here) -> Result<Self, Refusal> {
        let length = intake.length().unwrap_or_default();
        let manifest = intake.finish()?;
        let mut bundle = Self {
            file,
            parts: length.saturating_sub(manifest.size()),
            manifest,
        };
        let manifest = bundle.manifest.clone();
        image::check(bundle.part(Part::Uki)?, &manifest, here)?;
        Ok(bundle)
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A part, from its first byte to its last.
    ///
    /// # Errors
    /// Seeking fails.
    pub fn part(&mut self, part: Part) -> io::Result<Take<&mut F>> {
        let before = self.manifest.parts.iter();
        let start = before
            .take_while(|entry| entry.name != part)
            .fold(self.parts, |at, entry| at.saturating_add(entry.size));
        let size = self
            .manifest
            .part(part)
            .map_or(0, |PartEntry { size, .. }| *size);
        self.file.seek(SeekFrom::Start(start))?;
        Ok((&mut self.file).take(size))
    }
}
