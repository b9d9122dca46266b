//! Reads a firmware's event log (TCG PC Client Platform Firmware Profile, "crypto agile" format) and compares it with
//! what the build foretold: not only whether a register differs, but which event made it differ.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::golden::Golden;
use crate::pcr::{Event, Value, replay};
use crate::text::printable;

/// TPM 2.0's number of SHA-256.
const SHA256: u16 = 0x000b;
/// Lengths of the digests of the algorithms that a log may have beside it: SHA-1, SHA-384, SHA-512, SM3.
const OTHER_ALGORITHMS: [(u16, usize); 4] =
    [(0x0004, 20), (0x000c, 48), (0x000d, 64), (0x0012, 32)];
/// The largest log that is read: U-Boot's area for it has 64 KiB.
const LARGEST: usize = 1 << 20;

/// Event types (PFP, table 27), as far as their data has a name in it.
mod kind {
    pub const POST_CODE: u32 = 0x1;
    pub const NO_ACTION: u32 = 0x3;
    pub const SEPARATOR: u32 = 0x4;
    pub const EVENT_TAG: u32 = 0x6;
    pub const S_CRTM_VERSION: u32 = 0x8;
    pub const IPL: u32 = 0xd;
    pub const VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
    pub const VARIABLE_BOOT: u32 = 0x8000_0002;
    pub const APPLICATION: u32 = 0x8000_0003;
    pub const GPT: u32 = 0x8000_0006;
    pub const ACTION: u32 = 0x8000_0007;
    pub const FIRMWARE_BLOB2: u32 = 0x8000_000a;
    pub const HANDOFF_TABLES2: u32 = 0x8000_000b;
    pub const VARIABLE_BOOT2: u32 = 0x8000_000c;
    pub const VARIABLE_AUTHORITY: u32 = 0x8000_00e0;
}

/// Why bytes are not the log of a boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// More bytes than any firmware has room for.
    #[error("the event log has {0} bytes; {LARGEST} are enough for any")]
    TooLarge(usize),
    /// It ends within an event.
    #[error("the event log is cut off")]
    CutOff,
    /// The first event is not the one that announces the format.
    #[error("this is not an event log in the crypto agile format")]
    Format,
    /// Digests whose length nobody knows, so that what follows cannot be found.
    #[error("the event log has digests of the unknown algorithm {0:#06x}")]
    Algorithm(u16),
    /// Nothing that a SHA-256 register could be computed from.
    #[error("the event log has no SHA-256 digests")]
    NoSha256,
    /// A number beyond a byte.
    #[error("the event log names register {0}, which no TPM has")]
    Register(u32),
}

/// Bytes that are read from their front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], LogError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(LogError::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        self.take(N)?.try_into().map_err(|_| LogError::CutOff)
    }

    fn half(&mut self) -> Result<u16, LogError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn word(&mut self) -> Result<u32, LogError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn length(&mut self) -> Result<usize, LogError> {
        usize::try_from(self.word()?).map_err(|_| LogError::CutOff)
    }
}

/// The measurements of a log, each with the name of what was measured, as a terminal may have it.
///
/// Events of the type `EV_NO_ACTION` only tell something and are in no register: they are left out. U-Boot 2025.01 as it
/// comes extends PCR 0 with them nevertheless when it replays TF-A's log; ours is patched not to.
///
/// # Errors
/// It is no log of this format, has no SHA-256 digests, or is cut off.
pub fn events(log: &[u8]) -> Result<Vec<Event>, LogError> {
    if log.len() > LARGEST {
        return Err(LogError::TooLarge(log.len()));
    }
    let mut reader = Reader(log);
    // The first event has the old format; its data says that the others have the new one.
    let _register_type_digest = reader.take(28)?;
    let length = reader.length()?;
    if !reader.take(length)?.starts_with(b"Spec ID Event03\0") {
        return Err(LogError::Format);
    }
    let mut all = Vec::new();
    let mut applications = 0;
    while !reader.0.is_empty() {
        let (pcr, kind) = (reader.word()?, reader.word()?);
        let mut sha256 = None;
        for _ in 0..reader.word()? {
            let algorithm = reader.half()?;
            if algorithm == SHA256 {
                sha256 = Some(Value(reader.array()?));
            } else if let Some((_, length)) = OTHER_ALGORITHMS
                .iter()
                .find(|(number, _)| *number == algorithm)
            {
                reader.take(*length)?;
            } else {
                return Err(LogError::Algorithm(algorithm));
            }
        }
        let length = reader.length()?;
        let data = reader.take(length)?;
        let digest = sha256.ok_or(LogError::NoSha256)?;
        if kind == kind::NO_ACTION {
            continue;
        }
        if kind == kind::APPLICATION {
            applications += 1;
        }
        all.push(Event {
            pcr: u8::try_from(pcr).map_err(|_| LogError::Register(pcr))?,
            name: name(kind, data, applications),
            digest,
        });
    }
    name_contents(&mut all);
    Ok(all)
}

