//! The system call filter, compiled once and loaded as a container's last step before its program.

use std::io::{Read as _, Seek as _};

use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use rustix::fs::MemfdFlags;

use super::syscalls::{ALLOWED, DENIED, FAMILIES, NAMESPACE_FLAGS};
use crate::Error;

/// Bytes of one instruction of the kernel's packet filter.
const INSTRUCTION: usize = 8;

/// A compiled filter.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Vec<libc::sock_filter>,
}

impl Filter {
    /// Compiles the tables of [`super::syscalls`] for this machine's own architecture; calls of another one
    /// (32-bit programs) end the process.
    pub fn compile() -> Result<Self, Error> {
        let build = || -> Result<std::fs::File, Box<dyn std::error::Error>> {
            let mut context = ScmpFilterContext::new(ScmpAction::Errno(libc::ENOSYS))?;
            // A balanced tree: about ten comparisons a call instead of up to 300.
            context.set_ctl_optimize(2)?;
            for name in ALLOWED {
                if let Ok(call) = ScmpSyscall::from_name(name) {
                    context.add_rule(ScmpAction::Allow, call)?;
                }
            }
            for name in DENIED {
                if let Ok(call) = ScmpSyscall::from_name(name) {
                    context.add_rule(ScmpAction::Errno(libc::EPERM), call)?;
                }
            }
            let no_namespace =
                ScmpArgCompare::new(0, ScmpCompareOp::MaskedEqual(NAMESPACE_FLAGS), 0);
            context.add_rule_conditional(
                ScmpAction::Allow,
                ScmpSyscall::from_name("clone")?,
                &[no_namespace],
            )?;
            for family in FAMILIES {
                let own = ScmpArgCompare::new(0, ScmpCompareOp::Equal, *family);
                context.add_rule_conditional(
                    ScmpAction::Allow,
                    ScmpSyscall::from_name("socket")?,
                    &[own],
                )?;
            }
            let memory = rustix::fs::memfd_create("seccomp", MemfdFlags::CLOEXEC)?;
            context.export_bpf(&memory)?;
            Ok(std::fs::File::from(memory))
        };
        let mut file = build().map_err(Error::runtime("compile the system call filter"))?;
        let mut bytes = Vec::new();
        file.rewind()
            .and_then(|()| file.read_to_end(&mut bytes))
            .map_err(Error::kernel("read the system call filter"))?;
        let program = bytes
            .chunks_exact(INSTRUCTION)
            .filter_map(instruction)
            .collect();
        Ok(Self { program })
    }

    /// Puts the filter in force for this process and its children, for good. Needs no new privileges to be set.
    pub fn load(&self) -> Result<(), Error> {
        let len = u16::try_from(self.program.len()).map_err(|_| {
            Error::Busy("the system call filter is longer than the kernel takes".to_owned())
        })?;
        let program = libc::sock_fprog {
            len,
            filter: self.program.as_ptr().cast_mut(),
        };
        // SAFETY: `program` and the instructions it points to live through the call, and the kernel only reads them.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const program,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(Error::kernel("put the system call filter in force")(
                std::io::Error::last_os_error(),
            ))
        }
    }
}

fn instruction(bytes: &[u8]) -> Option<libc::sock_filter> {
    let [a, b, jt, jf, k @ ..] = bytes else {
        return None;
    };
    Some(libc::sock_filter {
        code: u16::from_ne_bytes([*a, *b]),
        jt: *jt,
        jf: *jf,
        k: u32::from_ne_bytes(k.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_and_fits_the_kernel() {
        let filter = Filter::compile().unwrap();
        assert!(filter.program.len() > 300 && filter.program.len() < 4096);
    }

    #[test]
    fn no_call_is_both_allowed_and_denied() {
        for name in DENIED {
            assert!(!ALLOWED.contains(name), "{name} is in both tables");
        }
    }
}
