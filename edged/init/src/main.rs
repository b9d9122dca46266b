//! The first program of a box.

fn main() {}
