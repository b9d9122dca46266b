//! The box itself: what it booted, whose it is, how it ends.

mod record;
mod tpm;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edged_authority::remove_durably;
use edged_config::Config;
use edged_console::{
    AccessView, AccountView, BuildView, CommissionView, End, ErrorKind, OperatorView,
    PlatformError, RegistersView,
};
use edged_mec::Access;
use edged_model::SiteName;
use tokio::sync::Notify;

use crate::prepare;
use crate::trust::Trust;
use record::Record;
pub use record::{apply, path as record_path};

/// Longest life of a token that an operator takes for its tools: a month.
const LIFETIME_MAX: u64 = 31 * 24 * 3600;

/// The box.
#[derive(Debug, Clone)]
pub struct Machine {
    config: Arc<Config>,
    /// Told when edged has to start anew.
    restart: Arc<Notify>,
}

impl Machine {
    /// The box that a configuration is for; `restart` hears when edged has to start anew.
    pub fn new(config: Arc<Config>, restart: Arc<Notify>) -> Self {
        Self { config, restart }
    }

    /// What the image says of itself; absent on a machine that booted something else.
    pub fn build(&self) -> Option<BuildView> {
        let path = &self.config.image.as_ref()?.build;
        let text = std::fs::read(path).map_err(|error| error.to_string());
        let parsed =
            text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        parsed
            .inspect_err(
                |reason| tracing::warn!(path = %path.display(), "cannot be read: {reason}"),
            )
            .ok()
    }

    /// Whether the box has operators of its own; a machine without our image always has.
    pub fn is_commissioned(&self) -> bool {
        self.config.image.is_none() || !matches!(record::path(&self.config).try_exists(), Ok(false))
    }

    /// Makes the box its operators'. In force and durable, but for what [`Machine::commissioned`] does.
    pub fn commission(
        &self,
        site: Option<SiteName>,
        keys: &str,
    ) -> Result<CommissionView, PlatformError> {
        if self.config.image.is_none() {
            return Err(PlatformError::new(
                ErrorKind::Conflict,
                "this machine did not boot an image of ours, so there is nobody to take it over from",
            )
            .with_hint("its operators' keys are in the file authorized_keys of its state"));
        }
        let operators = edged_ssh::read_keys(keys).map_err(|line| {
            invalid(format!(
                "line {line} of standard input is no public key without options"
            ))
        })?;
        if operators.is_empty() {
            return Err(invalid("standard input has no public key".to_owned()));
        }
        let site = match site {
            Some(site) => site,
            None => self.config.node.site.parse().map_err(|error| {
                invalid(format!("the site of the configuration is no name: {error}"))
            })?,
        };
        let operators: Vec<OperatorView> = operators
            .into_iter()
            .map(|(name, fingerprint)| OperatorView { name, fingerprint })
            .collect();
        if self.is_commissioned() {
            return self.commissioned_again(&site, &operators);
        }
        let recovery_key = self
            .recovery_key()
            .map_err(|error| internal("the recovery key cannot be read", &error))?;
        let record = Record::new(site.clone(), operators.clone());
        record.write(&self.config, keys).map_err(|error| {
            internal(
                "who operates this box cannot be written to its disk",
                &error,
            )
        })?;
        tracing::info!(%site, operators = operators.len(), "commissioned");
        Ok(CommissionView {
            site,
            operators,
            recovery_key,
        })
    }

    /// The same words once more, after an answer that nobody received: its recovery key is still to be shown.
    fn commissioned_again(
        &self,
        site: &SiteName,
        operators: &[OperatorView],
    ) -> Result<CommissionView, PlatformError> {
        let unread =
            |error: &dyn std::fmt::Display| internal("whose the box is cannot be read", error);
        let record = Record::read(&self.config).map_err(|error| unread(&error))?;
        let recovery_key = self.recovery_key().map_err(|error| unread(&error))?;
        match (record, recovery_key) {
            (Some(record), Some(key)) if record.site == *site && record.operators == operators => {
                Ok(CommissionView {
                    site: record.site,
                    operators: record.operators,
                    recovery_key: Some(key),
                })
            }
            _ => Err(PlatformError::new(
                ErrorKind::Conflict,
                "this box is commissioned already",
            )),
        }
    }

    /// The answer was written: the recovery key is forgotten, and a new site takes effect.
    pub fn commissioned(&self) -> Result<(), PlatformError> {
        remove_durably(&self.recovery_file())
            .map_err(|error| internal("the recovery key cannot be forgotten", &error))?;
        let record = Record::read(&self.config)
            .map_err(|error| internal("who operates this box cannot be read", &error))?;
        if record.is_some_and(|record| record.site.as_str() != self.config.node.site) {
            // The zone, the certificates and the broker's names follow from the site: all of edged starts anew with it.
            self.restart.notify_one();
        }
        Ok(())
    }

    fn recovery_file(&self) -> PathBuf {
        prepare::folder(&self.config).join("recovery-key")
    }

    fn recovery_key(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.recovery_file()) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an operator's other tools need. Waits for the TPM: never on the thread that serves.
    pub fn access(&self, lifetime: u64, trust: &Trust) -> Result<AccessView, PlatformError> {
        if lifetime == 0 || lifetime > LIFETIME_MAX {
            return Err(invalid(format!(
                "a token lives from 1 to {LIFETIME_MAX} seconds, not {lifetime}"
            )));
        }
        let failed = |error: &dyn std::fmt::Display| internal("no access can be given", error);
        let config = &self.config;
        let tokens = prepare::tokens(config, trust).map_err(|error| failed(&error))?;
        let authority = prepare::authority(config, trust).map_err(|error| failed(&error))?;
        let (user, password) = prepare::mqtt_operator(config).map_err(|error| failed(&error))?;
        Ok(AccessView {
            token: tokens
                .issue(&Access::All, None, lifetime)
                .map_err(|error| failed(&error))?,
            lifetime,
            ca: std::fs::read_to_string(authority.certificate()).map_err(|error| failed(&error))?,
            mqtt: AccountView {
                user: user.to_owned(),
                password: password.expose().to_owned(),
            },
            app_subnet: config.network.subnet4.clone(),
        })
    }

