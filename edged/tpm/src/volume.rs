//! The volume that a box keeps its data on: a mark of it that only the platform writes.
//!
//! Whoever has the disk can put another volume onto it, and seal a key of his own to the TPM, whose public half is no
//! secret. The mark is written over and never removed, so there is no moment in which a box that has one has none.

use std::io::{Read, Write};

use crate::{Attributes, Command, Tpm, TpmError};

/// Beside the counter's.
const INDEX: u32 = 0x0141_0003;
/// Half as much again as is said of a volume today, and a quarter of what the reference TPM writes at once
/// (`MAX_NV_BUFFER_SIZE`).
const SIZE: usize = 256;

/// What a volume is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; SIZE]);

impl Mark {
    /// Of these words; `None` where they are too long.
    pub fn of(words: &str) -> Option<Self> {
        let mut mark = [0; SIZE];
        let place = mark.get_mut(..words.len())?;
        place.copy_from_slice(words.as_bytes());
        Some(Self(mark))
    }
}

/// The box's volume.
#[derive(Debug)]
pub struct Volume<'a, D>(pub &'a mut Tpm<D>);

impl<D: Read + Write> Volume<'_, D> {
    /// What it is known by, where one was ever remembered.
    ///
    /// # Errors
    /// The TPM's.
    pub fn known(&mut self) -> Result<Option<Mark>, TpmError> {
        Ok(self.0.read(INDEX)?.map(Mark))
    }

    /// From here on it is known by this. For PID 1, while the platform is its own.
    ///
    /// # Errors
    /// The TPM's.
    pub fn remember(&mut self, mark: &Mark) -> Result<(), TpmError> {
        let write = Command::write(INDEX, &mark.0);
        match self.0.run(&write) {
            Err(error) if error.is_missing() => {}
            done => return done.map(drop),
        }
        let size = u16::try_from(SIZE).unwrap_or(u16::MAX);
        self.0
            .run(&Command::define(INDEX, Attributes::Platform, size, &[]))?;
        self.0.run(&write).map(drop)
    }
}
