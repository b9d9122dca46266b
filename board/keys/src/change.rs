//! Changing keys, and revoking images.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use board_forge::{Cache, tools};

use crate::store::{ACCEPTED, REVOKED, REVOKED_IMAGES};
use crate::{ImageHash, Keys, Name, Signer, authenticode, make};

/// Keys that were taken out of use.
const OLD: &str = "old";

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
