//! Every reason not to believe a box, one test each; a TPM of a few lines makes the evidence.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

use std::collections::BTreeMap;

use edged_evidence::attest::Clock;
use edged_evidence::golden::{Expected, Golden, phases};
use edged_evidence::key::attribute;
use edged_evidence::pcr::{Event, Value, replay};
use edged_evidence::{Evidence, Expectation, Public, REGISTERS, Refusal, qualifying, verify};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

const NONCE: &[u8] = b"a question nobody asked before";
const STATEMENT: &str = r#"{"release":1}"#;
const ATTESTS: u32 = attribute::FIXED_TPM
    | attribute::FIXED_PARENT
    | attribute::SENSITIVE_DATA_ORIGIN
    | attribute::USER_WITH_AUTH
    | attribute::RESTRICTED
    | attribute::SIGN;

/// Signs as a TPM does.
struct Tpm {
    pair: EcdsaKeyPair,
    attributes: u32,
    clock: (u64, u32, u32),
    kind: u16,
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    edged_evidence::wire::counted(bytes).unwrap()
}

impl Tpm {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self {
            pair: EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap(),
            attributes: ATTESTS,
            clock: (1_000, 7, 0),
            kind: 0x8018,
        }
    }

    fn key(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        let mut raw = vec![0x00, 0x23, 0x00, 0x0b];
        raw.extend(self.attributes.to_be_bytes());
        // No policy, no cipher, ECDSA with SHA-256, P-256, no derivation.
        raw.extend([0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10]);
        raw.extend(counted(&point[1..33]));
        raw.extend(counted(&point[33..]));
        raw
    }

    fn attest(&self, qualifying: &[u8], registers: &BTreeMap<u8, Value>) -> Vec<u8> {
        let mut out = 0xff54_4347u32.to_be_bytes().to_vec();
        out.extend(self.kind.to_be_bytes());
        out.extend(counted(b"signer"));
        out.extend(counted(qualifying));
        out.extend(self.clock.0.to_be_bytes());
        out.extend(self.clock.1.to_be_bytes());
        out.extend(self.clock.2.to_be_bytes());
        out.push(1);
        out.extend([0; 8]);
        if self.kind == 0x8017 {
            out.extend([counted(b"name"), counted(b"qualified")].concat());
            return out;
        }
        let mut bits = [0u8; 3];
        for register in registers.keys() {
            bits[usize::from(register / 8)] |= 1 << (register % 8);
        }
        out.extend([0, 0, 0, 1, 0, 0x0b, 3]);
        out.extend(bits);
        let values: Vec<u8> = registers.values().flat_map(|value| value.0).collect();
        out.extend(counted(&Value::of(&values).0));
        out
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let both = self.pair.sign(&SystemRandom::new(), message).unwrap();
        let (r, s) = both.as_ref().split_at(32);
        [vec![0, 0x18, 0, 0x0b], counted(r), counted(s)].concat()
    }

    /// Evidence of a boot with these events.
    fn quote(&self, events: &[Event]) -> Evidence {
        let all = replay(&[events, &phases()].concat());
        let registers: BTreeMap<u8, Value> = REGISTERS.map(|one| (one, all[&one])).into();
        let attest = self.attest(&qualifying(NONCE, Some(STATEMENT)), &registers);
        Evidence {
            nonce: NONCE.to_vec().into(),
            statement: Some(STATEMENT.to_owned()),
            signature: self.sign(&attest).into(),
            attest: attest.into(),
            key: self.key().into(),
            registers,
            log: Some(log(events).into()),
            after: phases().into(),
        }
    }

    /// Signs again, after a test changed the values.
    fn again(&self, evidence: &mut Evidence) {
        let asked = qualifying(&evidence.nonce, evidence.statement.as_deref());
        let attest = self.attest(&asked, &evidence.registers);
        evidence.signature = self.sign(&attest).into();
        evidence.attest = attest.into();
    }
}

