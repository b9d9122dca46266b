//! The few commands that a program without a TPM library gives to a TPM.
//!
//! For PID 1 and for umec-slot: what they need is handles, one password and fixed parameters, so there is one way to
//! build a command and one to read its answer (TPM 2.0 Library, part 1, 18, and part 3). Refuses: policies, objects and
//! sessions; edged has a library for those.

mod command;
mod counter;
mod volume;

use std::io::{Read, Write};
use std::time::Duration;

pub use command::{Attributes, Command, Hierarchy};
pub use counter::{Counter, Floor};
pub use volume::{Mark, Volume};

/// Longest answer to a command of ours: 14 bytes of head, the mark of a volume, and what follows a password.
const ANSWER: usize = 512;
/// Answers that mean "not now" (part 2, 6.6.3): `NV_RATE`, `LOCKOUT` is not among them, `RETRY`, `YIELDED`, `TESTING`.
const LATER: [u32; 4] = [0x920, 0x922, 0x908, 0x90a];
/// How often, and how long in between: TPMs that spare their flash ask for some hundred milliseconds.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// Format one, a handle that is wrong (part 2, 6.6.2): which of them stands in other bits.
const HANDLE: u32 = 0x08b;
const HANDLE_BITS: u32 = 0x0bf;
/// The same for a hierarchy that is switched off.
const CLOSED: u32 = 0x085;
/// `TPM_RC_NV_UNINITIALIZED`.
const UNWRITTEN: u32 = 0x14a;

/// Why a TPM did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The device's.
    #[error("the TPM cannot be asked to {what}: {source}")]
    Device {
        /// What was asked.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The TPM's own word.
    #[error("the TPM does not {what}: code {code:#x}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// `TPM_RC`.
        code: u32,
    },
    /// There is no counter to raise.
    #[error(
        "the box's TPM has no counter of releases; start the box once more, it is made early in a start"
    )]
    NoCounter,
    /// Not as the specification has it.
    #[error("the TPM's answer to `{what}` is not understood")]
    Answer {
        /// What was asked.
        what: &'static str,
    },
}

impl TpmError {
    /// Whether there is no such handle: an index that nobody has defined.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code & HANDLE_BITS == HANDLE)
    }

    /// Nobody speaks for this hierarchy any more.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code & HANDLE_BITS == CLOSED)
    }

    /// An index that is defined, and the power failed before it was written.
    fn is_unwritten(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == UNWRITTEN)
    }
}

/// A TPM behind a device such as `/dev/tpm0`: a write is a command, the read after it the answer.
#[derive(Debug)]
pub struct Tpm<D>(pub D);

impl<D: Read + Write> Tpm<D> {
    /// Gives a command; what the TPM returns beside success.
    ///
    /// # Errors
    /// The device's, or the TPM refuses.
    pub fn run(&mut self, command: &Command) -> Result<Vec<u8>, TpmError> {
        let what = command.what;
        for _ in 0..TRIES {
            let answer = self.exchange(command)?;
            match code(&answer) {
                Some(0) => return parameters(&answer).ok_or(TpmError::Answer { what }),
                Some(code) if LATER.contains(&code) => std::thread::sleep(PAUSE),
                Some(code) => return Err(TpmError::Refused { what, code }),
                None => return Err(TpmError::Answer { what }),
            }
        }
        Err(TpmError::Refused {
            what,
            code: LATER[0],
        })
    }

    /// What an index holds; `None` where there is none, or nothing was written to it. By the platform as long as that is
    /// open: its owner is edged, who could give the owner a password.
    fn read<const SIZE: usize>(&mut self, index: u32) -> Result<Option<[u8; SIZE]>, TpmError> {
        let size = u16::try_from(SIZE).unwrap_or(u16::MAX);
        let command = Command::read(Hierarchy::Platform, index, size);
        let answer = match self.run(&command) {
            Err(error) if error.is_closed() => {
                self.run(&Command::read(Hierarchy::Owner, index, size))
            }
            answer => answer,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_missing() || error.is_unwritten() => return Ok(None),
            Err(error) => return Err(error),
        };
        // Behind their number.
        let value = answer.get(2..).and_then(|bytes| bytes.try_into().ok());
        let what = command.what;
        value.map(Some).ok_or(TpmError::Answer { what })
    }

    fn exchange(&mut self, command: &Command) -> Result<Vec<u8>, TpmError> {
        let failed = |source| TpmError::Device {
            what: command.what,
            source,
        };
        self.0.write_all(&command.bytes()).map_err(failed)?;
        let mut answer = vec![0; ANSWER];
        let length = self.0.read(&mut answer).map_err(failed)?;
        answer.truncate(length);
        Ok(answer)
    }
}

/// The response code: bytes 6 to 9 of every answer.
fn code(answer: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = answer.get(6..10)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// What lies between the length after the head and the answer to the password.
fn parameters(answer: &[u8]) -> Option<Vec<u8>> {
    let length: [u8; 4] = answer.get(10..14)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    answer
        .get(14..14_usize.checked_add(length)?)
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_answer_has_no_code() {
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1]), None);
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x20]), Some(0x120));
    }

    #[test]
    fn what_a_command_returns_lies_before_the_answer_to_the_password() {
        let mut answer = vec![0x80, 2, 0, 0, 0, 21, 0, 0, 0, 0, 0, 0, 0, 2, 7, 8];
        answer.extend([0, 0, 1, 0, 0]);
        assert_eq!(parameters(&answer), Some(vec![7, 8]));
        assert_eq!(parameters(&answer[..15]), None);
    }

    #[test]
    fn an_index_that_is_not_there_is_told_from_other_refusals() {
        let refused = |code| TpmError::Refused { what: "read", code };
        assert!(refused(0x18b).is_missing());
        assert!(refused(0x28b).is_missing());
        assert!(!refused(0x98e).is_missing());
    }
}
