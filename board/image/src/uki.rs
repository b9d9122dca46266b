//! The unified kernel image: kernel, initrd, command line and policy in one signed file.

use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{Bind, DebianRoot, run};

use crate::authenticode::{self, Signatory};
use crate::pe::Pe;
use crate::{policy, stub};

/// What goes into the image.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// systemd-stub for the machine.
    pub stub: &'a Path,
    /// The kernel, unsigned.
    pub kernel: &'a Path,
    /// Its release, as `uname -r` says it.
    pub release: &'a str,
    /// The RAM root.
    pub initrd: &'a Path,
    /// The command line.
    pub command_line: &'a str,
    /// `/etc/os-release`.
    pub os_release: &'a str,
}

/// The key that signs what the data partition opens for.
pub struct PolicyKey<'a> {
    /// `SubjectPublicKeyInfo` in PEM, as the stub hands it on.
    pub pem: &'a str,
    /// The same in DER.
    pub der: &'a [u8],
    /// Gives RSASSA-PKCS1-v1_5 with SHA-256 over a message.
    pub sign: &'a dyn Fn(&[u8]) -> anyhow::Result<Vec<u8>>,
}

/// The image, signed. The kernel in it is signed too: the stub starts it through U-Boot, which checks it as well.
///
/// # Errors
/// A part cannot be read, a key cannot be used, or ukify's.
pub fn build(
    tools: &DebianRoot,
    parts: &Parts,
    db: &Signatory,
    key: &PolicyKey,
) -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    let kernel = fs::read(parts.kernel)
        .with_context(|| format!("cannot read the kernel {}", parts.kernel.display()))?;
    write("linux", &authenticode::sign(&kernel, db)?)?;
    fs::copy(parts.initrd, folder.path().join("initrd"))
        .with_context(|| format!("cannot read the initrd {}", parts.initrd.display()))?;
    fs::copy(parts.stub, folder.path().join("stub"))?;
    write("command-line", parts.command_line.as_bytes())?;
    write("os-release", parts.os_release.as_bytes())?;
    write("key", key.pem.as_bytes())?;
    // What the policy signs holds a section that ukify itself writes (.sbat): made once without, then with it.
    let plain = ukify(tools, folder.path(), parts.release, &[])?;
    let sections = stub::sections(&Pe::parse(&plain)?);
    write(
        "policy",
        policy::signature(&sections, key.der, key.sign)?.as_bytes(),
    )?;
    let whole = ukify(
        tools,
        folder.path(),
        parts.release,
        &["--section=.pcrsig:@policy"],
    )?;
    authenticode::sign(&whole, db)
}

fn ukify(
    tools: &DebianRoot,
    folder: &Path,
    release: &str,
    more: &[&str],
) -> anyhow::Result<Vec<u8>> {
    let binds = [Bind::write(folder, "/work/uki")];
    run(tools
        .command("/work/uki", &binds, "ukify")?
        .args([
            "build",
            "--efi-arch=aa64",
            "--stub=stub",
            "--linux=linux",
            "--initrd=initrd",
        ])
        .args([
            "--cmdline=@command-line",
            "--os-release=@os-release",
            "--pcrpkey=key",
        ])
        .arg(format!("--uname={release}"))
        .args(more)
        .arg("--output=image.efi"))?;
    Ok(fs::read(folder.join("image.efi"))?)
}
