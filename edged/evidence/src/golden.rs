//! What a build foretells of a boot: the registers of the TPM and the events that make them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pcr::{Event, REGISTERS, Value};

/// What the box puts into PCR 11 on its way, in systemd's words (systemd-pcrphase.service): the data partition opens in
/// the first phase alone.
pub const PHASES: [&str; 2] = ["enter-initrd", "leave-initrd"];
/// The register of the phases.
pub const PHASED: u8 = 11;

/// What U-Boot measures before each image that it tries (`EV_EFI_ACTION`).
pub const CALLING: &str = "Calling EFI Application from Boot Option";

/// The phases as measurements.
pub fn phases() -> [Event; 2] {
    PHASES.map(|phase| Event::of(PHASED, phase, phase.as_bytes()))
}

/// What the build foretells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Golden {
    /// By number.
    pub registers: BTreeMap<u8, Register>,
}

/// One register.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Register {
    /// What it holds in the running box; nothing when an event cannot be foretold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why_not: Option<String>,
    /// What the firmware measures into it, in order.
    pub events: Vec<Expected>,
}

/// An event as it is foretold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// What is measured.
    pub name: String,
    /// Its hash; nothing when only the machine knows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Value>,
}

impl Golden {
    /// From the events of the firmware in their order, each with its register.
    pub fn from_events(events: &[(u8, Expected)]) -> Self {
        let registers = (0..REGISTERS).map(|pcr| {
            let events: Vec<Expected> = events
                .iter()
                .filter(|(register, _)| *register == pcr)
                .map(|(_, expected)| expected.clone())
                .collect();
            (pcr, Register::of(pcr, events))
        });
        Self {
            registers: registers.collect(),
        }
    }
}

impl Register {
    fn of(pcr: u8, events: Vec<Expected>) -> Self {
        let unknown: Vec<&str> = events
            .iter()
            .filter(|event| event.digest.is_none())
            .map(|event| event.name.as_str())
            .collect();
        let why_not = (!unknown.is_empty())
            .then(|| format!("only the machine knows these: {}", unknown.join(", ")));
        let phases = PHASES
            .iter()
            .filter(|_| pcr == PHASED)
            .map(|phase| Value::of(phase.as_bytes()));
        let value = events.iter().filter_map(|event| event.digest).chain(phases);
        let value = value.fold(Value::default(), Value::extended);
        Self {
            value: why_not.is_none().then_some(value),
            why_not,
            events,
        }
    }
}

impl From<Event> for Expected {
    fn from(event: Event) -> Self {
        Self {
            name: event.name,
            digest: Some(event.digest),
        }
    }
}

impl Expected {
    /// An event whose hash only the machine knows.
    pub fn of_the_machine(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            digest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_of_the_device_tree_has_no_value_and_says_why() {
        let tree = (1, Expected::of_the_machine("DTB DATA"));
        let order = (1, Event::of(1, "BootOrder", b"1").into());
        let golden = Golden::from_events(&[tree, order]);
        let register = &golden.registers[&1];
        assert!(register.value.is_none());
        assert!(register.why_not.as_ref().unwrap().ends_with(": DTB DATA"));
        assert_eq!(register.events[1].digest, Some(Value::of(b"1")));
    }

    #[test]
    fn register_11_is_foretold_as_the_running_box_has_it() {
        let zero = Value::default();
        let after = zero
            .extended(Value::of(b"enter-initrd"))
            .extended(Value::of(b"leave-initrd"));
        let golden = Golden::from_events(&[]);
        assert_eq!(golden.registers[&11].value, Some(after));
        assert_eq!(golden.registers[&12].value, Some(zero));
    }
}
