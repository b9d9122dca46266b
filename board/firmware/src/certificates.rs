//! TF-A's chain of trust: certificates, and the package that they travel in.

use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{Bind, DebianRoot, Made, run};
use board_keys::{Keys, Name};

/// What `cert_create` and `fiptool` call each image, and its file.
const IMAGES: [(&str, &str); 6] = [
    ("--tb-fw", "bl2.bin"),
    ("--soc-fw", "bl31.bin"),
    ("--tos-fw", "tee-header.bin"),
    ("--tos-fw-extra1", "tee-pager.bin"),
    ("--tos-fw-extra2", "tee-pageable.bin"),
    ("--nt-fw", "u-boot.bin"),
];
/// What they call each certificate, which is also its file.
const CERTIFICATES: [&str; 8] = [
    "--tb-fw-cert",
    "--trusted-key-cert",
    "--soc-fw-key-cert",
    "--soc-fw-cert",
    "--tos-fw-key-cert",
    "--tos-fw-cert",
    "--nt-fw-key-cert",
    "--nt-fw-cert",
];
/// What `cert_create` calls each key. It asks for one of a system control processor, which the machine does not have and
/// no certificate names.
const KEYS: [(&str, Name); 7] = [
    ("--scp-fw-key", Name::Bl31),
    ("--rot-key", Name::Rot),
    ("--trusted-world-key", Name::TrustedWorld),
    ("--non-trusted-world-key", Name::NonTrustedWorld),
    ("--soc-fw-key", Name::Bl31),
    ("--tos-fw-key", Name::Bl32),
    ("--nt-fw-key", Name::Bl33),
];
/// The counter against going back to older firmware. The port for QEMU has no memory for one and always reads 0; any
/// other value would be refused.
const COUNTER: &str = "0";
/// The package, beside the images.
pub(crate) const PACKAGE: &str = "fip.bin";

/// Signs the images in a folder and packs them.
pub(crate) fn pack(
    root: &DebianRoot,
    tf_a: &Made,
    keys: &Keys,
    folder: &Path,
) -> anyhow::Result<()> {
    let mut certificates = vec![
        "--key-alg",
        "rsa",
        "--key-size",
        "2048",
        "--hash-alg",
        "sha256",
        "--tfw-nvctr",
        COUNTER,
        "--ntfw-nvctr",
        COUNTER,
    ];
    let mut package = vec!["create"];
    let files: Vec<String> = CERTIFICATES
        .iter()
        .map(|name| format!("{}.crt", name.trim_start_matches('-')))
        .collect();
    for (name, file) in IMAGES {
        certificates.extend([name, file]);
        package.extend([name, file]);
    }
    for (name, file) in CERTIFICATES.iter().zip(&files) {
        certificates.extend([*name, file.as_str()]);
        package.extend([*name, file.as_str()]);
    }
    package.push(PACKAGE);
    let reaches = KEYS
        .iter()
        .map(|(option, name)| Ok((*option, keys.reach(*name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (option, reach) in &reaches {
        certificates.extend([*option, reach.key.as_str()]);
    }
    // A token is reached in one way; what reaches it reaches the files too.
    let reach = reaches
        .iter()
        .map(|(_, reach)| reach)
        .max_by_key(|reach| reach.token)
        .context("TF-A has no keys")?;
    let mut binds = reach.binds.clone();
    binds.push(Bind::write(folder, "/work/images"));
    binds.push(Bind::read(tf_a.join("cert_create"), "/work/cert_create"));
    run(root
        .command("/work/images", &binds, "/work/cert_create")?
        .envs(reach.environment.clone())
        .args(&certificates))?;
    let binds = [Bind::write(folder, "/work/images")];
    run(root
        .command("/work/images", &binds, "fiptool")?
        .args(&package))?;
    for file in files {
        fs::metadata(folder.join(&file)).with_context(|| format!("cert_create made no {file}"))?;
    }
    Ok(())
}
