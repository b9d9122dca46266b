//! What was measured.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, ensure};
use board_image::golden::{Golden, PHASES};
use board_image::measure::{differences, events, explains};
use board_image::pcr::{Event, Value};
use board_qemu::{BOOT, Guest, Heard, READY};
use edged_evidence::{
    Activated, Credential, Evidence, Expectation, Identity, Public, Refusal, verify,
};

use umec_tests::ground::Ground;

/// The register that the box extends by its own phases.
const PHASE: u8 = 11;

/// The TPM's registers, by number.
pub type Registers = BTreeMap<u8, Value>;

/// `trust pcrs`.
pub fn registers(guest: &Guest) -> anyhow::Result<Registers> {
    let text = guest.door()?.told(&["trust", "pcrs", "-o", "json"], None)?;
    let mut banks: BTreeMap<String, Registers> =
        serde_json::from_str(&text).context("the registers are not understood")?;
    banks
        .remove("sha256")
        .context("there is no bank for SHA-256")
}

/// What the build foretold.
pub fn golden(ground: &Ground) -> anyhow::Result<Golden> {
    let text = std::fs::read(ground.parts.golden())?;
    Ok(serde_json::from_slice(&text)?)
}

/// `trust log`.
pub fn log(guest: &Guest) -> anyhow::Result<Vec<Event>> {
    let mut ask = guest.door()?.ssh(&["trust", "log"]);
    let answer = ask.stdin(Stdio::null()).output()?;
    ensure!(answer.status.success(), "the box has no log");
    Ok(events(&answer.stdout)?)
}

/// Every event of the log is one that the build foretold, none is missing, and together they give the registers.
pub fn everything_that_the_box_measured_was_foretold_by_the_build(
    guest: &Guest,
    ground: &Ground,
    registers: &Registers,
) -> anyhow::Result<()> {
    let (golden, log) = (golden(ground)?, log(guest)?);
    let differences = differences(&golden, &log);
    ensure!(differences.is_empty(), "{differences:#?}");
    let foretold = golden
        .registers
        .iter()
        .filter_map(|(number, register)| Some((number, register.value.as_ref()?)));
    for (number, value) in foretold {
        let held = registers.get(number);
        ensure!(
            held == Some(value),
            "PCR {number} holds {held:?}, the build foretold {value}"
        );
    }
    let phases = PHASES.map(|phase| Event::of(PHASE, phase, phase.as_bytes()));
    Ok(explains(&log, &phases, registers)?)
}

/// What the box's TPM says of itself and of this boot is believed by who knows the build, once, and as it was said.
pub fn a_quote_of_the_box_verifies_against_what_the_build_foretold(
    guest: &Guest,
    ground: &Ground,
) -> anyhow::Result<()> {
    let door = guest.door()?;
    let identity: Identity = serde_json::from_str(&door.told(&["trust", "enrol"], None)?)?;
    let (endorsement, key) = (
        Public::read(&identity.endorsement)?,
        Public::read(&identity.key)?,
    );
    ensure!(key.attests(), "the attestation key signs anything");
    let secret = b"what only this TPM can open";
    let credential = Credential::make(&endorsement, &key.name(), secret)?;
    // The door's shell splits words as POSIX does.
    let credential = format!("'{}'", serde_json::to_string(&credential)?);
    let opened = door.told(&["trust", "enrol", "--credential", &credential], None)?;
    let opened: Activated = serde_json::from_str(&opened)?;
    ensure!(*opened.secret == *secret, "the credential was not opened");

    let told = door.told(&["trust", "attest", "--nonce", &"ab".repeat(32)], None)?;
    let evidence: Evidence = serde_json::from_str(&told)?;
    let (golden, nothing) = (golden(ground)?, BTreeMap::new());
    let ask = |evidence: &Evidence, nonce: &[u8]| {
        let expectation = Expectation {
            nonce,
            key: &key,
            golden: Some(&golden),
            machine: &nothing,
            seen: None,
        };
        verify(evidence, &expectation)
    };
    let verdict = ask(&evidence, &[0xab; 32])?;
    ensure!(verdict.compared, "nothing was compared: {verdict:?}");
    let stale = ask(&evidence, &[0xcd; 32]);
    ensure!(stale == Err(Refusal::StaleNonce), "{stale:?}");
    let mut edited = evidence.clone();
    let phase = edited.after.first_mut().context("no phase")?;
    phase.digest = Value::of(b"another phase");
    let refused = ask(&edited, &[0xab; 32]);
    ensure!(
        matches!(&refused, Err(Refusal::NotReplayed(one)) if one.pcr == PHASE),
        "{refused:?}"
    );
    Ok(())
}

/// The same box, the same values.
pub fn the_registers_of_the_box_are_the_same_after_its_power_was_cut(
    guest: &Guest,
    then: &Registers,
) -> anyhow::Result<()> {
    are_the_same(then, &registers(guest)?)
}

/// The box's own reboot resets the TPM as the power does.
pub fn the_registers_of_the_box_are_the_same_after_a_reboot(
    guest: &Guest,
    then: &Registers,
) -> anyhow::Result<()> {
    guest.door()?.told(&["reboot"], None)?;
    let mut starts = 0;
    let heard = guest.machine.console.wait(BOOT, &|| false, |line| {
        starts += u32::from(line.text.contains(READY));
        (starts == 2).then_some(())
    });
    ensure!(
        matches!(heard, Heard::Line(())),
        "it is not back: {heard:?}"
    );
    are_the_same(then, &registers(guest)?)
}

fn are_the_same(then: &Registers, now: &Registers) -> anyhow::Result<()> {
    let changed = then
        .iter()
        .find(|(number, value)| now.get(number) != Some(value));
    ensure!(changed.is_none(), "{changed:?} is another one now");
    Ok(())
}
