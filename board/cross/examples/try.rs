//! Tries the verb.
use clap::Parser;
#[derive(Parser)]
struct A {
    #[command(flatten)]
    options: board_cross::Options,
}
fn main() -> anyhow::Result<()> {
    board_cross::run(&A::parse().options)
}
