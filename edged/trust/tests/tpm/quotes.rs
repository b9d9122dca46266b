//! Quotes: ours before our verifier and before tpm2-tools, theirs before ours.

use std::collections::BTreeMap;
use std::fs;

use edged_evidence::attest::Attest;
use edged_evidence::pcr::Value;
use edged_evidence::{Evidence, Expectation, Public, REGISTERS, Refusal, qualifying, verify};
use edged_trust::Tpm;

use crate::swtpm::Swtpm;

/// The registers as tpm2-tools name them.
const LIST: &str = "sha256:0,1,2,3,4,5,6,7,9,11,12,13";

fn evidence(tpm: &mut Tpm, nonce: &[u8]) -> (Evidence, Public) {
    let statement = Some(r#"{"release":1}"#.to_owned());
    let (quote, registers) = tpm.quote(&qualifying(nonce, statement.as_deref())).unwrap();
    let key = tpm.attestation_public().unwrap();
    let evidence = Evidence {
        nonce: nonce.to_vec().into(),
        statement,
        attest: quote.attest.into(),
        signature: quote.signature.into(),
        key: key.raw().to_vec().into(),
        registers,
        log: None,
        after: Vec::new(),
    };
    (evidence, key)
}

fn expectation<'a>(nonce: &'a [u8], key: &'a Public) -> Expectation<'a> {
    static NOTHING: BTreeMap<String, Value> = BTreeMap::new();
    Expectation {
        nonce,
        key,
        golden: None,
        machine: &NOTHING,
        seen: None,
    }
}

#[test]
fn a_quote_of_a_real_tpm_is_believed_once() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    let (first, key) = evidence(&mut tpm, b"one question");
    let verdict = verify(&first, &expectation(b"one question", &key)).unwrap();
    assert!(!verdict.compared);
    // Replayed for another question.
    let refusal = verify(&first, &expectation(b"another question", &key));
    assert_eq!(refusal, Err(Refusal::StaleNonce));
    // Asked again, the clock has moved on, and the first answer is an old one.
    let (second, _) = evidence(&mut tpm, b"one question");
    let seen = verify(&second, &expectation(b"one question", &key))
        .unwrap()
        .clock;
    let mut later = expectation(b"one question", &key);
    later.seen = Some(edged_evidence::attest::Clock {
        milliseconds: seen.milliseconds + 1,
        ..seen
    });
    assert!(matches!(
        verify(&first, &later),
        Err(Refusal::ClockWentBack { .. })
    ));
}

#[test]
fn another_tpms_quote_is_refused() {
    let (own, other) = (Swtpm::new(), Swtpm::new());
    let key = own.tpm(None).attestation_public().unwrap();
    let (theirs, _) = evidence(&mut other.tpm(None), b"a question");
    let refusal = verify(&theirs, &expectation(b"a question", &key));
    assert_eq!(refusal, Err(Refusal::OtherKey));
}

#[test]
fn an_extended_register_is_in_the_next_quote() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    let (before, _) = evidence(&mut tpm, b"a question");
    tpm.release();
    let digest = Value::of(b"measured");
    swtpm.tool("tpm2_pcrextend", &[&format!("12:sha256={digest}")]);
    let (after, key) = evidence(&mut tpm, b"a question");
    assert_eq!(after.registers[&12], Value::default().extended(digest));
    verify(&after, &expectation(b"a question", &key)).unwrap();
    // The old values under the new quote are noticed.
    let mut mixed = after.clone();
    mixed.registers = before.registers;
    let refusal = verify(&mixed, &expectation(b"a question", &key));
    assert_eq!(refusal, Err(Refusal::Values));
}

#[test]
fn the_clock_counts_the_boots_of_the_machine() {
    let mut swtpm = Swtpm::new();
    let resets = |tpm: &mut Tpm| {
        let (evidence, _) = evidence(tpm, b"a question");
        Attest::read(&evidence.attest).unwrap().clock.resets
    };
    let first = resets(&mut swtpm.tpm(None));
    swtpm.power_cycle();
    assert_eq!(resets(&mut swtpm.tpm(None)), first + 1);
}

#[test]
fn tpm2_checkquote_takes_our_quote() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm(None);
    let nonce = [0xab; 16];
    let (quote, _) = tpm.quote(&nonce).unwrap();
    let key = tpm.attestation_public().unwrap();
    tpm.release();
    let file = |name: &str| swtpm.folder.path().join(name);
    fs::write(file("attest"), &quote.attest).unwrap();
    fs::write(file("signature"), &quote.signature).unwrap();
    fs::write(file("key.pem"), key.pem()).unwrap();
    let hex = "ab".repeat(16);
    let arguments = [
        "-u",
        "key.pem",
        "-m",
        "attest",
        "-s",
        "signature",
        "-q",
        &hex,
    ];
    swtpm.tool("tpm2_checkquote", &arguments);
    let other = [
        "-u",
        "key.pem",
        "-m",
        "attest",
        "-s",
        "signature",
        "-q",
        "00",
    ];
    assert!(!swtpm.tried("tpm2_checkquote", &other).status.success());
}

#[test]
fn our_verifier_takes_a_quote_of_tpm2_tools() {
    for (algorithm, signature) in [("ecc", "ecdsa"), ("rsa", "rsassa")] {
        let swtpm = Swtpm::new();
        swtpm.tool("tpm2_createek", &["-Q", "-c", "ek", "-G", algorithm]);
        let key = [
            "-Q", "-C", "ek", "-c", "ak", "-G", algorithm, "-g", "sha256", "-s", signature,
        ];
        swtpm.tool("tpm2_createak", &[&key[..], &["-u", "ak.pub"]].concat());
        swtpm.tool("tpm2_flushcontext", &["-t"]);
        let hex = "0f".repeat(20);
        let quote = [
            "-Q",
            "-c",
            "ak",
            "-l",
            LIST,
            "-q",
            &hex,
            "-m",
            "attest",
            "-s",
            "signature",
        ];
        swtpm.tool("tpm2_quote", &quote);
        let read = |name: &str| fs::read(swtpm.folder.path().join(name)).unwrap();
        // The file begins with the size of what follows.
        let raw = read("ak.pub")[2..].to_vec();
        let public = Public::read(&raw).unwrap();
        let evidence = Evidence {
            nonce: vec![0x0f; 20].into(),
            statement: None,
            attest: read("attest").into(),
            signature: read("signature").into(),
            key: raw.into(),
            registers: REGISTERS.map(|number| (number, Value::default())).into(),
            log: None,
            after: Vec::new(),
        };
        verify(&evidence, &expectation(&[0x0f; 20], &public)).unwrap();
        let refusal = verify(&evidence, &expectation(&[0x0f; 19], &public));
        assert_eq!(refusal, Err(Refusal::StaleNonce), "{algorithm}");
        let mut bent = evidence.clone();
        let last = bent.signature.len() - 1;
        bent.signature.0[last] ^= 1;
        let refusal = verify(&bent, &expectation(&[0x0f; 20], &public));
        assert_eq!(refusal, Err(Refusal::BadSignature), "{algorithm}");
    }
}
