//! Black-box tests for aarch64: compiled here, run in a box of their own (`board-guest`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_forge::{Cache, DebianRoot, Made, output, run};
use serde::Deserialize;

use crate::programs::CONFIG;
use crate::workshop::Workshop;

/// Packages whose tests run in a box, and their test programs: those that start containers.
const TESTS: &[(&str, &[&str])] = &[
    ("edged-worker", &["inside", "layers", "life", "restart"]),
    (
        "umec-tests",
        &[
            "runtime",
            "leftovers",
            "clock",
            "netns",
            "lifecycle",
            "packages",
            "verbs",
        ],
    ),
];
/// What decides about the tests besides what decides about the programs.
const SOURCES: [&str; 4] = ["board", "tests", "openapi", "docs"];
/// The sample application: an image by itself, and so without any shared library.
const PAGE: &str = "sensor-page";
/// What is compiled here mostly waits for what it tests, so nothing is optimized: a third of the time.
pub const QUICK: [&str; 6] = [
    "--config",
    "profile.dev.package.\"*\".opt-level=0",
    "--config",
    "profile.dev.debug=false",
    "--config",
    "profile.dev.strip=\"symbols\"",
];
/// Where the root sees cargo's folder.
const TARGET: &str = "/work/target";

/// What a box needs besides the programs of a box, to be tested from inside.
#[derive(Debug, Clone)]
pub struct BlackBox {
    /// Laid out as in the box: `programs/board`, which starts nodes, `programs/sensor-page`, the test programs in
    /// `tests`, and what a test knows by the path it was compiled at.
    pub made: Made,
    /// Names of the test programs: `PACKAGE-NAME`.
    pub tests: Vec<String>,
}

/// Compiles the black-box tests, without symbols, unless these sources were compiled before.
///
/// # Errors
/// Something does not compile.
pub fn black_box(cache: &Cache) -> anyhow::Result<BlackBox> {
    let root = crate::root(cache)?;
    let shop = Workshop::open(cache)?;
    let mut inputs = shop
        .inputs()?
        .text("tests", &format!("{TESTS:?} {QUICK:?}"))
        .root("cross-root", &root);
    for part in SOURCES {
        inputs = inputs.folder(part, &shop.source(part))?;
    }
    let made = cache.step("black-box", &inputs, |out| {
        shop.vendor()?;
        compile(&shop, &root, out)
    })?;
    let tests = TESTS
        .iter()
        .flat_map(|(package, tests)| tests.iter().map(move |test| name(package, test)))
        .collect();
    Ok(BlackBox { made, tests })
}

fn name(package: &str, test: &str) -> String {
    format!("{package}-{test}")
}

fn compile(shop: &Workshop, root: &DebianRoot, out: &Path) -> anyhow::Result<()> {
    let mut build = shop.cargo(root)?;
    build.args(["build", "--locked", "--config", CONFIG]);
    build.args(QUICK);
    build.args(["--message-format", "json-render-diagnostics"]);
    build.args(["--package", "board", "--bin", "board"]);
    for (package, tests) in TESTS {
        build.args(["--package", package]);
        for test in *tests {
            build.args(["--test", test]);
        }
    }
    let made = Executable::all(&output(&mut build)?);
    // The flag is this one program's alone, as in `programs`.
    run(shop
        .cargo(root)?
        .args(["rustc", "--locked", "--config", CONFIG])
        .args(QUICK)
        .args(["--package", PAGE, "--bin", PAGE])
        .args(["--", "-C", "target-feature=+crt-static"]))?;
    let folder = shop.target("debug");
    place(&folder.join("board"), &out.join("programs/board"))?;
    place(&folder.join(PAGE), &out.join("programs").join(PAGE))?;
    let there = |path: &Path| {
        let inside = path.strip_prefix(TARGET).unwrap_or(path);
        shop.target_root().join(inside)
    };
    for (package, names) in TESTS {
        for test in *names {
            let found = made
                .iter()
                .find(|made| made.is_test() && made.target.name == *test)
                .with_context(|| format!("cargo made no test {test} of {package}"))?;
            let to = out.join("tests").join(name(package, test));
            place(&there(&found.executable), &to)?;
        }
    }
    // Programs that tests know by the path they were compiled at.
    let beside = |made: &&Executable| !made.is_test() && made.target.name != "board";
    for program in made.iter().filter(beside) {
        let inside = program.executable.strip_prefix("/")?;
        place(&there(&program.executable), &out.join(inside))?;
    }
    Ok(())
}

fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cargo made no {}", from.display()))
}

/// A program that cargo tells of (cargo's "JSON messages", `compiler-artifact`).
#[derive(Debug, Deserialize)]
struct Executable {
    target: Target,
    executable: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Executable {
    /// Messages without a program are of libraries and of cargo's progress.
    fn all(text: &str) -> Vec<Self> {
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn is_test(&self) -> bool {
        self.target.kind.iter().any(|kind| kind == "test")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_cargo_s_messages_and_libraries_are_not() {
        let text = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"runtime"},"executable":"/work/target/x/runtime-1"}
{"reason":"build-finished","success":true}"#;
        let made = Executable::all(text);
        assert_eq!(made.len(), 1);
        assert!(made[0].is_test() && made[0].executable.ends_with("runtime-1"));
    }
}
