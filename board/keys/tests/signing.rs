//! Signing by keys in files, in a token and behind a command; what each gives is verified by sbsigntool and OpenSSL.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use board_forge::{Bind, Cache, DebianRoot, run, tools};
use board_keys::{Keys, Name, authenticode};

/// An EFI image that every tool root has.
const IMAGE: &str = "usr/lib/efitools/x86_64-linux-gnu/HelloWorld.efi";
/// Configuration of the token in software: tokens are files in the folder that the tool root sees as `/work/token`.
const SOFTHSM: &str = "directories.tokendir = /work/token/tokens\nobjectstore.backend = file\n";
/// The key of db in the token.
const ELSEWHERE: &str = r#"
[token]
module = "/usr/lib/softhsm/libsofthsm2.so"
folder = "TOKEN"
environment = { SOFTHSM2_CONF = "/work/token/softhsm2.conf" }

[key.db]
pkcs11 = "pkcs11:token=umec;object=db?pin-source=file:/work/token/pin"
"#;

struct Stage {
    folder: tempfile::TempDir,
    root: DebianRoot,
    keys: Keys,
}

/// A copy of the development keys, which a test may change.
fn stage() -> Stage {
    let cache = Cache::open().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::development(&cache).unwrap();
    let copy = folder.path().join("keys");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(keys.folder()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    Stage {
        root: tools(&cache).unwrap(),
        keys: Keys::open(&copy).unwrap(),
        folder,
    }
}

impl Stage {
    fn image(&self) -> std::path::PathBuf {
        self.root.path().join(IMAGE)
    }

    fn verifies(&self, signed: &Path) -> bool {
        let binds = [
            Bind::read(self.keys.folder(), "/work/keys"),
            Bind::read(signed, "/work/signed"),
        ];
        let mut command = self.root.command("/work", &binds, "sbverify").unwrap();
        run(command.args(["--cert", "keys/db.crt", "signed"])).is_ok()
    }

    fn reopened(&mut self, elsewhere: &str) {
        fs::remove_file(self.keys.folder().join("db.key")).unwrap();
        fs::write(self.keys.folder().join("keys.toml"), elsewhere).unwrap();
        self.keys = Keys::open(self.keys.folder()).unwrap();
    }
}

#[test]
fn an_image_signed_by_a_file_verifies_and_keeps_its_hash() {
    let stage = stage();
    let signed = stage.folder.path().join("signed.efi");
    let sign = || {
        stage
            .keys
            .sign_efi(&stage.root, Name::Db, &stage.image(), &signed)
    };
    sign().unwrap();
    assert!(stage.verifies(&signed));
    let mut bytes = fs::read(&signed).unwrap();
    let hash = authenticode(&bytes).unwrap();
    // The signature speaks of the very hash that `keys revoke` puts into dbx.
    assert!(bytes.windows(32).any(|window| window == hash.0));
    // Signed twice is the same: the image is reproducible.
    sign().unwrap();
    assert_eq!(fs::read(&signed).unwrap(), bytes);
    bytes[0x1000] ^= 1;
    fs::write(&signed, bytes).unwrap();
    assert!(!stage.verifies(&signed));
}

#[test]
fn an_image_signed_by_a_token_verifies() {
    let mut stage = stage();
    let token = stage.folder.path().join("token");
    fs::create_dir_all(token.join("tokens")).unwrap();
    fs::write(token.join("softhsm2.conf"), SOFTHSM).unwrap();
    fs::write(token.join("pin"), "1234").unwrap();
    let binds = [
        Bind::read(stage.keys.folder(), "/work/keys"),
        Bind::write(&token, "/work/token"),
    ];
    for words in [
        "--init-token --free --label umec --pin 1234 --so-pin 5678",
        "--import /work/keys/db.key --token umec --label db --id 01 --pin 1234",
    ] {
        let mut command = stage
            .root
            .command("/work", &binds, "softhsm2-util")
            .unwrap();
        command.env("SOFTHSM2_CONF", "/work/token/softhsm2.conf");
        run(command.args(words.split(' '))).unwrap();
    }
    stage.reopened(&ELSEWHERE.replace("TOKEN", token.to_str().unwrap()));
    let signed = stage.folder.path().join("signed.efi");
    stage
        .keys
        .sign_efi(&stage.root, Name::Db, &stage.image(), &signed)
        .unwrap();
    assert!(stage.verifies(&signed));
    let (text, signature) = (token.join("text"), token.join("signature"));
    fs::write(&text, "an update").unwrap();
    stage
        .keys
        .sign(&stage.root, Name::Db, &text, &signature)
        .unwrap();
    let mut command = stage.root.command("/work", &binds, "openssl").unwrap();
    run(command
        .args(["dgst", "-sha256", "-verify", "keys/db.pub"])
        .args(["-signature", "token/signature", "token/text"]))
    .unwrap();
}

#[test]
fn a_signing_command_that_gives_back_another_image_is_refused() {
    let mut stage = stage();
    let script = stage.folder.path().join("sign");
    let write = |text: &str| {
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("#!/bin/sh\ntest \"$1\" = efi && cat\n");
    stage.reopened(&format!("[key.db]\ncommand = [\"{}\"]\n", script.display()));
    let signed = stage.folder.path().join("signed.efi");
    let sign = || {
        stage
            .keys
            .sign_efi(&stage.root, Name::Db, &stage.image(), &signed)
            .map_err(|error| format!("{error:#}"))
    };
    sign().unwrap();
    write("#!/bin/sh\ntr 'T' 'U'\n");
    assert!(sign().unwrap_err().contains("another image"));
    write("#!/bin/sh\nexit 3\n");
    assert!(sign().unwrap_err().contains("failed"));
    assert!(
        stage
            .keys
            .reach(Name::Db)
            .unwrap_err()
            .to_string()
            .contains("token")
    );
}
