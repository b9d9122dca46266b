//! x
fn main() -> anyhow::Result<()> { let c = board_forge::Cache::open()?; board_guest::warm(&c) }
