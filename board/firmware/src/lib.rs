//! TF-A, OP-TEE and U-Boot from Debian's sources.
//!
//! The three are compiled without any key: where one belongs there is a *place* of known bytes, which is filled in
//! after linking ([`place`]). So what takes minutes is made once for all keys, and another key costs seconds. Options
//! and patches are files in `tf-a/`, `optee/` and `u-boot/`; every line of them is compared with what the builds made
//! of it, since Kconfig drops an option without a word when something that it depends on is missing.
//!
//! [`qemu_aarch64`] gives the whole flash image of QEMU's virt machine, [`raspberry`] what a Raspberry Pi's own
//! firmware starts. [`tamper()`] changes one bit of a stage in a copy of the flash image.

mod application;
mod certificates;
mod fip;
mod flash;
mod op_tee;
mod options;
mod pi;
mod place;
mod source;
mod tamper;
mod tf_a;
mod u_boot;
mod verb;
mod workshop;

pub use application::{everybody_signs, signed_application};
pub use flash::{Firmware, Measured, qemu_aarch64};
pub use pi::{Pi, RaspberryFirmware, raspberry};
pub use tamper::{Stage, tamper};
pub use verb::{Options, run};
