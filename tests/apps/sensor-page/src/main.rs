//! A sample MEC application: sensor readings as a page and a JSON API.

fn main() {}
