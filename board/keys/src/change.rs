//! Changing keys, and revoking images.
//!
//! A new key `update` is signed by the one before it: boxes that know the old one take it for that ([`Keys::succession`]).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use board_forge::{Cache, DebianRoot, tools};
use edged_update::{Succession, Successor, UpdateKey};

use crate::store::{ACCEPTED, REVOKED, REVOKED_IMAGES};
use crate::{ImageHash, Keys, Name, Signer, authenticode, make};

/// Keys that were taken out of use.
const OLD: &str = "old";
/// What each key `update` says of its successor.
const SUCCESSION: &str = "succession";

impl Keys {
    /// Makes a new key in place of another, which is kept below `old`. A certificate of db stays in db, so that images
    /// it signed still start; with `revoke` it goes into dbx instead.
    ///
    /// # Errors
    /// The key is held elsewhere, or cannot be made.
    pub fn rotate(&self, cache: &Cache, name: Name, revoke: bool) -> anyhow::Result<()> {
        if revoke && name != Name::Db {
            bail!("only images are revoked by their key; --revoke goes with db");
        }
        match self.signer(name) {
            Signer::File(_) => {}
            elsewhere => bail!(
                "the key {name} is held elsewhere ({elsewhere}); make the new one there and change keys.toml and {name}.pub"
            ),
        }
        let root = tools(cache)?;
        // First the new key, aside: whatever fails leaves the old one in use.
        let aside = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(self.folder())?;
        make::make_one(&root, aside.path(), name, self.development)?;
        let number = self.generation(name)?;
        if name == Name::Update {
            self.succeed(&root, aside.path(), number)?;
        }
        if name == Name::Db {
            let kind = if revoke { REVOKED } else { ACCEPTED };
            let folder = self.folder().join(kind);
            fs::create_dir_all(&folder)?;
            fs::copy(
                self.certificate(name),
                folder.join(format!("{name}-{number}.crt")),
            )?;
        }
        for entry in fs::read_dir(aside.path())? {
            let file = entry?.file_name();
            let extension = Path::new(&file).extension().unwrap_or_default();
            let old = format!("{name}-{number}.{}", extension.to_string_lossy());
            fs::rename(self.folder().join(&file), self.folder().join(OLD).join(old))?;
            fs::rename(aside.path().join(&file), self.folder().join(&file))?;
        }
        Ok(())
    }

    /// Has the key `update` that is in use sign the one that is about to take its place.
    fn succeed(&self, root: &DebianRoot, aside: &Path, number: usize) -> anyhow::Result<()> {
        let read = |path: &Path| {
            let pem = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            UpdateKey::from_pem(&pem).with_context(|| format!("{} is wrong", path.display()))
        };
        let old = read(&self.public(Name::Update))?;
        let key = read(&aside.join(format!("{}.pub", Name::Update)))?;
        let folder = tempfile::tempdir()?;
        let (message, signature) = (
            folder.path().join("message"),
            folder.path().join("signature"),
        );
        fs::write(&message, key.succession_message())?;
        self.sign(root, Name::Update, &message, &signature)?;
        let successor = Successor {
            by: old.fingerprint(),
            signature: fs::read(&signature)?,
            key,
        };
        if !old.verifies(&successor.key.succession_message(), &successor.signature) {
            bail!(
                "the key update in use is not the private half of {}",
                self.public(Name::Update).display()
            );
        }
        let statements = self.folder().join(SUCCESSION);
        fs::create_dir_all(&statements)?;
        fs::write(
            statements.join(format!("{number}.json")),
            serde_json::to_vec_pretty(&successor)?,
        )?;
        Ok(())
    }

    /// How the key `update` came after earlier ones: what a bundle carries, so that boxes with an earlier one take it.
    ///
    /// # Errors
    /// A statement cannot be read.
    pub fn succession(&self) -> anyhow::Result<Succession> {
        let folder = self.folder().join(SUCCESSION);
        let mut successors = Vec::new();
        for number in 1.. {
            let path = folder.join(format!("{number}.json"));
            let Ok(bytes) = fs::read(&path) else {
                break;
            };
            let successor: Successor = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is wrong", path.display()))?;
            successors.push(successor);
        }
        Ok(Succession::newest(successors))
    }

    /// The number of the next old key of this name.
    fn generation(&self, name: Name) -> anyhow::Result<usize> {
        let folder = self.folder().join(OLD);
        fs::create_dir_all(&folder)?;
        let mut number = 1;
        while folder.join(format!("{name}-{number}.key")).exists() {
            number += 1;
        }
        Ok(number)
    }

    /// Puts an image, or a hash of one, into dbx.
    ///
    /// # Errors
    /// It is neither an EFI image nor a hash.
    pub fn revoke(&self, what: &str) -> anyhow::Result<ImageHash> {
        let path = Path::new(what);
        let (hash, remark) = if path.exists() {
            let image = fs::read(path).with_context(|| format!("cannot read {what}"))?;
            let hash = authenticode(&image).with_context(|| format!("cannot revoke {what}"))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (hash, name.into_owned())
        } else {
            let hash = what
                .parse()
                .with_context(|| format!("there is no file {what}, and it is no hash"))?;
            (hash, String::new())
        };
        if self.revoked_images()?.contains(&hash) {
            return Ok(hash);
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder().join(REVOKED_IMAGES))?;
        writeln!(file, "{}", format!("{hash} {remark}").trim_end())?;
        Ok(hash)
    }
}
