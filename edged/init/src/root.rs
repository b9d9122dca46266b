//! The read-only root: one file of the RAM root, through a loop device.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::mount::{MountFlags, mount as mount_on};

/// `LOOP_CTL_GET_FREE` (linux/loop.h).
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
/// `LOOP_CONFIGURE` (linux/loop.h).
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR` (linux/loop.h).
const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
/// Of the loop device: what the file systems below want at least.
const BLOCK: u32 = 4096;
/// Compressed read-only file systems, each with its magic number: (name, offset, bytes).
const KINDS: [(&str, usize, [u8; 4]); 2] = [
    ("erofs", 1024, [0xE2, 0xE1, 0xF5, 0xE0]),
    ("squashfs", 0, *b"hsqs"),
];

/// `struct loop_config` with its `loop_info64`, of which we set the flags (linux/loop.h): 304 bytes.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// Device, inode, rdevice, offset, limit.
    places: [u64; 5],
    /// Number, encryption type and key size.
    kinds: [u32; 3],
    flags: u32,
    /// Two names, a key and two words of an unused cipher.
    unused: [u8; 64 + 64 + 32 + 16],
    reserved: [u64; 8],
}

/// Mounts the file at `target`, read-only.
pub fn mount(file: &Path, target: &Path) -> Result<(), String> {
    let kind = kind_of(file)?;
    // Kept open until the mount holds on to it: a loop device that nobody uses frees itself.
    let (device, _open) = attach(file)?;
    let _ = fs::create_dir(target);
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    mount_on(device.as_str(), target, kind, flags, None::<&CStr>)
        .map_err(|error| format!("cannot mount {} as {kind}: {error}", file.display()))
}

fn kind_of(file: &Path) -> Result<&'static str, String> {
    use std::os::unix::fs::FileExt as _;
    let open =
        File::open(file).map_err(|error| format!("cannot open {}: {error}", file.display()))?;
    let mut head = [0_u8; 1028];
    open.read_exact_at(&mut head, 0)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    KINDS
        .iter()
        .find(|(_, at, magic)| head.get(*at..*at + magic.len()) == Some(magic))
        .map(|(name, ..)| *name)
        .ok_or_else(|| format!("{} is neither erofs nor squashfs", file.display()))
}

fn attach(file: &Path) -> Result<(String, File), String> {
    let failed = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
    let backing = File::open(file).map_err(|error| failed("open the root", error))?;
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .map_err(|error| failed("open /dev/loop-control", error))?;
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and gives a number.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), ioctl(LOOP_CTL_GET_FREE)) };
    if number < 0 {
        let error = std::io::Error::last_os_error();
        return Err(failed("get a loop device", error));
    }
    let path = format!("/dev/loop{number}");
    let device = File::open(&path).map_err(|error| failed(&format!("open {path}"), error))?;
    let config = LoopConfig {
        fd: u32::try_from(backing.as_raw_fd()).map_err(|_| "a descriptor is negative")?,
        block_size: BLOCK,
        places: [0; 5],
        kinds: [0; 3],
        flags: READ_ONLY_AUTOCLEAR,
        unused: [0; 176],
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config`, which LoopConfig is byte for byte (see the test).
    let done = unsafe { libc::ioctl(device.as_raw_fd(), ioctl(LOOP_CONFIGURE), &raw const config) };
    if done < 0 {
        let error = std::io::Error::last_os_error();
        return Err(failed(
            &format!("attach {} to {path}", file.display()),
            error,
        ));
    }
    Ok((path, device))
}

/// glibc and musl disagree about the type of a request's number.
fn ioctl<T: TryFrom<libc::c_ulong> + Default>(number: libc::c_ulong) -> T {
    T::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_configuration_has_the_kernels_layout() {
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(std::mem::offset_of!(LoopConfig, flags), 8 + 40 + 12);
        assert_eq!(std::mem::offset_of!(LoopConfig, reserved), 8 + 232);
    }

    #[test]
    fn a_root_is_known_by_its_magic_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let mut bytes = vec![0_u8; 4096];
        fs::write(&path, &bytes).unwrap();
        assert!(kind_of(&path).unwrap_err().contains("neither"));
        bytes[1024..1028].copy_from_slice(&0xE0F5_E1E2_u32.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        assert_eq!(kind_of(&path).unwrap(), "erofs");
    }
}
