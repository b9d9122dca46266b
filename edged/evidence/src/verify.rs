//! Whether evidence is true.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attest::{Attest, Clock, Content};
use crate::evidence::{Evidence, REGISTERS, hash, qualifying};
use crate::golden::{CALLING, Golden, PHASED};
use crate::key::{Public, Signature};
use crate::log::{Difference, differences, events, explains};
use crate::pcr::{Event, Value};
use crate::refusal::Refusal;

/// What is known of the box.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// What was asked with.
    pub nonce: &'a [u8],
    /// Its attestation key, from its enrolment.
    pub key: &'a Public,
    /// What its image's build foretold; nothing where it is not compared, as for a machine that measures nothing.
    pub golden: Option<&'a Golden>,
    /// What only the machine knows, as it was when it was first compared: by event, `PCR name`.
    pub machine: &'a BTreeMap<String, Value>,
    /// The latest clock that was seen.
    pub seen: Option<Clock>,
}

/// What has been proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The TPM's clock, to be remembered.
    pub clock: Clock,
    /// What the registers hold.
    pub registers: BTreeMap<u8, Value>,
    /// What the box says beside, as JSON text.
    pub statement: Option<String>,
    /// Whether the boot was compared with what its build foretold.
    pub compared: bool,
    /// What only the machine knows, as it was measured: by event, `PCR name`.
    pub machine: BTreeMap<String, Value>,
}

/// Checks a proof.
///
/// # Errors
/// The first reason not to believe it.
pub fn verify(evidence: &Evidence, expectation: &Expectation) -> Result<Verdict, Refusal> {
    let attest = Attest::read(&evidence.attest)?;
    let key = Public::read(&evidence.key).map_err(Refusal::Key)?;
    if key != *expectation.key {
        return Err(Refusal::OtherKey);
    }
    if !key.attests() {
        return Err(Refusal::NoAttestationKey);
    }
    let signature = Signature::read(&evidence.signature).map_err(Refusal::Signature)?;
    if !key.verifies(&evidence.attest, &signature) {
        return Err(Refusal::BadSignature);
    }
    let asked = qualifying(expectation.nonce, evidence.statement.as_deref());
    if attest.qualifying != asked || *evidence.nonce != *expectation.nonce {
        return Err(Refusal::StaleNonce);
    }
    registers(&attest, &evidence.registers)?;
    if let Some(seen) = expectation.seen.filter(|seen| attest.clock < *seen) {
        return Err(Refusal::ClockWentBack {
            seen,
            found: attest.clock,
        });
    }
    let boot = boot(evidence)?;
    let machine = match (expectation.golden, &boot) {
        (None, _) => BTreeMap::new(),
        (Some(_), None) => return Err(Refusal::NoLog),
        (Some(golden), Some(events)) => {
            compare(golden, events, &evidence.registers)?;
            of_the_machine(golden, events, expectation.machine)?
        }
    };
    Ok(Verdict {
        clock: attest.clock,
        registers: evidence.registers.clone(),
        statement: evidence.statement.clone(),
        compared: expectation.golden.is_some(),
        machine,
    })
}

fn registers(attest: &Attest, values: &BTreeMap<u8, Value>) -> Result<(), Refusal> {
    let Content::Quote {
        registers,
        digest: signed,
    } = &attest.content
    else {
        return Err(Refusal::NoQuote);
    };
    if *registers != REGISTERS || !values.keys().eq(REGISTERS.iter()) {
        return Err(Refusal::Registers {
            found: registers.clone(),
            wanted: REGISTERS.to_vec(),
        });
    }
    if hash(values) != *signed {
        return Err(Refusal::Values);
    }
    Ok(())
}

/// The events of the boot, once they explain what the registers hold.
fn boot(evidence: &Evidence) -> Result<Option<Vec<Event>>, Refusal> {
    let Some(log) = &evidence.log else {
        return Ok(None);
    };
    let events = events(log)?;
    // The box itself measures its phases alone: what is elsewhere is the firmware's to tell, and is compared.
    if let Some(strange) = evidence.after.iter().find(|event| event.pcr != PHASED) {
        return Err(Refusal::NotAPhase(strange.pcr));
    }
    explains(&events, &evidence.after, &evidence.registers)?;
    Ok(Some(events))
}

fn compare(
    golden: &Golden,
    events: &[Event],
    registers: &BTreeMap<u8, Value>,
) -> Result<(), Refusal> {
    let tried = events.iter().filter(|event| event.name == CALLING).count();
    if tried > 1 {
        return Err(Refusal::OtherImages(tried - 1));
    }
    let asked = |one: &Difference| REGISTERS.contains(&one.pcr);
    if let Some(one) = differences(golden, events).into_iter().find(asked) {
        return Err(Refusal::NotForetold {
            pcr: one.pcr,
            name: one.name,
            expected: one.expected,
            found: one.found,
        });
    }
    for (pcr, found) in registers {
        let expected = golden.registers.get(pcr).and_then(|one| one.value);
        if let Some(expected) = expected.filter(|expected| expected != found) {
            return Err(Refusal::Register {
                pcr: *pcr,
                expected,
                found: *found,
            });
        }
    }
    Ok(())
}

/// The events that the build could not foretell, compared with how they were at first.
fn of_the_machine(
    golden: &Golden,
    events: &[Event],
    known: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Refusal> {
    let mut all = BTreeMap::new();
    for event in events {
        let foretold = golden.registers.get(&event.pcr).is_some_and(|register| {
            let same = |one: &&crate::golden::Expected| one.name == event.name;
            register
                .events
                .iter()
                .find(same)
                .is_some_and(|one| one.digest.is_some())
        });
        if foretold {
            continue;
        }
        let name = format!("{} {}", event.pcr, event.name);
        match known.get(&name) {
            Some(before) if *before != event.digest => {
                return Err(Refusal::MachineChanged {
                    pcr: event.pcr,
                    name: event.name.clone(),
                    before: *before,
                    found: event.digest,
                });
            }
            _ => {
                all.insert(name, event.digest);
            }
        }
    }
    Ok(all)
}
