//! Signing, whoever holds the key.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use board_forge::{Bind, DebianRoot, run};

use crate::{Keys, Name, Reach, Signer};

/// Where a command in the tool root finds what it signs, and leaves the result.
const WORK: &str = "/work/signing";

impl Keys {
    /// Signs a file: RSASSA-PKCS1-v1_5 with SHA-256.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(
        &self,
        root: &DebianRoot,
        name: Name,
        file: &Path,
        signature: &Path,
    ) -> anyhow::Result<()> {
        if let Signer::Command(words) = self.signer(name) {
            return command(&words, "rsa-sha256", file, signature);
        }
        let reach = self.reach(name)?;
        let engine = ["-engine", "pkcs11", "-keyform", "engine"];
        in_root(root, &reach, "openssl", file, signature, |program| {
            program.args(["dgst", "-sha256"]);
            if reach.token {
                program.args(engine);
            }
            program.args(["-sign", &reach.key, "-out", "out", "in"]);
        })
        .with_context(|| format!("cannot sign with the key {name}"))
    }

    /// Signs an EFI image as UEFI Secure Boot wants it.
    ///
    /// # Errors
    /// The signer's, or the result is not the image with a signature.
    pub fn sign_efi(
        &self,
        root: &DebianRoot,
        name: Name,
        image: &Path,
        signed: &Path,
    ) -> anyhow::Result<()> {
        let hash = crate::authenticode(&fs::read(image)?)
            .with_context(|| format!("cannot sign {}", image.display()))?;
        if let Signer::Command(words) = self.signer(name) {
            command(&words, "efi", image, signed)?;
        } else {
            let reach = self.reach(name)?;
            in_root(root, &reach, "sbsign", image, signed, |program| {
                if reach.token {
                    program.args(["--engine", "pkcs11"]);
                }
                program
                    .args(["--key", &reach.key, "--cert"])
                    .arg(format!("{}/{name}.crt", crate::holding::KEYS))
                    .args(["--output", "out", "in"]);
            })
            .with_context(|| format!("cannot sign with the key {name}"))?;
        }
        if crate::authenticode(&fs::read(signed)?)? != hash {
            bail!(
                "the signer of the key {name} gave back another image than {}",
                image.display()
            );
        }
        Ok(())
    }
}

fn command(words: &[String], kind: &str, from: &Path, to: &Path) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("a signing command in keys.toml is empty");
    };
    let status = Command::new(program)
        .args(arguments)
        .arg(kind)
        .stdin(File::open(from).with_context(|| format!("cannot read {}", from.display()))?)
        .stdout(File::create(to)?)
        .status()
        .with_context(|| format!("cannot run the signing command {program}"))?;
    if !status.success() {
        bail!("the signing command {program} failed ({status})");
    }
    if fs::metadata(to)?.len() == 0 {
        bail!("the signing command {program} gave nothing back");
    }
    Ok(())
}

/// Runs a program in the root on `in`, beside which it leaves `out`.
fn in_root(
    root: &DebianRoot,
    reach: &Reach,
    program: &str,
    from: &Path,
    to: &Path,
    words: impl FnOnce(&mut Command),
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::copy(from, folder.path().join("in"))
        .with_context(|| format!("cannot read {}", from.display()))?;
    let mut binds = reach.binds.clone();
    binds.push(Bind::write(folder.path(), WORK));
    let mut command = root.command(WORK, &binds, program)?;
    command.envs(reach.environment.clone());
    words(&mut command);
    run(&mut command)?;
    fs::copy(folder.path().join("out"), to).with_context(|| format!("{program} left no result"))?;
    Ok(())
}
