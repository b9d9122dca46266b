//! The boxes that are remembered, in `~/.config/edgectl/contexts.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::error::CtlError;
use crate::target::Target;

/// One remembered box.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Context {
    /// Which box, as admin@box or admin@box:2222.
    #[arg(long, value_name = "USER@BOX")]
    pub(crate) host: Target,
    /// Private key file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<PathBuf>,
    /// File of known host keys.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known_hosts: Option<PathBuf>,
}

/// All of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// What is remembered; nothing where there is no file.
    pub(crate) fn read() -> Result<Self, CtlError> {
        let Some(path) = path() else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(CtlError::ContextsFile { path, source }),
        };
        toml::from_str(&text).map_err(|source| CtlError::Contexts {
            path,
            reason: source.message().to_owned(),
        })
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self) -> Result<(), CtlError> {
        let path = path().ok_or(CtlError::NoHome)?;
        let text = toml::to_string(self).map_err(|error| CtlError::Contexts {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let unfinished = path.with_extension("toml.new");
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&unfinished, text)?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|source| CtlError::ContextsFile {
            path: path.clone(),
            source,
        })
    }

    /// The named one, or the one in use, if any.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Option<&Context>, CtlError> {
        match name.or(self.current.as_deref()) {
            None => Ok(None),
            Some(name) => self.get(name).map(Some),
        }
    }

    fn get(&self, name: &str) -> Result<&Context, CtlError> {
        self.contexts
            .get(name)
            .ok_or_else(|| CtlError::UnknownContext(name.to_owned()))
    }

    pub(crate) fn add(&mut self, name: String, context: Context) {
        if self.current.is_none() {
            self.current = Some(name.clone());
        }
        self.contexts.insert(name, context);
    }

    pub(crate) fn choose(&mut self, name: String) -> Result<(), CtlError> {
        self.get(&name)?;
        self.current = Some(name);
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), CtlError> {
        self.get(name)?;
        self.contexts.remove(name);
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        Ok(())
    }
}

/// One a line, the one in use marked.
impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, context) in &self.contexts {
            let mark = if self.current.as_ref() == Some(name) {
                '*'
            } else {
                ' '
            };
            writeln!(f, "{mark} {name}   {}", context.host)?;
        }
        Ok(())
    }
}

fn path() -> Option<PathBuf> {
    Some(folder()?.join("contexts.toml"))
}

/// Where edgectl keeps what it remembers.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))?;
    Some(folder.join("edgectl"))
}