/// systemd-stub measures each section twice under one name: its name, then its content.
fn name_contents(events: &mut [Event]) {
    let mut before: Option<String> = None;
    for event in events.iter_mut().filter(|event| event.pcr == 11) {
        if before.take().as_ref() == Some(&event.name) {
            event.name.push_str(" (content)");
        } else {
            before = Some(event.name.clone());
        }
    }
}

fn name(kind: u32, data: &[u8], applications: usize) -> String {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_end_matches('\0').to_owned()
    };
    // A length of one byte, then that many of text.
    let counted = |data: &[u8]| {
        let (count, rest) = data.split_first()?;
        Some(text(rest.get(..usize::from(*count))?))
    };
    let known = match kind {
        kind::VARIABLE_DRIVER_CONFIG
        | kind::VARIABLE_BOOT
        | kind::VARIABLE_BOOT2
        | kind::VARIABLE_AUTHORITY => variable(data),
        kind::POST_CODE | kind::FIRMWARE_BLOB2 | kind::HANDOFF_TABLES2 => {
            counted(data).or_else(|| Some(text(data)))
        }
        kind::SEPARATOR => Some("separator".to_owned()),
        kind::S_CRTM_VERSION => Some("version of the firmware".to_owned()),
        kind::EVENT_TAG => data.get(8..).map(text),
        kind::IPL => Some(text(&narrow(data))),
        kind::APPLICATION => Some(format!("EFI application {applications}")),
        kind::GPT => Some("partition table".to_owned()),
        kind::ACTION => Some(text(data)),
        _ => None,
    };
    known
        .map(|name| printable(&name))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("event of type {kind:#x}"))
}

/// The first bytes of UTF-16 characters; what is measured has ASCII names.
fn narrow(data: &[u8]) -> Vec<u8> {
    data.iter().step_by(2).copied().collect()
}

/// The name in a `UEFI_VARIABLE_DATA`: vendor, length of the name, length of the data, name, data.
fn variable(data: &[u8]) -> Option<String> {
    let length = u64::from_le_bytes(data.get(16..24)?.try_into().ok()?);
    let end = usize::try_from(length)
        .ok()?
        .checked_mul(2)?
        .checked_add(32)?;
    let name = narrow(data.get(32..end)?);
    Some(
        String::from_utf8_lossy(&name)
            .trim_end_matches('\0')
            .to_owned(),
    )
}

/// One thing that was not as foretold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The register.
    pub pcr: u8,
    /// What was measured into it.
    pub name: String,
    /// Its hash as the build foretold it; nothing when it was not foretold at all.
    pub expected: Option<Value>,
    /// Its hash in the log; nothing when it was not measured.
    pub found: Option<Value>,
}

/// Compares a log with what the build foretold, register by register, event by event.
pub fn differences(golden: &Golden, log: &[Event]) -> Vec<Difference> {
    let mut all = Vec::new();
    for (pcr, register) in &golden.registers {
        let mut found = log.iter().filter(|event| event.pcr == *pcr).peekable();
        for expected in &register.events {
            if found
                .peek()
                .is_some_and(|event| event.name == expected.name)
            {
                let digest = found.next().map(|event| event.digest);
                // What cannot be foretold has no hash to compare with.
                if expected.digest.is_some() && digest != expected.digest {
                    all.push(difference(*pcr, &expected.name, expected.digest, digest));
                }
            } else {
                all.push(difference(*pcr, &expected.name, expected.digest, None));
            }
        }
        all.extend(found.map(|event| difference(*pcr, &event.name, None, Some(event.digest))));
    }
    all
}

fn difference(pcr: u8, name: &str, expected: Option<Value>, found: Option<Value>) -> Difference {
    Difference {
        pcr,
        name: name.to_owned(),
        expected,
        found,
    }
}

/// A register that a log does not explain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PCR {pcr} holds {held}, and its events give {computed}; this is not the log of this boot")]
pub struct Unexplained {
    /// The register.
    pub pcr: u8,
    /// What it holds.
    pub held: Value,
    /// What the events give.
    pub computed: Value,
}

