//! Swap on a compressed RAM disk: what nobody touches (the start-up's pages, files of tmpfs) shrinks to a third.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;

/// The kernel's folder of the device.
const SETTINGS: &str = "/sys/block/zram0";
const DEVICE: &str = "/dev/zram0";
/// Of what may be put there, before compression: this share of the memory.
const SHARE: u64 = 2;
/// Fast to write; pages come back seldom.
const ALGORITHMS: [&str; 3] = ["lz4", "lzo-rle", "zstd"];
const PAGE: usize = 4096;
/// `SWAP_FLAG_PREFER` and priority 100 (linux/swap.h): before any other swap.
const FLAGS: libc::c_int = 0x8000 | 0x64;

/// Makes the device and swaps on it.
pub fn compress() -> Result<(), String> {
    let memory = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let size = disk_size(&memory).ok_or("/proc/meminfo says no MemTotal")?;
    let offered = fs::read_to_string(format!("{SETTINGS}/comp_algorithm"))
        .map_err(|error| format!("{SETTINGS}: {error}"))?;
    if let Some(chosen) = algorithm(&offered) {
        set("comp_algorithm", chosen)?;
    }
    set("disksize", &size.to_string())?;
    let device = OpenOptions::new().write(true).open(DEVICE);
    device
        .and_then(|device| write_header(&device, size))
        .map_err(|error| format!("{DEVICE}: {error}"))?;
    // SAFETY: the path ends in NUL and is read only.
    match unsafe { libc::swapon(c"/dev/zram0".as_ptr(), FLAGS) } {
        0 => Ok(()),
        _ => Err(format!("swapon: {}", std::io::Error::last_os_error())),
    }
}

fn set(name: &str, value: &str) -> Result<(), String> {
    fs::write(format!("{SETTINGS}/{name}"), value)
        .map_err(|error| format!("cannot set {name} to {value}: {error}"))
}

/// Whole pages.
fn disk_size(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024 / SHARE / 4096 * 4096)
}

fn algorithm(offered: &str) -> Option<&'static str> {
    let offered: Vec<&str> = offered
        .split_whitespace()
        .map(|word| word.trim_matches(['[', ']']))
        .collect();
    ALGORITHMS.into_iter().find(|name| offered.contains(name))
}

/// What mkswap(8) writes: version 1, the last page, and the magic word at the end of the first page (linux/swap.h).
fn write_header(device: &File, size: u64) -> std::io::Result<()> {
    let pages = size / 4096;
    let last = u32::try_from(pages.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut page = [0_u8; PAGE];
    let fields = [
        (1024, &1_u32.to_ne_bytes()[..]),
        (1028, &last.to_ne_bytes()[..]),
        (PAGE - 10, b"SWAPSPACE2"),
    ];
    for (at, bytes) in fields {
        if let Some(place) = page.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    device.write_all_at(&page, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_memory_is_offered_in_whole_pages() {
        assert_eq!(
            disk_size("MemTotal:        1000003 kB\nMemFree: 1 kB"),
            Some(512_000_000)
        );
        assert_eq!(disk_size("MemFree: 1 kB"), None);
    }

    #[test]
    fn the_first_known_algorithm_is_taken() {
        assert_eq!(algorithm("lzo [lzo-rle] zstd\n"), Some("lzo-rle"));
        assert_eq!(algorithm("842"), None);
    }

    #[test]
    fn the_header_is_what_swapon_looks_for() {
        let file = tempfile::tempfile().unwrap();
        write_header(&file, 8192).unwrap();
        let mut page = [0_u8; PAGE];
        file.read_exact_at(&mut page, 0).unwrap();
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        assert_eq!(page[1028..1032], 1_u32.to_ne_bytes());
    }
}
