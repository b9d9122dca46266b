//! edgectl: the operator's command line, over SSH.

fn main() {}
