//! The aarch64 cross root and what is compiled in it.
