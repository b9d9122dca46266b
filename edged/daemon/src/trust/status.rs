//! Which promises about the box hold, since when, and what to do.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::UNIX_EPOCH;

use edged_console::{Finding, FindingState, PlatformError};
use edged_evidence::Public;
use edged_image::ContentStore;
use edged_model::ImageReference;
use edged_trust::{Purpose, Tpm};

use super::Trust;
use super::images::image_finding;
use crate::prepare;
use crate::snapshot::Snapshot;

/// What to do on a box that has no TPM.
const FIT_ONE: &str = "name its TPM in [trust] of the configuration, on a machine that has one";

impl Trust {
    /// Which promises hold. `unvouched`: images of packages that no key in force vouches for any more.
    ///
    /// # Errors
    /// What is here cannot be judged.
    pub async fn status(
        &self,
        images: &ContentStore,
        now: &Snapshot,
        unvouched: BTreeSet<ImageReference>,
    ) -> Result<Vec<Finding>, PlatformError> {
        let mut all = vec![self.identity_finding().await];
        all.extend(Purpose::ALL.map(|purpose| self.key_finding(purpose)));
        all.push(self.host_key_finding());
        all.push(self.binding());
        all.push(self.measured());
        all.push(image_finding(images, now, unvouched).await?);
        Ok(all)
    }

    async fn identity_finding(&self) -> Finding {
        const WHAT: &str = "identity";
        let Some(keeper) = &self.keeper else {
            return Finding::new(
                WHAT,
                FindingState::Off,
                "software keys: there is no TPM, so a copy of the disk is this box, and it proves nothing",
            )
            .todo(FIT_ONE);
        };
        match keeper.asked(Tpm::attestation_public).await {
            Ok(key) => {
                let means = format!(
                    "the TPM answers for this box with the attestation key {}, which cannot leave it",
                    short(&key)
                );
                let finding = Finding::new(WHAT, FindingState::Ok, means);
                self.dated(finding, "tpm/storage.blob")
            }
            Err(error) => {
                let finding = Finding::new(WHAT, FindingState::Failed, error.to_string());
                finding.todo("look for the TPM's messages in the box's log, and start the box anew")
            }
        }
    }

    fn key_finding(&self, purpose: Purpose) -> Finding {
        let (name, signs) = match purpose {
            Purpose::Tls => ("key of HTTPS", "answers as this box over HTTPS"),
            Purpose::Token => ("key of tokens", "makes tokens that this box takes"),
            Purpose::Ca => ("key of certificates", "makes certificates of this box"),
        };
        if self.keeper.is_some() {
            let mut means = format!("what {signs} is in the TPM and cannot leave it");
            if purpose == Purpose::Tls {
                // MQTTS and HTTPS have the same names.
                means += "; the broker's key is a file with the same names, and whoever has read it may answer, too";
            }
            let finding = Finding::new(name, FindingState::Ok, means);
            return self.dated(finding, &format!("tpm/{}.blob", purpose.name()));
        }
        let means = format!("software key: whoever reads the disk {signs}");
        Finding::new(name, FindingState::Off, means)
    }

    fn host_key_finding(&self) -> Finding {
        const WHAT: &str = "host key of SSH";
        if self.keeper.is_some() {
            let means =
                "the TPM keeps it sealed: it is in edged's memory while edged runs, and on no disk";
            let finding = Finding::new(WHAT, FindingState::Ok, means);
            return self.dated(finding, "tpm/ssh.blob");
        }
        let means = "software key: whoever reads the disk answers as this box over SSH";
        Finding::new(WHAT, FindingState::Off, means)
    }

    /// What the keys are bound to.
    fn binding(&self) -> Finding {
        const WHAT: &str = "secrets bound to signed images";
        match (&self.keeper, &self.config.trust.policy) {
            (Some(_), Some(_)) => {
                let means = "the TPM gives them out to images that the policy key has signed for, and to no other";
                let finding = Finding::new(WHAT, FindingState::Ok, means);
                self.dated(finding, "tpm/storage.blob")
            }
            (Some(_), None) => Finding::new(
                WHAT,
                FindingState::Off,
                "they are bound to the TPM alone: whatever boots on this machine can use them",
            )
            .todo("boot a signed image, which brings a policy key"),
            (None, _) => Finding::new(
                WHAT,
                FindingState::Off,
                "software keys are bound to nothing: they go wherever the disk goes",
            )
            .todo(FIT_ONE),
        }
    }

    fn measured(&self) -> Finding {
        const WHAT: &str = "measured boot";
        let log = self.config.image.as_ref().map(|image| &image.event_log);
        match (log, &self.keeper) {
            (Some(log), Some(_)) if log.exists() => {
                let means = "each stage measured the next one; edgectl trust verify compares that with what the build foretold";
                let finding = Finding::new(WHAT, FindingState::Ok, means);
                match modified(log) {
                    Some(since) => finding.since(since),
                    None => finding,
                }
            }
            (Some(_), Some(_)) => Finding::new(
                WHAT,
                FindingState::Failed,
                "there is a TPM, and the firmware left no log of this boot",
            )
            .todo("start the box anew; if it stays so, its firmware does not measure"),
            _ => Finding::new(
                WHAT,
                FindingState::Off,
                "nothing measured what booted here, so nobody can be shown it",
            ),
        }
    }

    /// Since when: since the file that it is kept in was written.
    fn dated(&self, finding: Finding, file: &str) -> Finding {
        match modified(&prepare::folder(&self.config).join(file)) {
            Some(since) => finding.since(since),
            None => finding,
        }
    }
}

/// Unix seconds of the last change of a file.
fn modified(path: &Path) -> Option<u64> {
    let time = std::fs::metadata(path).ok()?.modified().ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Enough of a key's name to tell two boxes apart.
fn short(key: &Public) -> String {
    let name = edged_evidence::pcr::Value::of(key.raw()).to_string();
    name.chars().take(16).collect()
}
