//! Unit tests for aarch64, run by qemu-user in the cross root.

use anyhow::{Context, bail};
use board_forge::{Cache, output, progress, run};

use crate::blackbox::QUICK;
use crate::programs::CONFIG;
use crate::workshop::Workshop;

/// Crates whose unit tests run. What they have in common: they ask nothing of the kernel that qemu-user cannot pass on.
const CRATES: &[&str] = &[
    "edged-config",
    "edged-console",
    "edged-dns",
    "edged-image",
    "edged-layer",
    "edged-mec",
    "edged-model",
    "edged-mqtt",
    "edged-net",
    "edged-notify",
    "edged-package",
    "edged-protocol",
    "edged-slot",
    "edged-ssh",
    "edged-store",
    "edged-tpm",
    "edged-update",
    "mec-api",
];

/// Crates that are left to the machine's own tests and to the boot tests, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "edged-worker",
        "libcontainer wants a /proc/thread-self that qemu-user does not give it",
    ),
    (
        "edged-guardian",
        "netlink to the kernel's own tables: qemu-user translates a part of its messages",
    ),
    ("edged", "puts the two above together"),
];

/// Runs them and says how many passed.
///
/// # Errors
/// Something does not compile, or a test fails: its last lines.
pub fn run_units(cache: &Cache) -> anyhow::Result<usize> {
    let root = crate::root(cache)?;
    let shop = Workshop::open(cache)?;
    shop.vendor()?;
    let cargo_test = |more: &[&str]| -> anyhow::Result<_> {
        let mut command = shop.cargo(&root)?;
        // As the tests of the guest, with which these share every dependency.
        command.args(["test", "--locked", "--config", CONFIG]);
        command.args(QUICK).args(["--lib", "--bins"]);
        for name in CRATES {
            command.args(["--package", name]);
        }
        command.args(more);
        Ok(command)
    };
    let compiled = progress::begin("aarch64 tests, compiled");
    run(&mut cargo_test(&["--no-run"])?)?;
    compiled.made();
    let ran = progress::begin("aarch64 tests, run");
    let text = output(&mut cargo_test(&["--quiet"])?).context("unit tests fail on aarch64")?;
    ran.made();
    let passed = passed(&text);
    if passed == 0 {
        bail!("cargo ran no unit test on aarch64; look at CRATES in board/cross/src/units.rs");
    }
    Ok(passed)
}

/// Tests that passed, by the last line of each of cargo's programs.
fn passed(text: &str) -> usize {
    text.lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split_once(" passed")?.0.parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_all_programs_are_counted() {
        let text = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\nrunning 40 tests\ntest result: ok. 40 passed; 0 failed;\n";
        assert_eq!(passed(text), 42);
    }
}
