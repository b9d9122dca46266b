//! edged-worker runs containers: layers, libcontainer, exec.

fn main() {}