    /// The TPM's registers as they are now.
    pub fn registers(&self) -> Result<RegistersView, PlatformError> {
        let folder = self.image("a TPM")?.registers.as_path();
        let sha256 = tpm::registers(folder).map_err(|error| unmeasured(folder, &error))?;
        Ok(RegistersView { sha256 })
    }

    /// The firmware's log of this boot.
    pub fn event_log(&self) -> Result<Vec<u8>, PlatformError> {
        let path = self.image("a log of measurements")?.event_log.as_path();
        tpm::log(path).map_err(|error| unmeasured(path, &error))
    }

    /// Makes the box start anew or switch itself off.
    pub fn end(&self, end: End) -> Result<(), PlatformError> {
        let name = match end {
            End::Reboot => "reboot",
            End::Poweroff => "poweroff",
        };
        let path = self.image("a way to end it")?.requests.join(name);
        tracing::info!("an operator asks for a {name}");
        std::fs::write(&path, "")
            .map_err(|error| internal("the box cannot be asked to end", &error))
    }

    fn image(&self, what: &str) -> Result<&edged_config::Image, PlatformError> {
        self.config.image.as_ref().ok_or_else(|| {
            PlatformError::new(
                ErrorKind::Unavailable,
                format!("edged knows {what} of this machine only where it booted an image of ours"),
            )
        })
    }
}

fn invalid(message: String) -> PlatformError {
    PlatformError::new(ErrorKind::Invalid, message).with_hint("give it a .pub file of ssh-keygen")
}

fn internal(message: &str, error: &dyn std::fmt::Display) -> PlatformError {
    tracing::error!("{message}: {error}");
    PlatformError::new(ErrorKind::Internal, message).with_hint("the box's log says why")
}

fn unmeasured(path: &Path, error: &dyn std::fmt::Display) -> PlatformError {
    tracing::warn!(path = %path.display(), "cannot be read: {error}");
    PlatformError::new(
        ErrorKind::Unavailable,
        "this boot was not measured: the box has no TPM, or its firmware did not use it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ jo@desk\n";

    /// A fresh box of an image, with a recovery key that nobody has seen.
    fn machine() -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let text = format!(
            "version = 1\n[node]\nstate = {path:?}\nrun = {path:?}\n[image]\nbuild = \"{path}/build.json\"\n\
             commissioners = \"{path}/keys\"\nrequests = {path:?}\nevent_log = \"{path}/log\"\nregisters = \"{path}/pcr\"\n"
        );
        let file = folder.path().join("edged.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::create_dir(folder.path().join("edged")).unwrap();
        std::fs::write(folder.path().join("edged/recovery-key"), "once\n").unwrap();
        let config = Arc::new(Config::read(&file).unwrap());
        (folder, Machine::new(config, Arc::new(Notify::new())))
    }

    #[test]
    fn the_recovery_key_is_there_until_the_answer_was_written_and_never_after() {
        let (folder, machine) = machine();
        assert!(!machine.is_commissioned());
        let view = machine.commission(None, KEY).unwrap();
        assert_eq!(view.recovery_key.as_deref(), Some("once"));
        assert_eq!(view.operators[0].name, "jo@desk");
        assert!(machine.is_commissioned());
        machine.commissioned().unwrap();
        assert!(!folder.path().join("edged/recovery-key").exists());
        machine.commissioned().unwrap();
    }

    #[test]
    fn a_box_is_commissioned_once() {
        let (_folder, machine) = machine();
        machine.commission(None, KEY).unwrap();
        let stranger = KEY.replace("jo@desk", "al@desk");
        let error = machine.commission(None, &stranger).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
    }

    #[test]
    fn whoever_never_received_the_answer_asks_again_and_gets_it_once() {
        let (_folder, machine) = machine();
        let first = machine.commission(None, KEY).unwrap();
        let other = "pole-7".parse().unwrap();
        assert!(machine.commission(Some(other), KEY).is_err());
        assert_eq!(machine.commission(None, KEY).unwrap(), first);
        machine.commissioned().unwrap();
        let error = machine.commission(None, KEY).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
    }

    #[test]
    fn what_is_no_list_of_keys_changes_nothing() {
        let (folder, machine) = machine();
        for keys in [
            "",
            "# none\n",
            "nonsense\n",
            &format!("command=\"ps\" {KEY}"),
        ] {
            let error = machine.commission(None, keys).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{keys:?}");
        }
        assert!(!machine.is_commissioned());
        assert!(folder.path().join("edged/recovery-key").exists());
        assert!(!folder.path().join("edged/authorized_keys").exists());
    }

    #[test]
    fn another_site_starts_edged_anew_and_the_same_one_does_not() {
        for (site, anew) in [("pole-7", true), ("edge", false)] {
            let (_folder, machine) = machine();
            machine
                .commission(Some(site.parse().unwrap()), KEY)
                .unwrap();
            machine.commissioned().unwrap();
            let waiting = std::pin::pin!(machine.restart.notified());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert_eq!(waiting.poll(&mut context).is_ready(), anew, "{site}");
        }
    }
}
