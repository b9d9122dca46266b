//! The shared libraries that a program names (ELF-64, System V gABI, chapter 5, "Dynamic Section").

/// `PT_LOAD`, `PT_DYNAMIC`.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
/// `DT_NEEDED`, `DT_STRTAB`.
const NEEDED: u64 = 1;
const STRTAB: u64 = 5;

/// Whether these are the bytes of a 64-bit little-endian ELF file.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF\x02\x01")
}

/// The entries `NEEDED`; nothing for a file without a dynamic section. `None` where the file contradicts itself.
pub fn needed(bytes: &[u8]) -> Option<Vec<String>> {
    let segments = segments(bytes)?;
    let Some(dynamic) = segments.iter().find(|one| one.kind == DYNAMIC) else {
        return Some(Vec::new());
    };
    let start = usize::try_from(dynamic.offset).ok()?;
    let end = start.checked_add(usize::try_from(dynamic.size).ok()?)?;
    let entries: Vec<(u64, u64)> = bytes
        .get(start..end)?
        .chunks_exact(16)
        .filter_map(|entry| Some((word(entry, 0)?, word(entry, 8)?)))
        .collect();
    let table = entries.iter().find(|(tag, _)| *tag == STRTAB)?.1;
    let home = segments
        .iter()
        .find(|one| one.kind == LOAD && table >= one.address && table - one.address < one.size)?;
    let table = usize::try_from(table - home.address + home.offset).ok()?;
    entries
        .iter()
        .filter(|(tag, _)| *tag == NEEDED)
        .map(|(_, at)| {
            let text = bytes.get(table.checked_add(usize::try_from(*at).ok()?)?..)?;
            let end = text.iter().position(|byte| *byte == 0)?;
            String::from_utf8(text.get(..end)?.to_vec()).ok()
        })
        .collect()
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let table = usize::try_from(word(bytes, 32)?).ok()?;
    let size = usize::from(half(bytes, 54)?);
    let count = usize::from(half(bytes, 56)?);
    (0..count)
        .map(|number| {
            let at = table.checked_add(number.checked_mul(size)?)?;
            let kind: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(Segment {
                kind: u32::from_le_bytes(kind),
                offset: word(bytes, at + 8)?,
                address: word(bytes, at + 16)?,
                size: word(bytes, at + 32)?,
            })
        })
        .collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_needs_the_c_library() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(is_elf(&bytes));
        let needed = needed(&bytes).unwrap();
        assert!(needed.iter().any(|name| name == "libc.so.6"), "{needed:?}");
    }

    #[test]
    fn a_file_that_ends_early_is_no_program() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needed(&bytes[..100]), None);
        assert!(!is_elf(b"#!/bin/sh"));
    }
}
