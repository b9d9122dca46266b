//! The lowest release that starts on a box: a counter that nobody can lower.
//!
//! A counter of a TPM begins where the highest one it ever had ended, so a second index holds where this one began: the
//! floor is what was counted since, beginning with the release that the box was made with.
//!
//! Whoever has the disk can have the pair made anew, by wiping the counter's password, and can cut the power meanwhile: a
//! third index holds the floor until the new pair is whole. Beside a whole pair it says nothing.

use std::io::{Read, Write};

use crate::{Attributes, Command, Tpm, TpmError};

/// Our indexes, among those that an owner may use as he likes (TCG, registry of reserved TPM 2.0 handles, 2.2.2).
const COUNTER: u32 = 0x0141_0000;
const BASE: u32 = 0x0141_0001;
const NEXT: u32 = 0x0141_0002;
/// Bytes of each.
const SIZE: u16 = 8;
/// Most steps of one raise: each is a write to the TPM's own flash, of some 20 ms.
pub const STEPS: u64 = 1000;

/// The lowest release that starts; `None` where nothing was counted yet.
pub type Floor = Option<u64>;

/// The box's counter.
#[derive(Debug)]
pub struct Counter<'a, D>(pub &'a mut Tpm<D>);

impl<D: Read + Write> Counter<'_, D> {
    /// The floor.
    ///
    /// # Errors
    /// The TPM's, other than that there is no counter.
    pub fn floor(&mut self) -> Result<Floor, TpmError> {
        match self.counted()? {
            None => self.read(NEXT),
            some => Ok(some),
        }
    }

    /// What the pair says; `None` where it is not whole, so that it has to be made before it can be raised.
    ///
    /// # Errors
    /// The TPM's, other than that there is no counter.
    pub fn counted(&mut self) -> Result<Floor, TpmError> {
        Ok(match (self.read(COUNTER)?, self.read(BASE)?) {
            (Some(counter), Some(base)) => Some(counter.wrapping_sub(base)),
            _ => None,
        })
    }

    fn read(&mut self, index: u32) -> Result<Option<u64>, TpmError> {
        let value: Option<[u8; 8]> = self.0.read(index)?;
        Ok(value.map(u64::from_be_bytes))
    }

    fn define(
        &mut self,
        index: u32,
        attributes: Attributes,
        password: &[u8],
    ) -> Result<(), TpmError> {
        let define = Command::define(index, attributes, SIZE, password);
        self.0.run(&define).map(drop)
    }

    fn write(&mut self, index: u32, value: u64) -> Result<(), TpmError> {
        let write = Command::write(index, &value.to_be_bytes());
        self.0.run(&write).map(drop)
    }

    /// Makes the counter anew, with this floor. For PID 1, while the platform is its own. Cut anywhere, the floor is the one
    /// from before or this one.
    ///
    /// # Errors
    /// The TPM's.
    pub fn make(&mut self, floor: u64, password: &[u8]) -> Result<(), TpmError> {
        // A pair that is not whole says nothing any more: what holds the floor for it stays as it is.
        if self.counted()?.is_some() || self.read(NEXT)?.is_none() {
            self.remove(NEXT)?;
            self.define(NEXT, Attributes::Once, &[])?;
            self.write(NEXT, floor)?;
        }
        self.remove(COUNTER)?;
        self.remove(BASE)?;
        self.define(COUNTER, Attributes::Counter, password)?;
        // It has no value before it was raised once.
        self.0.run(&Command::increment(COUNTER, password))?;
        let counter = self.read(COUNTER)?.ok_or(TpmError::Answer {
            what: "raise a counter",
        })?;
        self.define(BASE, Attributes::Once, &[])?;
        self.write(BASE, counter.wrapping_sub(floor))?;
        self.0.run(&Command::lock(BASE))?;
        self.remove(NEXT)
    }

    fn remove(&mut self, index: u32) -> Result<(), TpmError> {
        match self.0.run(&Command::undefine(index)) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// Raises the floor by at most [`STEPS`], never lowers it; what it is now.
    ///
    /// # Errors
    /// The TPM's; or there is no counter.
    pub fn raise(&mut self, to: u64, password: &[u8]) -> Result<u64, TpmError> {
        let mut floor = self.counted()?.ok_or(TpmError::NoCounter)?;
        let to = to.min(floor.saturating_add(STEPS));
        while floor < to {
            self.0.run(&Command::increment(COUNTER, password))?;
            floor += 1;
        }
        Ok(floor)
    }
}
