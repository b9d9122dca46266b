//! edged-guardian changes the host network, and nothing else.

fn main() {}
