//! A container from its layers to its program.

pub mod cgroup;
pub mod create;
pub mod destroy;
pub mod devices;
pub mod enter;
pub mod etc;
pub mod network;
pub mod root;
pub mod seccomp;
pub mod spec;
pub mod start;
pub mod syscalls;
pub mod user;
