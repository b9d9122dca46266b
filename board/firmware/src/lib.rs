//! TF-A, OP-TEE and U-Boot from Debian's sources.
