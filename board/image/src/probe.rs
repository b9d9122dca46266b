//! An image for tests that asks a box's OP-TEE which trusted applications it takes.
//!
//! The kernel of a box, signed by the keys of a box, with a RAM root of its own: `tests/apps/ask-tee` as PID 1, Debian's
//! tee-supplicant, and one of the applications of OP-TEE's own tests, under several signatures. No box is made with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_firmware::{everybody_signs, signed_application};
use board_forge::{Cache, Inputs, debs, tools};
use board_keys::{Keys, Name};

use crate::Board;
use crate::build::{STUB, Signing, stub, unpack};
use crate::uki::Parts;
use crate::userspace::cpio::Archive;

/// The application that is inside the box's OP-TEE: PKCS#11 (`optee/qemu-aarch64.options`).
const BUILT_IN: &str = "fd02c9da-306c-48c7-a49c-bbd827ae86ee";
/// A number that no application has.
const NOBODY: &str = "756d6563-0000-4000-8000-6e6f626f6479";
/// An application that opens a session for everybody (optee-test 4.5, `ta/rpc_test`).
const APPLICATION: &str = "d17f73a0-36ef-11e1-984a-0002a5d5c51b";

/// The packages, and what is taken of them. The loader and the libraries are where the loader looks by itself.
const SUPPLICANT: &str = "tee-supplicant";
const TESTS: &str = "optee-test-qemu";
const FILES: [(&str, &str, &str); 4] = [
    (SUPPLICANT, "usr/sbin/tee-supplicant", "sbin/tee-supplicant"),
    (
        "libteec2",
        "usr/lib/aarch64-linux-gnu/libteec.so.2.0.0",
        "lib/libteec.so.2",
    ),
    (
        "libc6",
        "usr/lib/aarch64-linux-gnu/libc.so.6",
        "lib/libc.so.6",
    ),
    (
        "libc6",
        "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
        "lib/ld-linux-aarch64.so.1",
    ),
];
/// Empty folders of the RAM root, and those of its files.
const FOLDERS: [&str; 8] = [
    "applications",
    "dev",
    "lib",
    "lib/optee_armtz",
    "proc",
    "sbin",
    "storage",
    "sys",
];
/// PID 1.
const PROGRAM: &str = "ask-tee";

/// Makes the signed image. It asks, in this order, for what is `built-in`, for what is `nobody`'s, and for the one
/// application as it was signed by `debian`, by `everybody` (with the private key in OP-TEE's source), by the key of the
/// box but `changed` since by one bit, and by `ours`.
///
/// # Errors
/// What a step says.
pub fn probe(cache: &Cache, keys: &Keys) -> anyhow::Result<PathBuf> {
    let tools = tools(cache)?;
    let kernel = board_kernel::build(cache)?;
    let program = board_cross::lone(cache, PROGRAM)?;
    let stub = stub(cache, &tools)?;
    let debs = debs(cache, &["trixie"], "arm64", &[SUPPLICANT, TESTS])?;
    let from = |package: &str, path: &str| -> anyhow::Result<Vec<u8>> {
        let file = unpack(cache, &tools, "probe-package", &debs, package)?.join(path);
        fs::read(&file).with_context(|| format!("the package {package} has no {path}"))
    };
    let command_line = Board::QemuAarch64.command_line();
    let inputs = Inputs::new()
        .text("recipe", include_str!("probe.rs"))
        .text("uki", include_str!("uki.rs"))
        .text("archive", include_str!("userspace/cpio.rs"))
        .text("command line", &command_line)
        .text("db", &keys.fingerprint(Name::Db)?)
        .text("policy", &keys.fingerprint(Name::PcrPolicy)?)
        .text("ta", &keys.fingerprint(Name::Ta)?)
        .file("certificate", &keys.certificate(Name::Db))?
        .text("kernel", kernel.key.as_str())
        .file("program", &program)?
        .text("packages", debs.identity.as_str())
        .made("stub", &stub)
        .root("tools", &tools);
    let made = cache.step("probe", &inputs, |out| {
        let signing = Signing {
            keys,
            tools: &tools,
        };
        let debian = from(TESTS, &format!("usr/lib/optee_armtz/{APPLICATION}.ta"))?;
        let everybody = signed_application(&debian, |text| everybody_signs(cache, &tools, text))?;
        let ours = signed_application(&debian, |text| signing.sign(Name::Ta, text))?;
        let mut changed = ours.clone();
        *changed.last_mut().context("the application is empty")? ^= 1;
        let applications = [
            ("debian", debian),
            ("everybody", everybody),
            ("changed", changed),
            ("ours", ours),
        ];
        let mut archive = Archive::default();
        for folder in FOLDERS {
            archive.folder(folder)?;
        }
        archive.character("dev/console", 5, 1)?;
        archive.file("init", 0o755, &fs::read(&program)?)?;
        for (package, path, place) in FILES {
            archive.file(place, 0o755, &from(package, path)?)?;
        }
        let mut asked = vec![format!("built-in {BUILT_IN}"), format!("nobody {NOBODY}")];
        for (word, file) in &applications {
            archive.file(&format!("applications/{word}"), 0o444, file)?;
            asked.push(format!("{word} {APPLICATION}"));
        }
        archive.file("asked", 0o444, asked.join("\n").as_bytes())?;
        let initrd = out.join("initrd.cpio");
        fs::write(&initrd, archive.finish()?)?;
        let uki = signing.uki(&Parts {
            stub: &stub.join(STUB),
            kernel: &kernel.packed,
            release: kernel.release.trim(),
            initrd: &initrd,
            command_line: &command_line,
            os_release: "ID=umec-probe\n",
        })?;
        Ok(fs::write(image(out), uki)?)
    })?;
    Ok(image(&made.path))
}

fn image(folder: &Path) -> PathBuf {
    folder.join("probe.efi")
}
