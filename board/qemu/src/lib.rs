//! A box in QEMU.
