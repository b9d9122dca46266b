//! `umec-init data`: the data partition, opened by what was measured of this boot, mounted at `/var/lib`.
//!
//! The partition is LUKS2. Its one key is sealed to the TPM by systemd-cryptenroll: PCR 0, 1 and 7 (firmware, its device
//! tree and boot entries, keys of secure boot) as they were, PCR 11 (the image, in the phase `enter-initrd`) by the
//! policy that came with the image and was signed with it. So the next signed image opens it, and nothing else. After
//! the attempt the phase ends, and nobody in this boot can unseal it again.
//!
//! A volume that opens need not be the box's own: anybody can seal a key to its TPM. So the TPM knows the box's volume
//! ([`own`]).
//!
//! An empty partition is made ready first; the last step is its label, so that a cut in between begins anew. One that
//! holds anything else is refused, never overwritten.

mod header;
mod own;
mod partition;
mod seal;
mod volume;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use rustix::system::{RebootCommand, reboot};

use crate::slot::{self, Slot};
use crate::{console, release, tpm};
use header::State;

/// In the image: what is done with a partition. Part of what is measured.
const POLICY: &str = "/etc/umec/data";

/// What the image wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// Encrypted, the key in the TPM. No TPM, no data.
    Sealed,
    /// Not encrypted: an image built for a box without a TPM.
    Plain,
}

impl Policy {
    /// Anything but the one other word is the strict one.
    fn of(text: &str) -> Self {
        match text.trim() {
            "plain" => Self::Plain,
            _ => Self::Sealed,
        }
    }
}

/// What became of the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Made,
    Opened,
}

/// Opens it and says on the console what became of it.
pub fn run() -> ExitCode {
    let policy = Policy::of(&fs::read_to_string(POLICY).unwrap_or_default());
    let outcome = open(policy);
    // Even where it was refused: who comes later must not try with other means.
    let closed = tpm::enter(tpm::Phase::LeaveInitrd).and_then(|()| release::close());
    let outcome = outcome.and_then(|outcome| closed.map(|()| outcome));
    match outcome {
        Ok(outcome) => {
            let word = match outcome {
                Outcome::Made => "DATA-FORMATTED",
                Outcome::Opened => "DATA-READY",
            };
            let how = match policy {
                Policy::Sealed => "encrypted, key sealed to this box's TPM and software",
                Policy::Plain => "NOT ENCRYPTED: this image was built for a box without a TPM",
            };
            console::say(&format!("{word}: {how}"));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            console::say(&format!("DATA-REFUSED: {reason}"));
            if slot::noted() == Some(Slot::B) {
                // A may open it; if A was refused as well, nothing is lost by looking again. Any other box starts again
                // too, in a while (umec-again.timer).
                rustix::fs::sync();
                let _ = reboot(RebootCommand::Restart);
            }
            ExitCode::FAILURE
        }
    }
}

fn open(policy: Policy) -> Result<Outcome, String> {
    let device = partition::find()?;
    match policy {
        Policy::Plain => plain(&device),
        Policy::Sealed if !tpm::present() => Err(
            "this box has no TPM and its image keeps data only where one seals the key; fit one"
                .to_owned(),
        ),
        Policy::Sealed => sealed(&device),
    }
}

fn sealed(device: &Path) -> Result<Outcome, String> {
    match header::read(device)? {
        State::Empty | State::HalfMade => {
            header::mark(device)?;
            let recovery = seal::make(device)?;
            own::remember(device)?;
            volume::make(seal::MAPPED)?;
            volume::mount(Path::new(seal::MAPPED))?;
            volume::keep_recovery_key(&recovery)?;
            release::count()?;
            seal::finish(device)?;
            Ok(Outcome::Made)
        }
        State::Ready { sealed_with } => {
            seal::unseal(device).map_err(|error| seal::explain(&sealed_with, &error))?;
            own::check(device)?;
            // Power that goes within the last label leaves the first header without its checksum. cryptsetup then writes
            // it anew from the second, which does not have the label yet; and it is written once more here.
            if header::read(device)? == State::HalfMade {
                seal::finish(device)?;
            }
            volume::check(seal::MAPPED)?;
            volume::mount(Path::new(seal::MAPPED))?;
            release::count()?;
            Ok(Outcome::Opened)
        }
        State::Foreign => Err(format!(
            "{} holds something that no box of ours wrote; it is left as it is: empty the partition to have it made ready",
            device.display()
        )),
    }
}

fn plain(device: &Path) -> Result<Outcome, String> {
    let name = device.display().to_string();
    let is_unfinished = header::is_unfinished(device)?;
    let outcome = match header::read(device)? {
        State::Ready { .. } => {
            return Err(format!(
                "{name} is encrypted, and this board has no TPM that opens it"
            ));
        }
        state if state == State::Empty || is_unfinished => {
            header::mark(device)?;
            volume::make_before(&name, header::before_mark(device)?)?;
            header::unmark(device)?;
            Outcome::Made
        }
        // ext4 is foreign to the reader of LUKS headers; the mount says whether it is one.
        State::Empty | State::HalfMade | State::Foreign => {
            volume::check(&name)?;
            Outcome::Opened
        }
    };
    volume::mount(device)?;
    release::count()?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_is_missing_or_misspelt_is_the_strict_one() {
        assert_eq!(Policy::of(""), Policy::Sealed);
        assert_eq!(Policy::of("Plain"), Policy::Sealed);
        assert_eq!(Policy::of("plain\n"), Policy::Plain);
    }
}
