//! The boxes whose identity is remembered, one file each in `~/.config/edgectl/trust`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use edged_evidence::Identity;
use edged_evidence::attest::Clock;
use edged_evidence::pcr::Value;
use serde::{Deserialize, Serialize};

use crate::contexts;
use crate::error::CtlError;
use crate::target::Target;

/// A box as it was when it was enrolled, and what was seen of it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Enrolled {
    /// Who it is.
    pub(crate) identity: Identity,
    /// What only the machine knows of its boot, as it was when it was first compared.
    #[serde(default)]
    pub(crate) machine: BTreeMap<String, Value>,
    /// The latest clock of its TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<Clock>,
}

impl Enrolled {
    /// What is remembered of a box; nothing where it was not enrolled.
    pub(crate) fn read(target: &Target) -> Result<Option<Self>, CtlError> {
        let path = path(target)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CtlError::Input { path, source }),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            CtlError::Input { path, source }
        })
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self, target: &Target) -> Result<(), CtlError> {
        let path = path(target)?;
        let unfinished = path.with_extension("json.new");
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|source| CtlError::Written {
            path: path.clone(),
            source,
        })
    }
}

/// A box is its address and port; a target has neither slashes nor spaces in it.
fn path(target: &Target) -> Result<PathBuf, CtlError> {
    let folder = contexts::folder().ok_or(CtlError::NoHome)?;
    let name = format!("{}-{}.json", target.host, target.port);
    Ok(folder.join("trust").join(name))
}
