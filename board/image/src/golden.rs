//! What the registers of the TPM will hold after a boot, computed from what was built and nothing else.
//!
//! The order of events is U-Boot 2025.01's, systemd-stub 257's and Linux 6.12's. Three of them only the machine knows:
//! the device tree (QEMU makes it from its own command line; TF-A, OP-TEE and U-Boot each change it on the way), the boot
//! entry that U-Boot makes by itself of the disk that it finds, and U-Boot's version where no stage before it measures it.

use anyhow::Context;
use board_keys::Variable;
use edged_evidence::golden::CALLING;
pub use edged_evidence::golden::{Expected, Golden, PHASES, Register};

use crate::authenticode;
use crate::pcr::{Event, Value};
use crate::pe::Pe;
use crate::stub;

/// What firmware measures between what it is and what it starts (PFP, `EV_SEPARATOR`).
const SEPARATOR: [u8; 4] = [0; 4];
const SEPARATED: u8 = 8;
/// Texts that U-Boot measures (`EV_EFI_ACTION`).
const EXIT: &str = "Exit Boot Services Invocation";
const EXITED: &str = "Exit Boot Services Returned with Success";
/// The variables with the keys, in the order in which U-Boot measures them.
const KEYS: [&str; 4] = ["PK", "KEK", "db", "dbx"];
/// The names of the events that only the machine knows.
const DEVICE_TREE: &str = "DTB DATA";
const VERSION: &str = "version of the firmware";

/// What boots.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// What the stages before U-Boot measure, in order. Empty when U-Boot is the first.
    pub firmware: &'a [Event],
    /// What U-Boot was built with: PK, KEK, db and dbx, where one that is not there is empty, and what it starts.
    pub seed: &'a [Variable],
    /// The signed unified kernel image.
    pub uki: &'a [u8],
    /// What U-Boot measures of the partition table; nothing on a disk with an MBR.
    pub partitions: Option<&'a [u8]>,
}

/// Foretells the registers.
///
/// # Errors
/// The image is not one of ours: a section is missing.
pub fn foretell(chain: &Chain) -> anyhow::Result<Golden> {
    let image = Pe::parse(chain.uki)?;
    let kernel = image
        .section(".linux")
        .context("the unified kernel image has no kernel")?;
    let mut events = firmware(chain.firmware);
    events.extend(secure_boot(chain.seed));
    events.push(application(1, chain.uki)?);
    events.push(machine(1, DEVICE_TREE));
    events.extend(boot_manager(chain.seed));
    events.push(text(4, CALLING));
    let table = chain
        .partitions
        .map(|table| Event::of(5, "partition table", table));
    events.extend(table.map(known));
    events.extend((0..SEPARATED).map(|pcr| known(Event::of(pcr, "separator", &SEPARATOR))));
    events.extend(stub::sections(&image).into_iter().map(known));
    events.push(application(2, kernel)?);
    events.extend(kernel_inputs(&image));
    events.extend([EXIT, EXITED].map(|what| text(5, what)));
    Ok(Golden::from_events(&events))
}

fn known(event: Event) -> (u8, Expected) {
    (event.pcr, event.into())
}

fn machine(pcr: u8, name: &str) -> (u8, Expected) {
    (pcr, Expected::of_the_machine(name))
}

/// A text that is measured as it is.
fn text(pcr: u8, text: &str) -> (u8, Expected) {
    known(Event::of(pcr, text, text.as_bytes()))
}

/// TF-A's measurements, or U-Boot's of itself where nobody is before it.
fn firmware(stages: &[Event]) -> Vec<(u8, Expected)> {
    if stages.is_empty() {
        return vec![machine(0, VERSION)];
    }
    stages.iter().cloned().map(known).collect()
}

/// The state of secure boot: on, with these keys, in user mode.
fn secure_boot(keys: &[Variable]) -> Vec<(u8, Expected)> {
    let flag = |name: &str, value: u8| measured(7, &Variable::global(name, vec![value]));
    let key = |name: &str| {
        keys.iter()
            .find(|variable| variable.name == name)
            .map_or_else(
                || measured(7, &Variable::key(name, Vec::new())),
                |variable| measured(7, variable),
            )
    };
    let mut events = vec![flag("SecureBoot", 1)];
    events.extend(KEYS.map(key));
    events.extend([flag("DeployedMode", 0), flag("AuditMode", 0)]);
    events.into_iter().map(known).collect()
}

/// The boot manager's variables, in the order in which they stand in the seed: it knows no others.
fn boot_manager(seed: &[Variable]) -> Vec<(u8, Expected)> {
    let own = seed.iter().filter(|one| one.name.starts_with("Boot"));
    own.map(|variable| known(measured(1, variable))).collect()
}

/// A variable as it is measured (`UEFI_VARIABLE_DATA`).
fn measured(pcr: u8, variable: &Variable) -> Event {
    let name: Vec<u8> = wide(&variable.name).collect();
    let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes();
    let parts: [&[u8]; 5] = [
        &variable.vendor.to_bytes_le(),
        &length(name.len() / 2),
        &length(variable.data.len()),
        &name,
        &variable.data,
    ];
    Event::of(pcr, &variable.name, &parts.concat())
}

/// UTF-16.
fn wide(text: &str) -> impl Iterator<Item = u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes)
}

fn application(count: usize, file: &[u8]) -> anyhow::Result<(u8, Expected)> {
    Ok(known(Event {
        pcr: 4,
        name: format!("EFI application {count}"),
        digest: Value(authenticode::digest(file)?),
    }))
}

/// What the kernel's own EFI stub measures: its command line as it gets it, in UTF-16 with its end, and its initrd.
fn kernel_inputs(image: &Pe) -> [(u8, Expected); 2] {
    let line = image.section(".cmdline").unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line: Vec<u8> = wide(line.trim_end_matches('\0')).chain([0, 0]).collect();
    [
        known(Event::of(9, "LOADED_IMAGE::LoadOptions", &line)),
        known(Event::of(9, "Linux initrd", &stub::initrd(image))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_set_is_measured_as_empty() {
        let db = Variable::key("db", vec![1, 2, 3]);
        let events = secure_boot(std::slice::from_ref(&db));
        let names: Vec<_> = events
            .iter()
            .map(|(_, event)| event.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "SecureBoot",
                "PK",
                "KEK",
                "db",
                "dbx",
                "DeployedMode",
                "AuditMode"
            ]
        );
        assert_eq!(events[3], known(measured(7, &db)));
        assert_eq!(
            events[4],
            known(measured(7, &Variable::key("dbx", Vec::new())))
        );
    }

    #[test]
    fn secure_boot_that_is_on_is_measured_as_on_every_machine() {
        // As the log of any machine has it whose firmware follows the PC Client profile.
        let digest = "ccfc4bb32888a345bc8aeadaba552b627d99348c767681ab3141f5b01e40a40e";
        let event = measured(7, &Variable::global("SecureBoot", vec![1]));
        assert_eq!(event.digest.to_string(), digest);
    }

    #[test]
    fn without_stages_before_it_u_boot_measures_its_version_alone() {
        assert_eq!(firmware(&[]), [machine(0, VERSION)]);
        let measured = [Event::of(0, "BL_33", b"u-boot")];
        assert_eq!(firmware(&measured), measured.map(known));
    }
}
