//! The device node of the boot partition.

use std::io;
use std::path::PathBuf;

use edged_disk::{BOOT, Devices};

/// Looks for it.
///
/// # Errors
/// There is none, or more than one.
pub fn boot_partition() -> io::Result<PathBuf> {
    one(&Devices::of_this_machine().find(BOOT)?)
}

fn one(found: &[PathBuf]) -> io::Result<PathBuf> {
    match found {
        [node] => Ok(node.clone()),
        [] => Err(io::Error::other("there is no boot partition of ours")),
        _ => Err(io::Error::other(
            "there are several boot partitions of ours: leave one disk",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_must_be_exactly_one_boot_partition() {
        let nodes = ["/dev/vda1", "/dev/vdb1"].map(PathBuf::from);
        assert!(one(&[]).is_err());
        assert_eq!(one(&nodes[..1]).unwrap(), nodes[0]);
        assert!(one(&nodes).is_err());
    }
}