/// A log in the crypto agile format, of events that are named by their data (`EV_EFI_ACTION`).
fn log(events: &[Event]) -> Vec<u8> {
    let data = [b"Spec ID Event03\0".as_slice(), &[0; 17]].concat();
    let mut log = vec![0; 28];
    log[4] = 3;
    log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    log.extend(data);
    for event in events {
        log.extend(u32::from(event.pcr).to_le_bytes());
        log.extend(0x8000_0007u32.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(0x000bu16.to_le_bytes());
        log.extend(event.digest.0);
        log.extend(u32::try_from(event.name.len()).unwrap().to_le_bytes());
        log.extend(event.name.as_bytes());
    }
    log
}

fn boot() -> Vec<Event> {
    vec![
        Event::of(0, "BL_33", b"u-boot"),
        Event::of(1, "DTB DATA", b"the machine's"),
        Event::of(4, "Calling EFI Application from Boot Option", b"calling"),
        Event::of(11, ".linux", b"kernel"),
    ]
}

fn golden() -> Golden {
    let foretold = |event: Event| {
        let pcr = event.pcr;
        match event.name.as_str() {
            "DTB DATA" => (pcr, Expected::of_the_machine("DTB DATA")),
            _ => (pcr, event.into()),
        }
    };
    Golden::from_events(&boot().into_iter().map(foretold).collect::<Vec<_>>())
}

/// What an asker knows who enrolled this TPM.
struct Asker {
    key: Public,
    golden: Golden,
    machine: BTreeMap<String, Value>,
    seen: Option<Clock>,
}

impl Asker {
    fn of(tpm: &Tpm) -> Self {
        Self {
            key: Public::read(&tpm.key()).unwrap(),
            golden: golden(),
            machine: BTreeMap::from([("1 DTB DATA".to_owned(), Value::of(b"the machine's"))]),
            seen: None,
        }
    }

    fn ask(&self, evidence: &Evidence) -> Result<edged_evidence::Verdict, Refusal> {
        verify(
            evidence,
            &Expectation {
                nonce: NONCE,
                key: &self.key,
                golden: Some(&self.golden),
                machine: &self.machine,
                seen: self.seen,
            },
        )
    }
}

#[test]
fn a_quote_of_the_foretold_boot_is_believed() {
    let tpm = Tpm::new();
    let verdict = Asker::of(&tpm).ask(&tpm.quote(&boot())).unwrap();
    assert!(verdict.compared);
    assert_eq!(verdict.clock.resets, 7);
    assert_eq!(verdict.machine.len(), 1);
    let json = serde_json::to_string(&tpm.quote(&boot())).unwrap();
    let evidence: Evidence = serde_json::from_str(&json).unwrap();
    Asker::of(&tpm).ask(&evidence).unwrap();
}

#[test]
fn a_stale_nonce_is_refused() {
    let tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    evidence.nonce = b"the question of yesterday".to_vec().into();
    tpm.again(&mut evidence);
    assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::StaleNonce));
    // An old quote under a new nonce is no better.
    evidence.nonce = NONCE.to_vec().into();
    assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::StaleNonce));
}

#[test]
fn a_changed_statement_is_refused() {
    let tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    evidence.statement = Some(r#"{"release":9}"#.to_owned());
    assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::StaleNonce));
}

#[test]
fn a_quote_for_a_nonce_alone_is_none_of_a_statement() {
    let tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    // Whoever may ask for a quote of a nonce alone takes as much as a nonce has of what the statement needs.
    let needed = qualifying(NONCE, evidence.statement.as_deref());
    for nonce in needed.windows(needed.len().min(32)) {
        let attest = tpm.attest(&qualifying(nonce, None), &evidence.registers);
        evidence.signature = tpm.sign(&attest).into();
        evidence.attest = attest.into();
        assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::StaleNonce));
    }
}

#[test]
fn another_boxs_key_is_refused() {
    let (tpm, other) = (Tpm::new(), Tpm::new());
    let refusal = Asker::of(&tpm).ask(&other.quote(&boot()));
    assert_eq!(refusal, Err(Refusal::OtherKey));
    // Its quote under our key is not ours either.
    let mut evidence = other.quote(&boot());
    evidence.key = tpm.key().into();
    assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::BadSignature));
}

