//! Secrets of signed images: they open after a signed update, and not after an unsigned change.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_evidence::pcr::Value;
use edged_evidence::policy;
use edged_trust::{Guard, Purpose, TrustError};
use tempfile::TempDir;

use crate::swtpm::Swtpm;

/// A policy key, as board/keys makes it, and the signatures of images.
struct Signer {
    folder: TempDir,
}

impl Signer {
    fn new() -> Self {
        let signer = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        signer.openssl(&["genrsa", "-out", "key", "3072"]);
        signer.openssl(&["rsa", "-in", "key", "-pubout", "-out", "key.pub"]);
        signer
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, message: &[u8]) -> String {
        fs::write(self.path("message"), message).unwrap();
        let arguments = [
            "dgst",
            "-sha256",
            "-sign",
            "key",
            "-out",
            "signature",
            "message",
        ];
        self.openssl(&arguments);
        STANDARD.encode(fs::read(self.path("signature")).unwrap())
    }

    /// Signs for one content of PCR 11, as the build of an image does.
    fn image(&self, register: Value) -> Guard {
        let allowed = policy::holds(register);
        let signature = self.sign(&policy::to_sign(allowed, policy::running()));
        self.guard(allowed, &signature)
    }

    fn guard(&self, allowed: Value, signature: &str) -> Guard {
        let text = format!(
            r#"{{"sha256":[],"umec-running":[{{"pcrs":[11],"pol":"{allowed}","sig":"{signature}"}}]}}"#
        );
        fs::write(self.path("signatures"), text).unwrap();
        Guard::read(&self.path("key.pub"), &self.path("signatures")).unwrap()
    }
}

/// What the image measures into PCR 11; what the register then holds.
fn boot(swtpm: &mut Swtpm, image: &[u8]) -> Value {
    swtpm.power_cycle();
    let digest = Value::of(image);
    swtpm.tool("tpm2_pcrextend", &[&format!("11:sha256={digest}")]);
    Value::default().extended(digest)
}

fn is_policy(error: &TrustError) -> bool {
    matches!(error, TrustError::Policy(_))
}

#[test]
fn secrets_unseal_after_a_signed_update_and_not_after_an_unsigned_change() {
    let (mut swtpm, signer) = (Swtpm::new(), Signer::new());
    let first = signer.image(boot(&mut swtpm, b"release 1"));
    let mut tpm = swtpm.tpm(Some(first));
    tpm.seal("secret", b"of this box").unwrap();
    let key = tpm.public(Purpose::Tls).unwrap();

    // Release 2 is signed: the same key, the same secret.
    drop(tpm);
    let second = signer.image(boot(&mut swtpm, b"release 2"));
    let mut tpm = swtpm.tpm(Some(second));
    assert_eq!(tpm.unseal("secret").unwrap().unwrap(), b"of this box");
    assert_eq!(tpm.public(Purpose::Tls).unwrap(), key);
    tpm.sign(Purpose::Tls, [0; 32]).unwrap();

    // Nobody signed for this one: the signatures are release 2's.
    drop(tpm);
    boot(&mut swtpm, b"somebody's image");
    let old = Guard::read(&signer.path("key.pub"), &signer.path("signatures")).unwrap();
    let mut tpm = swtpm.tpm(Some(old));
    assert!(is_policy(&tpm.unseal("secret").unwrap_err()));
    assert!(is_policy(&tpm.sign(Purpose::Tls, [0; 32]).unwrap_err()));
}

#[test]
fn what_the_box_measures_later_closes_its_secrets_to_the_next_process() {
    let (mut swtpm, signer) = (Swtpm::new(), Signer::new());
    let guard = signer.image(boot(&mut swtpm, b"release 1"));
    let mut tpm = swtpm.tpm(Some(guard.clone()));
    tpm.seal("secret", b"of this box").unwrap();
    tpm.sign(Purpose::Tls, [0; 32]).unwrap();
    tpm.release();
    swtpm.tool(
        "tpm2_pcrextend",
        &[&format!("11:sha256={}", Value::of(b"later"))],
    );
    assert!(is_policy(
        &swtpm.tpm(Some(guard)).unseal("secret").unwrap_err()
    ));
    // A key that is in use goes on: its policy was about the loading.
    tpm.sign(Purpose::Tls, [1; 32]).unwrap();
}

#[test]
fn a_signature_for_another_purpose_or_by_another_key_opens_nothing() {
    let (mut swtpm, signer, other) = (Swtpm::new(), Signer::new(), Signer::new());
    let held = boot(&mut swtpm, b"release 1");
    swtpm
        .tpm(Some(signer.image(held)))
        .seal("secret", b"x")
        .unwrap();
    let allowed = policy::holds(held);
    // systemd's signature for the same content of PCR 11 has no purpose.
    let theirs = signer.guard(allowed, &signer.sign(&allowed.0));
    assert!(is_policy(
        &swtpm.tpm(Some(theirs)).unseal("secret").unwrap_err()
    ));
    // Another key's word for ours.
    let message = policy::to_sign(allowed, policy::running());
    let forged = signer.guard(allowed, &other.sign(&message));
    assert!(is_policy(
        &swtpm.tpm(Some(forged)).unseal("secret").unwrap_err()
    ));
    // Another key in ours' place.
    let error = swtpm
        .tpm(Some(other.image(held)))
        .unseal("secret")
        .unwrap_err();
    assert!(matches!(error, TrustError::OtherPolicy { .. }), "{error}");
    // No key at all.
    let error = swtpm.tpm(None).unseal("secret").unwrap_err();
    assert!(matches!(error, TrustError::OtherPolicy { .. }), "{error}");
    let opened = swtpm
        .tpm(Some(signer.image(held)))
        .unseal("secret")
        .unwrap();
    assert_eq!(opened.unwrap(), b"x");
}
