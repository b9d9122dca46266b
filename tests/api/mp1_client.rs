//! Somebody else's client of Mp1, from `PyPI`, as it was published.

use std::process::Command;

use anyhow::{Context, ensure};
use board::{process, python, workspace};

use crate::bench::Bench;

/// The client has this in every path.
const PREFIX: &str = "/mep";

/// A variable of an application's environment.
fn variable(init: u64, name: &str) -> anyhow::Result<String> {
    let environment = std::fs::read_to_string(format!("/proc/{init}/environ"))?;
    let mut lines = environment.split('\0');
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value.with_context(|| format!("no {name}"))?.to_owned())
}

#[test]
fn a_published_client_of_mp1_works() -> anyhow::Result<()> {
    let bench = Bench::start_at(PREFIX)?;
    let init = bench.lab.init_of("one")?;
    let host = variable(init, "MEC_HOST")?;
    let origin = host.trim_end_matches('/').trim_end_matches(PREFIX);
    // In the application's network, so that it goes where the application may go and is called where that listens.
    let said = process::output(
        Command::new("nsenter")
            .arg(format!("--net=/proc/{init}/ns/net"))
            .arg(python::program("mp1-client", "python")?)
            .arg(workspace::root().join("tests/mp1-client/client.py"))
            .env("MEC_HOST", origin)
            .env("MEC_ADDRESS", bench.lab.address("one")?)
            .env("MEC_APP_INSTANCE_ID", &bench.one.id)
            .env("MEC_OTHER_INSTANCE_ID", &bench.two.id)
            .env("MEC_TOKEN", &bench.one.token)
            .env("no_proxy", "*"),
    )?;
    print!("{said}");
    ensure!(said.ends_with("refused\n"), "it did not come to its end");
    bench.lab.node.stop()
}