#[test]
fn a_key_that_signs_anything_proves_nothing() {
    let mut tpm = Tpm::new();
    tpm.attributes &= !attribute::RESTRICTED;
    let refusal = Asker::of(&tpm).ask(&tpm.quote(&boot()));
    assert_eq!(refusal, Err(Refusal::NoAttestationKey));
}

#[test]
fn one_bit_of_the_statement_or_the_signature_is_noticed() {
    let tpm = Tpm::new();
    let asker = Asker::of(&tpm);
    let whole = tpm.quote(&boot());
    for byte in 0..whole.attest.len() {
        let mut evidence = whole.clone();
        evidence.attest.0[byte] ^= 1;
        assert!(asker.ask(&evidence).is_err(), "{byte}");
    }
    for byte in 0..whole.signature.len() {
        let mut evidence = whole.clone();
        evidence.signature.0[byte] ^= 1;
        let refusal = asker.ask(&evidence).unwrap_err();
        let named = matches!(refusal, Refusal::BadSignature | Refusal::Signature(_));
        assert!(named, "{byte}: {refusal}");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_refused_at_every_length() {
    let tpm = Tpm::new();
    let asker = Asker::of(&tpm);
    let whole = tpm.quote(&boot());
    for length in 0..whole.attest.len() {
        let mut evidence = whole.clone();
        evidence.attest.0.truncate(length);
        assert!(
            matches!(asker.ask(&evidence), Err(Refusal::Attest(_))),
            "{length}"
        );
    }
    for length in 0..whole.signature.len() {
        let mut evidence = whole.clone();
        evidence.signature.0.truncate(length);
        assert!(
            matches!(asker.ask(&evidence), Err(Refusal::Signature(_))),
            "{length}"
        );
    }
    for length in 0..whole.key.len() {
        let mut evidence = whole.clone();
        evidence.key.0.truncate(length);
        assert!(
            matches!(asker.ask(&evidence), Err(Refusal::Key(_))),
            "{length}"
        );
    }
    let mut evidence = whole.clone();
    evidence.attest.0.push(0);
    let refusal = asker.ask(&evidence).unwrap_err().to_string();
    assert!(refusal.contains("1 bytes follow"), "{refusal}");
}

#[test]
fn another_magic_or_type_is_named() {
    let mut tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    evidence.attest.0[0] = 0;
    let refusal = Asker::of(&tpm).ask(&evidence).unwrap_err().to_string();
    assert!(refusal.contains("no TPM begins so"), "{refusal}");
    tpm.kind = 0x8017;
    let mut evidence = tpm.quote(&boot());
    tpm.again(&mut evidence);
    assert_eq!(Asker::of(&tpm).ask(&evidence), Err(Refusal::NoQuote));
    tpm.kind = 0x8019;
    let refusal = Asker::of(&tpm).ask(&tpm.quote(&boot())).unwrap_err();
    assert!(refusal.to_string().contains("0x8019"), "{refusal}");
}

#[test]
fn other_registers_and_other_values_are_refused() {
    let tpm = Tpm::new();
    let asker = Asker::of(&tpm);
    let mut evidence = tpm.quote(&boot());
    evidence.registers.insert(7, Value::of(b"nicer"));
    assert_eq!(asker.ask(&evidence), Err(Refusal::Values));
    let mut evidence = tpm.quote(&boot());
    evidence.registers.remove(&7);
    tpm.again(&mut evidence);
    assert!(matches!(
        asker.ask(&evidence),
        Err(Refusal::Registers { .. })
    ));
}

#[test]
fn an_edited_log_is_refused_and_the_register_is_named() {
    let tpm = Tpm::new();
    let asker = Asker::of(&tpm);
    let mut nicer = boot();
    nicer[0].digest = Value::of(b"what should have booted");
    let mut evidence = tpm.quote(&boot());
    evidence.log = Some(log(&nicer).into());
    let refusal = asker.ask(&evidence).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::NotReplayed(one) if one.pcr == 0),
        "{refusal}"
    );
    evidence.log = None;
    assert_eq!(asker.ask(&evidence), Err(Refusal::NoLog));
}

