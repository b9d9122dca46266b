//! New keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use board_forge::{Bind, Cache, DebianRoot, run, tools};
use uuid::Uuid;

use crate::holding::KEYS;
use crate::store::{DEVELOPMENT, OWNER};
use crate::{Algorithm, Keys, Name};

/// Packages of the machine beside those of the tool root.
pub const NEEDS: &[(&str, &str)] = &[("openssh-client", "makes the commissioning key")];

/// Days that a certificate is valid. Firmware has no clock that it could trust, and U-Boot looks at none; this is for
/// people who read it: twenty years, more than a box lives.
const DAYS: &str = "7305";
/// What stands in the file that marks development keys.
const REMARK: &str = "Keys for development: made by chance on this machine and kept by nobody. What is built with them says DEVELOPMENT.\n";

/// Makes all keys of a set, once.
pub(crate) fn make(cache: &Cache, folder: &Path, development: bool) -> anyhow::Result<Keys> {
    if folder.exists() {
        bail!(
            "{} is there already; keys are made once: change one with `cargo board keys rotate NAME`, or name another folder with --dir",
            folder.display()
        );
    }
    let root = tools(cache)?;
    let parent = folder.parent().context("keys need a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Made aside (mode 0700) and moved into place whole.
    let aside = tempfile::Builder::new()
        .prefix(".keys-")
        .tempdir_in(parent)?;
    for name in Name::ALL {
        make_one(&root, aside.path(), name, development)?;
    }
    fs::write(aside.path().join(OWNER), format!("{}\n", Uuid::new_v4()))?;
    if development {
        fs::write(aside.path().join(DEVELOPMENT), REMARK)?;
    }
    fs::rename(aside.keep(), folder)?;
    Keys::open(folder)
}

/// Makes one key with its public half and certificate in a folder that has none of this name.
pub(crate) fn make_one(
    root: &DebianRoot,
    folder: &Path,
    name: Name,
    development: bool,
) -> anyhow::Result<()> {
    let subject = if development {
        format!("umec {name} DEVELOPMENT")
    } else {
        format!("umec {name}")
    };
    let private = folder.join(format!("{name}.key"));
    let Algorithm::Rsa(bits) = name.algorithm() else {
        return make_ssh(folder, name, &private, &subject);
    };
    openssl(
        root,
        folder,
        &[
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            &format!("rsa_keygen_bits:{bits}"),
            "-out",
            &format!("{name}.key"),
        ],
    )?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600))?;
    let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
    openssl(
        root,
        folder,
        &["pkey", "-in", &key, "-pubout", "-out", &public],
    )?;
    if name.certified() {
        let (certificate, subject) = (format!("{name}.crt"), format!("/CN={subject}"));
        openssl(
            root,
            folder,
            &[
                "req",
                "-x509",
                "-new",
                "-sha256",
                "-days",
                DAYS,
                "-subj",
                &subject,
                "-key",
                &key,
                "-out",
                &certificate,
            ],
        )?;
    }
    Ok(())
}

fn make_ssh(folder: &Path, name: Name, private: &Path, comment: &str) -> anyhow::Result<()> {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(private))
    .context("cannot make the commissioning key; is openssh-client installed?")?;
    fs::rename(
        folder.join(format!("{name}.key.pub")),
        folder.join(format!("{name}.pub")),
    )?;
    Ok(())
}

fn openssl(root: &DebianRoot, folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    run(root
        .command(KEYS, &[Bind::write(folder, KEYS)], "openssl")?
        .args(words))
}
