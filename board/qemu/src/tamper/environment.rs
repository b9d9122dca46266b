//! A saved environment of U-Boot, with commands of somebody else's.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::folder::{Folder, INSIDE};

use super::BYPASSED;

/// Bytes of the environment: `CONFIG_ENV_SIZE` of U-Boot's `qemu_arm64_defconfig`, which looks for it at the start of
/// the second flash.
const SIZE: usize = 0x4_0000;
/// Bytes of a flash of QEMU's `virt` machine.
const FLASH: u64 = 64 << 20;

/// Writes the second flash; returns the arguments that plug it in.
pub fn plant(folder: &Folder) -> anyhow::Result<Vec<String>> {
    let path = folder.path.join("flash1.bin");
    let file = File::create(&path)?;
    file.set_len(FLASH)?;
    file.write_all_at(&environment(), 0)?;
    fs::File::sync_all(&file)?;
    let drive = format!("if=pflash,unit=1,format=raw,file={INSIDE}/flash1.bin");
    Ok(vec!["-drive".to_owned(), drive])
}

/// CRC-32, then `name=value` with a NUL after each and one more at the end (U-Boot's `env_t` without redundancy).
fn environment() -> Vec<u8> {
    let command = format!("echo {BYPASSED}; echo {BYPASSED}");
    let mut data = Vec::new();
    for name in ["bootcmd", "preboot", "altbootcmd"] {
        data.extend(format!("{name}={command}\0").into_bytes());
    }
    data.extend(b"bootdelay=0\0stderr=serial\0stdin=serial\0stdout=serial\0\0");
    data.resize(SIZE - 4, 0);
    let mut whole = crc32(&data).to_le_bytes().to_vec();
    whole.extend(data);
    whole
}

/// CRC-32 as zlib's (polynomial 0x04C11DB7, reflected).
fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (carry * 0xEDB8_8320);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_u_boot_checks() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(environment().len(), SIZE);
    }
}
