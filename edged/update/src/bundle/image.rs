//! Two looks into the image of a bundle: whose policy opens the data, and which build it is.

use std::io::{self, Read};

use super::{Here, Manifest};
use crate::Refusal;

/// The PE headers and the table of sections lie within the first page.
const HEADERS: usize = 4096;
/// Where the DOS header says where the PE header is.
const PE_POINTER: usize = 0x3c;
/// The COFF header with its signature, in front of the optional header.
const COFF: usize = 24;
/// An entry of the table of sections.
const SECTION: usize = 40;
/// Most sections: a unified kernel image has about fifteen.
const SECTIONS: usize = 96;
/// Longest section that is looked into.
const SMALL: usize = 64 << 10;

/// Compares the image with its manifest and the box.
pub(super) fn check(mut uki: impl Read, manifest: &Manifest, here: &Here) -> Result<(), Refusal> {
    let mut headers = Vec::new();
    let limit = u64::try_from(HEADERS).unwrap_or(u64::MAX);
    uki.by_ref().take(limit).read_to_end(&mut headers)?;
    let mut wanted = Vec::new();
    for name in [OS_RELEASE, POLICY_KEY] {
        wanted.extend(section(&headers, name)?.map(|(start, size)| (start, size, name)));
    }
    // In the order of the file: it is read once, from front to back.
    wanted.sort_unstable();
    let (mut at, mut os_release, mut policy_key) = (headers.len(), None, None);
    for (start, size, name) in wanted {
        let skip = start
            .checked_sub(at)
            .ok_or(Refusal::Image("its sections overlap"))?;
        let skip = u64::try_from(skip).unwrap_or(u64::MAX);
        io::copy(&mut uki.by_ref().take(skip), &mut io::sink())?;
        let mut bytes = vec![0; size];
        uki.read_exact(&mut bytes)?;
        at = start.saturating_add(size);
        let text =
            String::from_utf8(bytes).map_err(|_| Refusal::Image("a section of it is no text"))?;
        let text = text.trim_end_matches('\0').to_owned();
        if name == OS_RELEASE {
            os_release = Some(text);
        } else {
            policy_key = Some(text);
        }
    }
    let os_release = os_release.ok_or(Refusal::Image("it has no section .osrel"))?;
    says(&os_release, "IMAGE_ID", &format!("umec-{}", manifest.board))?;
    says(&os_release, "UMEC_RELEASE", &manifest.release.to_string())?;
    match (&here.policy_key, policy_key) {
        (Some(here), found) if found.as_deref().map(str::trim) != Some(here.trim()) => {
            Err(Refusal::PolicyKey)
        }
        _ => Ok(()),
    }
}

const OS_RELEASE: &[u8] = b".osrel";
const POLICY_KEY: &[u8] = b".pcrpkey";

/// Whether os-release has this line.
fn says(os_release: &str, name: &str, value: &str) -> Result<(), Refusal> {
    let manifest = format!("{name}={value}");
    let line = os_release.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
    });
    if line == Some(&manifest) {
        return Ok(());
    }
    Err(Refusal::OtherImage {
        image: line.unwrap_or_default().to_owned(),
        manifest,
    })
}

/// Where a section begins in the file, and its size.
fn section(headers: &[u8], name: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    let cut = Refusal::Image("its headers are not whole");
    let Some(table) = table(headers) else {
        return Err(cut);
    };
    for header in table {
        let (title, rest) = header.split_at(8);
        let title = title.split(|byte| *byte == 0).next().unwrap_or_default();
        if title != name {
            continue;
        }
        let (Some(size), Some(raw), Some(start)) = (
            number::<4>(rest, 0),
            number::<4>(rest, 8),
            number::<4>(rest, 12),
        ) else {
            return Err(cut);
        };
        if size > SMALL || raw < size || start < headers.len() {
            return Err(Refusal::Image("a section of text has an impossible place"));
        }
        return Ok(Some((start, size)));
    }
    Ok(None)
}

/// The table of sections.
fn table(headers: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let pe = number::<4>(headers, PE_POINTER)?;
    if headers.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let count = number::<2>(headers, pe + 6)?;
    let optional = number::<2>(headers, pe + 20)?;
    let start = pe.checked_add(COFF)?.checked_add(optional)?;
    let table = headers.get(start..start.checked_add(count.min(SECTIONS) * SECTION)?)?;
    (count <= SECTIONS).then(|| table.chunks_exact(SECTION))
}

/// A number of N bytes, least byte first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(N)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)),
    )
}
