//! The boot manager's variables: what a locked U-Boot starts, and in which order. They are inside it, beside the keys.
//!
//! The order never changes, as it is measured: an update exchanges the two files.

use anyhow::Context;

use crate::variables::Variable;

/// A boot entry that is tried (UEFI 2.10, 3.1.3).
const ACTIVE: u32 = 0x1;

/// The two images on the boot partition: number of the entry, what the console shows, and the path.
pub const SLOTS: [(u16, &str, &str); 2] = [
    (1, "A", "\\EFI\\umec\\a.efi"),
    (2, "B", "\\EFI\\umec\\b.efi"),
];

/// The order, then the entries.
pub(crate) fn variables() -> anyhow::Result<Vec<Variable>> {
    let order = SLOTS.iter().flat_map(|(number, _, _)| number.to_le_bytes());
    let mut all = vec![Variable::global("BootOrder", order.collect())];
    for (number, title, file) in SLOTS {
        let name = format!("Boot{number:04X}");
        all.push(Variable::global(&name, option(title, file)?));
    }
    Ok(all)
}

/// A load option (UEFI 2.10, 3.1.3) for a file on whichever disk has it, without any options for what is started.
///
/// The path alone: U-Boot then looks for the file itself and knows the disk's whole path. With the partition in front
/// (UEFI's other short form) it does not, and leaves out the measurement of the partition table and the separators.
fn option(title: &str, file: &str) -> anyhow::Result<Vec<u8>> {
    let path = [node(4, 4, &wide(file))?, node(0x7f, 0xff, &[])?].concat();
    let mut out = ACTIVE.to_le_bytes().to_vec();
    out.extend(u16::try_from(path.len())?.to_le_bytes());
    out.extend(wide(title));
    out.extend(path);
    Ok(out)
}

/// A node of a device path (UEFI 2.10, 10.2).
fn node(kind: u8, subtype: u8, data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(data.len() + 4).context("a device path node is too long")?;
    let mut out = vec![kind, subtype];
    out.extend(length.to_le_bytes());
    out.extend_from_slice(data);
    Ok(out)
}

/// UTF-16 with its end.
fn wide(text: &str) -> Vec<u8> {
    let text = text.encode_utf16().chain([0]);
    text.flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_comes_before_its_entries() {
        let variables = variables().unwrap();
        let names: Vec<_> = variables.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["BootOrder", "Boot0001", "Boot0002"]);
        assert_eq!(variables[0].data, [1, 0, 2, 0]);
    }

    #[test]
    fn a_boot_entry_gives_no_options_to_what_it_starts() {
        let option = option("A", "\\EFI\\umec\\a.efi").unwrap();
        let length = usize::from(u16::from_le_bytes([option[4], option[5]]));
        // Attributes, length, "A" with its end, the path, and nothing after it.
        assert_eq!(option.len(), 6 + 4 + length);
        assert!(option.ends_with(&[0x7f, 0xff, 4, 0]));
    }
}
