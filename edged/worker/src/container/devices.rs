//! Which device nodes a container's processes may open, under cgroup v2.
//!
//! Version 1 has a controller with a list for it; in version 2 a BPF program of the cgroup decides (kernel,
//! admin-guide/cgroup-v2, "Device controller"), and libcgroups brings one only with libbpf. This is that program, put
//! together here: no device but the ones that every container gets is opened, and none is made, whatever node an image
//! or a hole elsewhere may bring. Other defences (no `CAP_MKNOD`, `nodev`) come first; this one holds without them.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use crate::Error;

/// Character devices that may be read and written: major and minor; `None` is every minor. The ones that libcontainer
/// puts into /dev (runtime-spec, config-linux.md, "Default Devices"), and pseudo-terminals.
const ALLOWED: [(i32, Option<i32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

// linux/bpf.h, `enum bpf_cmd`, `bpf_prog_type`, `bpf_attach_type`.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: what a parent cgroup forbids stays forbidden.
const ALLOW_MULTI: u32 = 2;
/// `BPF_DEVCG_DEV_CHAR` and `BPF_DEVCG_ACC_MKNOD`.
const CHARACTER: i32 = 2;
const MAKE: i32 = 1;

// Opcodes (kernel, bpf/standardization/instruction-set).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// `struct bpf_insn`: operation, destination (low) and source (high) register, offset, constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    operation: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

const fn step(operation: u8, to: u8, from: u8, offset: i16, constant: i32) -> Instruction {
    Instruction {
        operation,
        registers: to | from << 4,
        offset,
        constant,
    }
}

/// The program. Its argument (`struct bpf_cgroup_dev_ctx`, register 1) holds the access in its upper and the kind in
/// its lower half, then major and minor; its result is 1 to allow.
fn program() -> Vec<Instruction> {
    let mut rules = Vec::new();
    for (major, minor) in ALLOWED {
        rules.push(step(
            JUMP_UNLESS_EQUAL,
            3,
            0,
            if minor.is_some() { 3 } else { 2 },
            major,
        ));
        if let Some(minor) = minor {
            rules.push(step(JUMP_UNLESS_EQUAL, 4, 0, 2, minor));
        }
        rules.push(step(MOVE, 0, 0, 0, 1));
        rules.push(step(EXIT, 0, 0, 0, 0));
    }
    let end = i16::try_from(rules.len()).unwrap_or(i16::MAX);
    let mut program = vec![
        step(MOVE, 0, 0, 0, 0),
        step(LOAD_WORD, 2, 1, 0, 0),
        step(LOAD_WORD, 3, 1, 4, 0),
        step(LOAD_WORD, 4, 1, 8, 0),
        step(MOVE_REGISTER, 5, 2, 0, 0),
        step(AND, 5, 0, 0, 0xffff),
        step(JUMP_UNLESS_EQUAL, 5, 0, end + 3, CHARACTER),
        step(SHIFT_RIGHT, 2, 0, 0, 16),
        step(AND, 2, 0, 0, MAKE),
        step(JUMP_UNLESS_EQUAL, 2, 0, end, 0),
    ];
    program.extend(rules);
    program.push(step(EXIT, 0, 0, 0, 0));
    program
}

/// What `BPF_PROG_LOAD` reads of `union bpf_attr`; the rest is zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    version: u32,
    flags: u32,
}

/// What `BPF_PROG_ATTACH` reads.
#[repr(C)]
struct Attach {
    cgroup: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Puts the program on a cgroup of version 2, for as long as the cgroup is there.
pub fn fence(cgroup: &Path) -> Result<(), Error> {
    let folder = File::open(cgroup).map_err(Error::path("open", cgroup))?;
    let program = load().map_err(Error::kernel("load the filter of devices"))?;
    let number = |fd: i32| u32::try_from(fd).unwrap_or(u32::MAX);
    let attach = Attach {
        cgroup: number(folder.as_raw_fd()),
        program: number(program.as_raw_fd()),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &attach)
        .map(drop)
        .map_err(Error::path("filter the devices of", cgroup))
}

fn load() -> io::Result<OwnedFd> {
    let program = program();
    let address = |pointer: *const u8| u64::try_from(pointer.addr()).unwrap_or(0);
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(program.len()).unwrap_or(0),
        instructions: address(program.as_ptr().cast()),
        license: address(c"Apache-2.0".as_ptr().cast()),
        log: [0; 2],
        log_buffer: 0,
        version: 0,
        flags: 0,
    };
    let fd = bpf(PROG_LOAD, &load)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is the beginning of `union bpf_attr` for this command, with its length; what it points to
    // lives through the call, and the kernel only reads it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    match i32::try_from(done) {
        Ok(done) if done >= 0 => Ok(done),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allows(access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let program = program();
        let mut registers = [0_i64; 11];
        let mut at = 0;
        loop {
            let it = program[at];
            let (to, from) = (
                usize::from(it.registers & 15),
                usize::from(it.registers >> 4),
            );
            let constant = i64::from(it.constant);
            at += 1;
            match it.operation {
                LOAD_WORD => {
                    registers[to] = i64::from(context[usize::try_from(it.offset).unwrap() / 4]);
                }
                MOVE => registers[to] = constant,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= constant,
                SHIFT_RIGHT => registers[to] >>= constant,
                JUMP_UNLESS_EQUAL if registers[to] != constant => {
                    at += usize::try_from(it.offset).unwrap();
                }
                JUMP_UNLESS_EQUAL => {}
                _ => return registers[0] == 1,
            }
        }
    }

    #[test]
    fn the_listed_devices_are_read_and_written_and_nothing_else_is_opened_or_made() {
        let (make, read, write) = (1, 2, 4);
        let (block, character) = (1, 2);
        assert!(allows(read, character, 1, 3), "/dev/null");
        assert!(allows(read | write, character, 136, 7), "a terminal");
        assert!(allows(write, character, 5, 2), "/dev/ptmx");
        assert!(!allows(make, character, 1, 3), "mknod");
        assert!(!allows(make | read | write, character, 1, 3));
        assert!(!allows(read, character, 1, 1), "/dev/mem");
        assert!(!allows(read, character, 10, 200), "/dev/net/tun");
        assert!(!allows(read, block, 1, 3), "a disk in RAM");
        assert!(!allows(read, block, 8, 0), "a disk");
    }
}
