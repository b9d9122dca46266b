//! cargo board: host, demo, test, bench.

fn main() {}
