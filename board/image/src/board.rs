//! The boards, and how their images differ.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use clap::ValueEnum;

/// A board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// QEMU's virt machine, with the whole chain from TF-A on and a TPM.
    QemuAarch64,
    /// Raspberry Pi 4: UEFI Secure Boot from U-Boot on, which the Pi's own firmware starts unverified.
    Rpi4,
}

/// What every box has on its command line. A fault of the kernel ends in a restart, as the boot manager's second
/// choice is only ever tried after one; PID 1 takes no credentials from whatever the machine or the boot partition offers.
/// The RAM root is a ramfs, as the read-only root is mounted out of a file in it, and a file in tmpfs cannot be one
/// (fs/erofs/super.c asks for `read_folio`). No links are there that nobody made.
const EVERYWHERE: &str = "rootfstype=ramfs dummy.numdummies=0 ifb.numifbs=0 oops=panic panic=5 loglevel=4 \
                          systemd.import_credentials=no";

impl Board {
    /// Its name on the command line, and in the image.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QemuAarch64 => "qemu-aarch64",
            Self::Rpi4 => "rpi4",
        }
    }

    /// The kernel's command line, which is signed: neither a person nor the boot partition can add to it.
    pub fn command_line(self) -> String {
        let console = match self {
            Self::QemuAarch64 => "ttyAMA0",
            // The mini UART is on the header's pins; Bluetooth has the other one.
            Self::Rpi4 => "ttyS1,115200",
        };
        format!("console={console} {EVERYWHERE}")
    }

    /// True when no TPM is on the board.
    pub const fn without_tpm(self) -> bool {
        matches!(self, Self::Rpi4)
    }

    /// Resolvers that are known from the start. QEMU's user-mode network has one; on a real network DHCP tells.
    pub fn upstreams(self) -> Vec<SocketAddr> {
        match self {
            Self::QemuAarch64 => vec![(Ipv4Addr::new(10, 0, 2, 3), 53).into()],
            Self::Rpi4 => Vec::new(),
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
