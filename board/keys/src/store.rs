//! A set of keys in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use board_forge::{Cache, Digest};
use sha2::Sha256;
use uuid::Uuid;

use crate::encoding::pem;
use crate::holding::{Elsewhere, Place};
use crate::{Algorithm, ImageHash, Name, Reach, Signatures, Signer, Variable, Variables, make};

/// Marks keys that nobody keeps safe.
pub(crate) const DEVELOPMENT: &str = "DEVELOPMENT";
/// Keys held elsewhere.
const ELSEWHERE: &str = "keys.toml";
/// The GUID that EFI's lists name as their owner.
pub(crate) const OWNER: &str = "owner";
/// Certificates that are in db beside the newest.
pub(crate) const ACCEPTED: &str = "accepted";
/// Certificates that are in dbx.
pub(crate) const REVOKED: &str = "revoked";
/// Hashes of images that are in dbx, one a line, a remark after a blank.
pub(crate) const REVOKED_IMAGES: &str = "revoked.sha256";

/// A set of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
    owner: Uuid,
    elsewhere: Elsewhere,
    /// True when nobody keeps them safe: what is built with them must say so.
    pub development: bool,
}

impl Keys {
    /// The folder that is used when none is named: `$XDG_DATA_HOME/umec/keys`, or `~/.local/share/umec/keys`.
    ///
    /// # Errors
    /// There is no home folder.
    pub fn default_folder() -> anyhow::Result<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(folder) = variable("XDG_DATA_HOME") {
            return Ok(Path::new(&folder).join("umec/keys"));
        }
        let Some(home) = variable("HOME") else {
            bail!("there is no home folder for keys; name one with --dir");
        };
        Ok(Path::new(&home).join(".local/share/umec/keys"))
    }

    /// The keys in a folder.
    ///
    /// # Errors
    /// Something of the set is missing or cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let owner = fs::read_to_string(folder.join(OWNER)).with_context(|| {
            format!(
                "there are no keys in {}; make them with: cargo board keys make",
                folder.display()
            )
        })?;
        let elsewhere = match fs::read_to_string(folder.join(ELSEWHERE)) {
            Ok(text) => toml::from_str(&text)
                .with_context(|| format!("{ELSEWHERE} in {} is wrong", folder.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Elsewhere::default(),
            Err(error) => return Err(error).context(format!("cannot read {ELSEWHERE}")),
        };
        let keys = Self {
            folder: folder.canonicalize()?,
            owner: owner.trim().parse().context("the owner is not a GUID")?,
            elsewhere,
            development: folder.join(DEVELOPMENT).exists(),
        };
        for name in Name::ALL {
            keys.check(name)?;
        }
        Ok(keys)
    }

    /// This machine's development keys, made by chance the first time: for QEMU, the demonstration and tests.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn development(cache: &Cache) -> anyhow::Result<Self> {
        let folder = cache.workshop("development-keys")?;
        let lock = fs::File::create(folder.join("lock"))?;
        lock.lock()?;
        let folder = folder.join("keys");
        if !folder.exists() {
            make::make(cache, &folder, true)?;
        }
        Self::open(&folder)
    }

    fn check(&self, name: Name) -> anyhow::Result<()> {
        let mut wanted = vec![self.public(name)];
        if name.certified() {
            wanted.push(self.certificate(name));
        }
        if let Signer::File(path) = self.signer(name) {
            wanted.push(path);
        }
        match wanted.iter().find(|path| !path.exists()) {
            Some(path) => bail!(
                "the key {name} is not whole: {} is missing; put it there, or say in {ELSEWHERE} who holds the key",
                path.display()
            ),
            None => Ok(()),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who holds a private key.
    pub fn signer(&self, name: Name) -> Signer {
        match self.elsewhere.key.get(&name) {
            Some(Place::Pkcs11(uri)) => Signer::Pkcs11(uri.clone()),
            Some(Place::Command(words)) => Signer::Command(words.clone()),
            None => Signer::File(self.folder.join(format!("{name}.key"))),
        }
    }

    /// The public half: PEM (`PUBLIC KEY`), or OpenSSH's line for the commissioning key.
    pub fn public(&self, name: Name) -> PathBuf {
        self.folder.join(format!("{name}.pub"))
    }

    /// The certificate of `pk`, `kek` or `db`, in PEM.
    pub fn certificate(&self, name: Name) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// How a program in the tool root reaches a private key by itself.
    ///
    /// # Errors
    /// The key is behind a signing command.
    pub fn reach(&self, name: Name) -> anyhow::Result<Reach> {
        match self.signer(name) {
            Signer::File(_) => Ok(Reach::file(self.folder.clone(), name)),
            Signer::Pkcs11(uri) => Ok(Reach::token(
                self.folder.clone(),
                &uri,
                &self.elsewhere.token,
            )),
            Signer::Command(_) => bail!(
                "the tool that uses the key {name} cannot call a signing command; hold this key in a file or a PKCS#11 token"
            ),
        }
    }

    /// The public half in DER (`SubjectPublicKeyInfo`), of any key but the commissioning key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn public_der(&self, name: Name) -> anyhow::Result<Vec<u8>> {
        pem(&self.public(name), "PUBLIC KEY")
    }

    /// SHA-256 of the public half: of the DER, or as `ssh-keygen -l` shows it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn fingerprint(&self, name: Name) -> anyhow::Result<String> {
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
        use sha2::Digest as _;
        if name.algorithm() != Algorithm::Ed25519 {
            return Ok(Digest::of(&self.public_der(name)?).to_string());
        }
        let path = self.public(name);
        let line = fs::read_to_string(&path)?;
        let blob = line
            .split_whitespace()
            .nth(1)
            .and_then(|field| STANDARD.decode(field).ok())
            .with_context(|| format!("{} is no public key of OpenSSH", path.display()))?;
        let hash = STANDARD_NO_PAD.encode(Sha256::digest(blob));
        Ok(format!("SHA256:{hash}"))
    }

    /// The images that dbx refuses.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn revoked_images(&self) -> anyhow::Result<Vec<ImageHash>> {
        let path = self.folder.join(REVOKED_IMAGES);
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(|hash| {
                hash.parse()
                    .with_context(|| format!("{} is wrong", path.display()))
            })
            .collect()
    }

    /// The variables that U-Boot carries inside: PK, KEK, db, dbx when something is revoked, and what is started.
    ///
    /// # Errors
    /// A certificate or list cannot be read.
    pub fn seed(&self) -> anyhow::Result<Vec<u8>> {
        let certificate = |path: &Path| pem(path, "CERTIFICATE");
        let list = || Signatures::of(self.owner);
        let one = |name| {
            anyhow::Ok(
                list()
                    .certificate(&certificate(&self.certificate(name))?)?
                    .bytes(),
            )
        };
        let mut db = list().certificate(&certificate(&self.certificate(Name::Db))?)?;
        for path in self.certificates(ACCEPTED)? {
            db = db.certificate(&certificate(&path)?)?;
        }
        let mut dbx = list().hashes(&self.revoked_images()?)?;
        for path in self.certificates(REVOKED)? {
            dbx = dbx.certificate(&certificate(&path)?)?;
        }
        let mut variables = vec![
            Variable::authenticated("PK", one(Name::Pk)?),
            Variable::authenticated("KEK", one(Name::Kek)?),
            Variable::authenticated("db", db.bytes()),
        ];
        let dbx = dbx.bytes();
        if !dbx.is_empty() {
            variables.push(Variable::authenticated("dbx", dbx));
        }
        variables.extend(crate::boot::variables()?);
        Variables(variables).encode()
    }

    /// The certificates in a folder of the set, by name.
    pub(crate) fn certificates(&self, kind: &str) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join(kind);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut paths = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }
}