#[test]
fn what_was_not_foretold_is_named() {
    let tpm = Tpm::new();
    let asker = Asker::of(&tpm);
    let mut other = boot();
    other[3].digest = Value::of(b"another kernel");
    let refusal = asker.ask(&tpm.quote(&other)).unwrap_err();
    assert!(matches!(&refusal, Refusal::NotForetold { pcr: 11, name, .. } if name == ".linux"));
    let mut more = boot();
    more.push(Event::of(12, "command line of somebody", b"debug"));
    let refusal = asker.ask(&tpm.quote(&more)).unwrap_err();
    assert!(matches!(
        &refusal,
        Refusal::NotForetold {
            pcr: 12,
            expected: None,
            ..
        }
    ));
}

#[test]
fn a_phase_that_is_missing_is_noticed_in_the_register() {
    let tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    evidence.after.pop();
    let all = replay(&[boot(), evidence.after.clone()].concat());
    evidence.registers.insert(11, all[&11]);
    tpm.again(&mut evidence);
    let refusal = Asker::of(&tpm).ask(&evidence).unwrap_err();
    assert!(
        matches!(refusal, Refusal::Register { pcr: 11, .. }),
        "{refusal}"
    );
}

#[test]
fn an_event_beside_the_log_is_believed_in_the_register_of_the_phases_alone() {
    let tpm = Tpm::new();
    let mut evidence = tpm.quote(&boot());
    // Kept out of the log, in which it would be compared, and in a register whose value nobody can foretell.
    evidence
        .after
        .push(Event::of(1, "another device tree", b"of somebody"));
    let all = replay(&[boot(), evidence.after.clone()].concat());
    evidence.registers.insert(1, all[&1]);
    tpm.again(&mut evidence);
    let refusal = Asker::of(&tpm).ask(&evidence);
    assert_eq!(refusal, Err(Refusal::NotAPhase(1)));
    // Without a comparison it is no truer.
    let asker = Asker::of(&tpm);
    let plain = Expectation {
        nonce: NONCE,
        key: &asker.key,
        golden: None,
        machine: &asker.machine,
        seen: None,
    };
    assert_eq!(verify(&evidence, &plain), Err(Refusal::NotAPhase(1)));
}

#[test]
fn an_image_that_was_refused_before_is_told() {
    let tpm = Tpm::new();
    let mut twice = boot();
    twice.insert(3, twice[2].clone());
    let refusal = Asker::of(&tpm).ask(&tpm.quote(&twice));
    assert_eq!(refusal, Err(Refusal::OtherImages(1)));
}

#[test]
fn another_device_tree_than_at_the_enrolment_is_named() {
    let tpm = Tpm::new();
    let mut other = boot();
    other[1].digest = Value::of(b"another machine's");
    let refusal = Asker::of(&tpm).ask(&tpm.quote(&other)).unwrap_err();
    assert!(matches!(&refusal, Refusal::MachineChanged { pcr: 1, name, .. } if name == "DTB DATA"));
}

#[test]
fn a_clock_that_went_back_is_a_replay() {
    let tpm = Tpm::new();
    let mut asker = Asker::of(&tpm);
    let clock = |resets, milliseconds| Clock {
        resets,
        restarts: 0,
        milliseconds,
    };
    for (seen, good) in [
        (clock(7, 1_000), true),
        (clock(6, 9_000), true),
        (clock(7, 1_001), false),
        (clock(8, 5), false),
    ] {
        asker.seen = Some(seen);
        let answer = asker.ask(&tpm.quote(&boot()));
        assert_eq!(answer.is_ok(), good, "{seen:?}");
        let named = matches!(answer, Ok(_) | Err(Refusal::ClockWentBack { .. }));
        assert!(named, "{seen:?}");
    }
}
