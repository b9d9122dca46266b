//! Keys and secrets in the TPM.

use std::fs;

use edged_evidence::attest::{Attest, Content};
use edged_evidence::{Credential, Public, Signature};
use edged_trust::{Keeper, Purpose, Tpm, TrustError};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::swtpm::Swtpm;

#[test]
fn a_key_signs_and_is_the_same_after_a_loss_of_power() {
    let mut swtpm = Swtpm::new();
    let keeper = Keeper::start(swtpm.settings(None)).unwrap();
    let mut seen = Vec::new();
    for purpose in Purpose::ALL {
        let key = keeper.key(purpose).unwrap();
        for message in [b"one".as_slice(), b"two"] {
            let signature = key.sign(message).unwrap();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public())
                .verify(message, &signature)
                .unwrap();
        }
        seen.push(key.public());
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    drop(keeper);
    swtpm.power_cycle();
    let keeper = Keeper::start(swtpm.settings(None)).unwrap();
    let key = keeper.key(Purpose::Tls).unwrap();
    assert_eq!(key.public(), seen[0]);
    key.sign(b"three").unwrap();
}

#[test]
fn a_tpm_that_starts_anew_under_a_running_box_goes_on_signing() {
    let mut swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    let public = tpm.public(Purpose::Token).unwrap();
    tpm.sign(Purpose::Token, [1; 32]).unwrap();
    tpm.release();
    // The contexts that it lent are worth nothing after this.
    swtpm.power_cycle();
    tpm.sign(Purpose::Token, [2; 32]).unwrap();
    assert_eq!(tpm.public(Purpose::Token).unwrap(), public);
}

#[test]
fn a_connection_that_broke_costs_no_signature() {
    let mut swtpm = Swtpm::new();
    let keeper = Keeper::start(swtpm.settings(None)).unwrap();
    let key = keeper.key(Purpose::Tls).unwrap();
    swtpm.power_cycle();
    key.sign(b"one").unwrap();
}

#[test]
fn two_processes_that_sign_at_once_never_sign_with_each_others_keys() {
    let swtpm = Swtpm::new();
    // As edged and `edged token` are: each has a connection of its own.
    let keepers = [(); 2].map(|()| Keeper::start(swtpm.settings(None)).unwrap());
    std::thread::scope(|scope| {
        for (keeper, purpose) in keepers.iter().zip([Purpose::Token, Purpose::Ca]) {
            scope.spawn(move || {
                let key = keeper.key(purpose).unwrap();
                for round in 0u8..20 {
                    // Refused by the key itself, were it another one's.
                    key.sign(&[round]).unwrap();
                    if round % 5 == 0 {
                        let release = |tpm: &mut Tpm| {
                            tpm.release();
                            Ok(())
                        };
                        keeper.ask(release).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn many_uses_leave_nothing_in_the_tpms_memory() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    for round in 0..8 {
        for purpose in Purpose::ALL {
            tpm.sign(purpose, [round; 32]).unwrap();
            tpm.certify(purpose, b"question").unwrap();
        }
        tpm.quote(b"question").unwrap();
        tpm.seal("secret", &[round; 500]).unwrap();
        assert_eq!(tpm.unseal("secret").unwrap().unwrap(), [round; 500]);
    }
    tpm.release();
    for kind in ["handles-transient", "handles-loaded-session"] {
        let left = swtpm.tool("tpm2_getcap", &[kind]);
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{kind}");
    }
}

#[test]
fn what_a_killed_process_left_loaded_is_taken_away() {
    let swtpm = Swtpm::new();
    for name in ["one", "two", "three"] {
        swtpm.tool("tpm2_createprimary", &["-Q", "-c", name]);
    }
    let left = swtpm.tool("tpm2_getcap", &["handles-transient"]);
    assert_eq!(String::from_utf8_lossy(&left.stdout).lines().count(), 3);
    swtpm.tpm(None).sign(Purpose::Ca, [0; 32]).unwrap();
}

#[test]
fn blobs_of_another_tpm_give_no_key_and_no_secret() {
    let (own, other) = (Swtpm::new(), Swtpm::new());
    let mut tpm = own.tpm(None);
    let public = tpm.public(Purpose::Token).unwrap();
    tpm.seal("secret", b"of this box").unwrap();
    let (from, to) = (
        own.folder.path().join("objects"),
        other.folder.path().join("objects"),
    );
    fs::create_dir(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let mut copy = other.tpm(None);
    let refused = |error: TrustError| matches!(error, TrustError::Foreign { .. });
    assert!(refused(copy.sign(Purpose::Token, [0; 32]).unwrap_err()));
    assert!(refused(copy.unseal("secret").unwrap_err()));
    // Without the storage key of the other TPM a new one is made, and what was below the old one does not fit.
    fs::remove_file(to.join("storage.blob")).unwrap();
    assert!(refused(copy.sign(Purpose::Token, [0; 32]).unwrap_err()));
    assert!(refused(copy.unseal("secret").unwrap_err()));
    fs::remove_file(to.join("token.blob")).unwrap();
    assert_ne!(copy.public(Purpose::Token).unwrap(), public);
    assert_ne!(
        copy.attestation_public().unwrap(),
        tpm.attestation_public().unwrap()
    );
}

#[test]
fn the_credential_for_a_box_opens_in_its_tpm_alone() {
    let (own, other) = (Swtpm::new(), Swtpm::new());
    let mut tpm = own.tpm(None);
    let identity = tpm.identity().unwrap();
    let (endorsement, key) = (
        Public::read(&identity.endorsement).unwrap(),
        Public::read(&identity.key).unwrap(),
    );
    assert!(key.attests());
    let credential = Credential::make(&endorsement, &key.name(), b"sixteen bytes...").unwrap();
    assert_eq!(tpm.activate(&credential).unwrap(), b"sixteen bytes...");
    assert!(other.tpm(None).activate(&credential).is_err());
    // For another key than the one beside it, it does not open either.
    let of_another = other.tpm(None).attestation_public().unwrap();
    let lie = Credential::make(&endorsement, &of_another.name(), b"x").unwrap();
    assert!(tpm.activate(&lie).is_err());
    assert_eq!(tpm.activate(&credential).unwrap(), b"sixteen bytes...");
}

#[test]
fn the_tpm_certifies_a_key_that_it_has() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    let word = tpm.certify(Purpose::Tls, b"question").unwrap();
    let key = tpm.attestation_public().unwrap();
    assert!(key.verifies(&word.attest, &Signature::read(&word.signature).unwrap()));
    let attest = Attest::read(&word.attest).unwrap();
    assert_eq!(attest.qualifying, b"question");
    assert!(matches!(attest.content, Content::Certify { name } if name.len() == 34));
}

#[test]
fn without_a_tpm_at_its_place_the_keeper_says_so() {
    let swtpm = Swtpm::new();
    let mut settings = swtpm.settings(None);
    settings.place = "device:/dev/there-is-none".to_owned();
    let error = Keeper::start(settings).unwrap_err().to_string();
    assert!(
        error.contains("/dev/there-is-none") && error.contains("[trust]"),
        "{error}"
    );
}
