//! Somebody else's client of Mp1, from PyPI, as it was published.

use std::process::Command;

use anyhow::ensure;
use board::{process, python, workspace};

use crate::bench::Bench;

/// The client has this in every path.
const PREFIX: &str = "/mep";

#[test]
fn a_published_client_of_mp1_works() -> anyhow::Result<()> {
    let bench = Bench::start_at(PREFIX)?;
    let said = process::output(
        Command::new(python::program("mp1-client", "python")?)
            .arg(workspace::root().join("tests/mp1-client/client.py"))
            .env("MEC_HOST", format!("http://{}", bench.authority))
            .env("MEC_APP_INSTANCE_ID", &bench.one.id)
            .env("MEC_OTHER_INSTANCE_ID", &bench.two.id)
            .env("MEC_TOKEN", &bench.one.token)
            .env("no_proxy", "*"),
    )?;
    print!("{said}");
    ensure!(said.ends_with("refused\n"), "it did not come to its end");
    bench.lab.node.stop()
}
