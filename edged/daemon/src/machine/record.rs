//! Who commissioned the box, and for where: written once, in an order that a power cut cannot break.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use edged_config::Config;
use edged_console::OperatorView;
use edged_model::SiteName;
use serde::{Deserialize, Serialize};

use crate::prepare;

/// Largest record that is read: a hundred operators are far below it.
const RECORD_MAX: u64 = 256 << 10;

/// Whose the box is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Where it stands.
    pub site: SiteName,
    /// Who made it theirs.
    pub operators: Vec<OperatorView>,
    /// Unix seconds by the box's own clock at that time.
    pub at: u64,
}

/// Why whose the box is cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file or its folder.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{path} is not what edged writes: {source}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// The record's file; its presence is what closes the door to commissioners.
pub fn path(config: &Config) -> PathBuf {
    prepare::folder(config).join("commissioned.json")
}

/// Lets what was said at commissioning replace what the image says.
///
/// # Errors
/// The record is there and cannot be used: a box that was somebody's must not become a box of the image's site.
pub fn apply(config: &mut Config) -> Result<(), RecordError> {
    if config.image.is_some()
        && let Some(record) = Record::read(config)?
    {
        record.site.as_str().clone_into(&mut config.node.site);
    }
    Ok(())
}

impl Record {
    /// A record of now.
    pub fn new(site: SiteName, operators: Vec<OperatorView>) -> Self {
        let at = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self {
            site,
            operators,
            at,
        }
    }

    /// The record of a box, where it has one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(config: &Config) -> Result<Option<Self>, RecordError> {
        let path = path(config);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RecordError::File { path, source }),
        };
        let text = io::Read::take(file, RECORD_MAX);
        serde_json::from_reader(text)
            .map(Some)
            .map_err(|source| RecordError::Parse { path, source })
    }

    /// Writes the operators' keys, and then this, which puts them in force. A power cut before the end leaves a box that
    /// can be commissioned again.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, config: &Config, keys: &str) -> Result<(), RecordError> {
        let folder = prepare::folder(config);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordError::File { path, source }
        };
        let allowed = config
            .ssh
            .authorized_keys
            .clone()
            .unwrap_or_else(|| folder.join("authorized_keys"));
        edged_authority::write_private(&allowed, keys.as_bytes()).map_err(failed(&allowed))?;
        let path = path(config);
        let text = serde_json::to_vec(self).map_err(|source| RecordError::Parse {
            path: path.clone(),
            source,
        })?;
        edged_authority::write_private(&path, &text).map_err(failed(&path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(folder: &Path) -> Config {
        let text = format!(
            "version = 1\n[node]\nstate = {0:?}\nrun = {0:?}\n[image]\nbuild = \"/b\"\ncommissioners = \"/c\"\nrequests = \"/r\"\nevent_log = \"/l\"\nregisters = \"/p\"\n",
            folder.display().to_string()
        );
        let path = folder.join("edged.toml");
        fs::write(&path, text).unwrap();
        fs::create_dir_all(folder.join("edged")).unwrap();
        Config::read(&path).unwrap()
    }

    #[test]
    fn the_site_of_a_commissioned_box_is_its_record_s() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        apply(&mut config).unwrap();
        assert_eq!(config.node.site, "edge");
        let record = Record::new("pole-7".parse().unwrap(), Vec::new());
        record.write(&config, "a key\n").unwrap();
        assert_eq!(Record::read(&config).unwrap(), Some(record));
        apply(&mut config).unwrap();
        assert_eq!(config.node.zone(), "pole-7.mec.internal");
        let keys = fs::read_to_string(folder.path().join("edged/authorized_keys")).unwrap();
        assert_eq!(keys, "a key\n");
    }

    #[test]
    fn a_damaged_record_is_an_error_and_not_a_fresh_box() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        fs::write(path(&config), "{\"site\":").unwrap();
        assert!(matches!(apply(&mut config), Err(RecordError::Parse { .. })));
    }
}
