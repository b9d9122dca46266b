//! schemathesis (of `PyPI`) reads the documents that the node serves and tries to find a lie in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use board::{python, workspace};
use umec_tests::lab;

use crate::bench::{Bench, DNS_RULE, RULED, TRAFFIC_RULE};
use crate::http::Request;

/// Cases an operation and phase, in CI and in a whole campaign, which then has more than `CASES_MIN` in all.
const EXAMPLES: (u32, u32) = (8, 200);
/// What a whole campaign promises.
const CASES_MIN: u64 = 20_000;
/// The same cases each time: another seed is another campaign.
const SEED: &str = "20261121";

/// One document as the node serves it; how many cases were tried, and what was found.
fn run(bench: &Bench, name: &str, folder: &Path) -> anyhow::Result<(u64, Option<PathBuf>)> {
    let settings = workspace::root().join("tests/schemathesis");
    let examples = if lab::full() { EXAMPLES.1 } else { EXAMPLES.0 };
    let output = Command::new(python::program("schemathesis", "schemathesis")?)
        .current_dir(folder)
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .args(["--no-color", "run"])
        .arg(format!("http://{}/openapi/{name}", bench.authority))
        .args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ])
        .args(["--max-examples", &examples.to_string(), "--seed", SEED])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .args(["--header", &format!("Authorization: Bearer {}", bench.all)])
        .env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("MEC_INSTANCE", RULED)
        .env("MEC_HOSTED_INSTANCE", &bench.one.id)
        .env("MEC_TRAFFIC_RULE", TRAFFIC_RULE)
        .env("MEC_DNS_RULE", DNS_RULE)
        .env("no_proxy", "*")
        .output()
        .context("cannot run schemathesis")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let count = cases(&text).with_context(|| format!("{name}: no count in:\n{text}{errors}"))?;
    println!("schemathesis: {name}: {count} cases");
    if output.status.success() {
        return Ok((count, None));
    }
    let report = workspace::target().join("schemathesis");
    std::fs::create_dir_all(&report)?;
    let report = report.join(name).with_extension("txt");
    std::fs::write(&report, text)?;
    Ok((count, Some(report)))
}

/// `  809 generated, 1 found 1 unique failure`
fn cases(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Test cases:\n")?;
    rest.split_whitespace()
        .next()?
        .replace(',', "")
        .parse()
        .ok()
}

#[test]
fn a_fuzzer_finds_nothing_that_the_documents_do_not_say() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let folder = tempfile::tempdir()?;
    let served = Request::new("GET", "/openapi").send(&bench.authority)?;
    let served = String::from_utf8(served.expect(200)?.body)?;
    for name in bench.contract.documents() {
        ensure!(served.lines().any(|it| it == name), "{name} is not served");
    }
    let (mut total, mut found) = (0, Vec::new());
    for name in served.lines() {
        let (count, report) = run(&bench, name, folder.path())?;
        total += count;
        found.extend(report);
    }
    println!("schemathesis: {total} cases in all");
    ensure!(found.is_empty(), "see what it found in {found:?}");
    ensure!(!lab::full() || total >= CASES_MIN, "only {total} cases");
    bench.lab.node.stop()
}

#[test]
fn the_number_of_cases_is_read_from_the_summary() {
    let text = "Failures:\n  none\n\nTest cases:\n  12,809 generated, 12,809 passed\n\nSeed: 1\n";
    assert_eq!(cases(text), Some(12_809));
}
