//! Black-box tests for aarch64: compiled here, run in a box of their own (`board-guest`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use board_forge::{Cache, DebianRoot, output, progress, run};
use serde::Deserialize;

use crate::programs::CONFIG;
use crate::workshop::Workshop;

/// Packages whose tests run in a box, and their test programs.
const TESTS: &[(&str, &[&str])] = &[
    ("umec-tests", &["runtime"]),
    ("edged-worker", &["inside", "life", "restart"]),
];
/// The sample application: an image by itself, and so without any shared library.
const PAGE: &str = "sensor-page";
/// What is compiled here mostly waits for what it tests, so nothing is optimized: a third of the time.
const QUICK: [&str; 4] = [
    "--config",
    "profile.dev.package.\"*\".opt-level=0",
    "--config",
    "profile.dev.debug=false",
];
/// Where the root sees cargo's folder.
const TARGET: &str = "/work/target";

/// A test program.
#[derive(Debug, Clone)]
pub struct TestProgram {
    /// `PACKAGE-NAME`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What a box needs besides the programs of a box, to be tested from inside.
#[derive(Debug, Clone)]
pub struct BlackBox {
    /// `cargo board` itself, which starts nodes.
    pub board: PathBuf,
    /// The sample application, static.
    pub sensor_page: PathBuf,
    /// The test programs.
    pub tests: Vec<TestProgram>,
    /// Programs that tests know by the path they were compiled at: that path, and where it is now.
    pub beside: Vec<(PathBuf, PathBuf)>,
}

/// Compiles the black-box tests, stripped. They are no step of the cache: whoever works on them has cargo's own
/// incremental state, and nothing that ships is made of them.
///
/// # Errors
/// Something does not compile.
pub fn black_box(cache: &Cache) -> anyhow::Result<BlackBox> {
    let root = crate::root(cache)?;
    let shop = Workshop::open(cache)?;
    shop.vendor()?;
    let running = progress::begin("aarch64 black-box tests");
    let mut build = shop.cargo(&root)?;
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
        .cargo(&root)?
        .args(["rustc", "--locked", "--config", CONFIG])
        .args(QUICK)
        .args(["--package", PAGE, "--bin", PAGE])
        .args(["--", "-C", "target-feature=+crt-static"]))?;
    let folder = shop.target("debug");
    let there = |path: &Path| {
        let inside = path.strip_prefix(TARGET).unwrap_or(path);
        shop.target_root().join(inside)
    };
    let mut tests = Vec::new();
    for (package, names) in TESTS {
        for name in *names {
            let found = made
                .iter()
                .find(|made| made.is_test() && made.target.name == *name)
                .with_context(|| format!("cargo made no test {name} of {package}"))?;
            tests.push(TestProgram {
                name: format!("{package}-{name}"),
                path: there(&found.executable),
            });
        }
    }
    let beside = made
        .iter()
        .filter(|made| !made.is_test() && made.target.name != "board")
        .map(|made| (made.executable.clone(), there(&made.executable)))
        .collect();
    let black_box = BlackBox {
        board: folder.join("board"),
        sensor_page: folder.join(PAGE),
        tests,
        beside,
    };
    running.made();
    Ok(black_box)
}

/// Copies a program without its symbols, by the root's own tool for aarch64.
///
/// # Errors
/// The tool's.
pub fn strip(root: &DebianRoot, from: &Path, to: &Path) -> anyhow::Result<()> {
    let (Some(folder), Some(name)) = (to.parent(), to.file_name().and_then(|name| name.to_str()))
    else {
        bail!("{} is no file's name", to.display());
    };
    let binds = [
        board_forge::Bind::read(from, "/work/from"),
        board_forge::Bind::write(folder, "/work/to"),
    ];
    let mut command: Command = root.command("/work", &binds, "aarch64-linux-gnu-strip")?;
    run(command.args(["-o", &format!("/work/to/{name}"), "/work/from"]))
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