/// Checks that a log explains what the registers of a TPM hold. PCR 11 goes on after the firmware: the box extends it
/// with its phases, which `after` gives.
///
/// # Errors
/// Names the first register that the log does not explain: it is not the log of this boot.
pub fn explains(
    log: &[Event],
    after: &[Event],
    registers: &BTreeMap<u8, Value>,
) -> Result<(), Unexplained> {
    let computed = replay(&[log, after].concat());
    for (pcr, held) in registers {
        if let Some(value) = computed.get(pcr).filter(|value| *value != held) {
            return Err(Unexplained {
                pcr: *pcr,
                held: *held,
                computed: *value,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Expected, Register};

    fn header() -> Vec<u8> {
        let data = [b"Spec ID Event03\0".as_slice(), &[0; 17]].concat();
        let mut log = vec![0; 4];
        log.extend(3u32.to_le_bytes());
        log.extend([0; 20]);
        log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        log.extend(data);
        log
    }

    fn add(log: &mut Vec<u8>, pcr: u32, kind: u32, digest: Value, data: &[u8]) {
        log.extend(pcr.to_le_bytes());
        log.extend(kind.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(SHA256.to_le_bytes());
        log.extend(digest.0);
        log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        log.extend(data);
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn sample() -> Vec<u8> {
        let mut log = header();
        add(
            &mut log,
            0,
            kind::NO_ACTION,
            Value::default(),
            b"StartupLocality\0\0",
        );
        add(
            &mut log,
            0,
            kind::POST_CODE,
            Value::of(b"bl31"),
            b"SECURE_RT_EL3\0",
        );
        let variable = [
            [9; 16].as_slice(),
            &2u64.to_le_bytes(),
            &1u64.to_le_bytes(),
            &wide("db"),
            &[1],
        ];
        add(
            &mut log,
            7,
            kind::VARIABLE_DRIVER_CONFIG,
            Value::of(b"db"),
            &variable.concat(),
        );
        for content in [b".linux\0".as_slice(), b"kernel"] {
            add(
                &mut log,
                11,
                kind::IPL,
                Value::of(content),
                &wide(".linux\0"),
            );
        }
        log
    }

    fn golden() -> Golden {
        let expected = |name: &str, digest| Expected {
            name: name.to_owned(),
            digest,
        };
        let register = |events| Register {
            value: None,
            why_not: None,
            events,
        };
        Golden {
            registers: [
                (
                    0,
                    register(vec![expected("SECURE_RT_EL3", Some(Value::of(b"bl31")))]),
                ),
                (7, register(vec![expected("db", Some(Value::of(b"db")))])),
            ]
            .into(),
        }
    }

    #[test]
    fn the_events_of_a_log_have_the_names_of_what_was_measured() {
        let events = events(&sample()).unwrap();
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["SECURE_RT_EL3", "db", ".linux", ".linux (content)"]);
    }

    #[test]
    fn a_name_in_a_log_does_nothing_to_a_terminal() {
        let mut log = header();
        let name = "\u{1b}[1A\rok".as_bytes();
        add(&mut log, 4, kind::ACTION, Value::default(), name);
        assert_eq!(events(&log).unwrap()[0].name, r"\u{1b}[1A\rok");
    }

    #[test]
    fn a_log_as_foretold_has_no_differences() {
        assert_eq!(differences(&golden(), &events(&sample()).unwrap()), []);
    }

    #[test]
    fn another_bl31_is_named_and_nothing_else() {
        let mut log = events(&sample()).unwrap();
        log[0].digest = Value::of(b"another");
        let differences = differences(&golden(), &log);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].name, "SECURE_RT_EL3");
    }

    #[test]
    fn an_event_too_many_and_one_that_is_missing_are_named() {
        let mut log = events(&sample()).unwrap();
        log[1].name = "dbx".to_owned();
        let differences = differences(&golden(), &log);
        let named: Vec<_> = differences
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.expected.is_some(),
                    one.found.is_some(),
                )
            })
            .collect();
        assert_eq!(named, [("db", true, false), ("dbx", false, true)]);
    }

    #[test]
    fn a_log_that_is_cut_off_anywhere_is_refused_or_ends_between_events() {
        let log = sample();
        let whole = events(&log).unwrap().len();
        for end in 0..log.len() {
            assert!(
                events(&log[..end]).map_or(true, |events| events.len() < whole),
                "{end}"
            );
        }
    }

    #[test]
    fn the_log_of_another_boot_does_not_explain_the_registers() {
        let log = events(&sample()).unwrap();
        let phase = Event::of(11, "enter-initrd", b"enter-initrd");
        let mut registers = replay(&[log.as_slice(), std::slice::from_ref(&phase)].concat());
        assert!(explains(&log, std::slice::from_ref(&phase), &registers).is_ok());
        assert!(explains(&log, &[], &registers).is_err());
        registers.insert(7, Value::default());
        let error = explains(&log, &[phase], &registers).unwrap_err();
        assert!(error.to_string().starts_with("PCR 7 holds"), "{error}");
    }
}
