//! Where a private key is, and how a program in the tool root reaches it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use board_forge::Bind;
use serde::{Deserialize, Serialize};

/// The keys' folder in the tool root.
pub(crate) const KEYS: &str = "/work/keys";
/// The token's folder in the tool root.
const TOKEN: &str = "/work/token";
/// The module of `opensc`, in the tool root.
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

/// Who holds a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// A PEM file.
    File(PathBuf),
    /// A token, by RFC 7512 URI; a PIN is best given as `?pin-source=file:/work/token/…`.
    Pkcs11(String),
    /// A program of the machine. The last argument it gets is `rsa-sha256` (standard input is what to sign, standard
    /// output the RSASSA-PKCS1-v1_5 signature) or `efi` (standard input is an EFI image, standard output the signed
    /// one).
    Command(Vec<String>),
}

impl fmt::Display for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Pkcs11(uri) => formatter.write_str(uri),
            Self::Command(words) => write!(formatter, "command {}", words.join(" ")),
        }
    }
}

/// `keys.toml`: the keys that are not files in the folder.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Elsewhere {
    /// How the token is reached.
    #[serde(default)]
    pub token: Token,
    /// Each key by name, and where it is.
    #[serde(default)]
    pub key: BTreeMap<crate::Name, Place>,
}

/// Where a key is that is not a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Place {
    /// `pkcs11 = "pkcs11:…"`.
    Pkcs11(String),
    /// `command = ["…", …]`.
    Command(Vec<String>),
}

/// The token that `pkcs11:` URIs speak of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Token {
    /// The PKCS#11 module, as the tool root sees it.
    pub module: String,
    /// A folder of the machine that the module needs; the tool root sees it as `/work/token`.
    pub folder: Option<PathBuf>,
    /// Environment variables for the module.
    pub environment: BTreeMap<String, String>,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            module: OPENSC.to_owned(),
            folder: None,
            environment: BTreeMap::new(),
        }
    }
}

/// What a command in the tool root needs so that a program in it can use a private key.
#[derive(Debug, Clone)]
pub struct Reach {
    /// What stands for the key on a command line: a path or a `pkcs11:` URI.
    pub key: String,
    /// True for a token: `sbsign --engine pkcs11`, `openssl -engine pkcs11 -keyform engine`.
    pub token: bool,
    /// For [`board_forge::DebianRoot::command`].
    pub binds: Vec<Bind>,
    /// For the command's environment.
    pub environment: Vec<(String, String)>,
}

impl Reach {
    pub(crate) fn file(folder: PathBuf, name: crate::Name) -> Self {
        Self {
            key: format!("{KEYS}/{name}.key"),
            token: false,
            binds: vec![Bind::read(folder, KEYS)],
            environment: Vec::new(),
        }
    }

    pub(crate) fn token(folder: PathBuf, uri: &str, token: &Token) -> Self {
        let mut binds = vec![Bind::read(folder, KEYS)];
        if let Some(folder) = &token.folder {
            // SoftHSM, and other tokens in files, count their sessions there.
            binds.push(Bind::write(folder.clone(), TOKEN));
        }
        let mut environment: Vec<(String, String)> =
            token.environment.clone().into_iter().collect();
        environment.push(("PKCS11_MODULE_PATH".to_owned(), token.module.clone()));
        Self {
            key: uri.to_owned(),
            token: true,
            binds,
            environment,
        }
    }
}
