//! edged decides: it owns the desired state and every protocol.

fn main() {}
