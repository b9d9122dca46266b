//! What a program asks of the system it runs on, and how hard it is to attack, as readelf tells it.

use std::process::Command;

use anyhow::{Context, bail};
use board_forge::output;

/// Shared libraries that the image carries for our programs, and Debian's package of each.
pub const LIBRARIES: [(&str, &str); 9] = [
    ("ld-linux-aarch64.so.1", "libc6"),
    ("libc.so.6", "libc6"),
    ("libm.so.6", "libc6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libseccomp.so.2", "libseccomp2"),
    ("libtss2-esys.so.0", "libtss2-esys-3.0.2-0t64"),
    ("libtss2-mu.so.0", "libtss2-mu-4.0.1-0t64"),
    ("libtss2-sys.so.1", "libtss2-sys1t64"),
    ("libtss2-tctildr.so.0", "libtss2-tctildr0t64"),
];

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// To libraries of the image.
    Shared,
    /// To nothing: it runs before there is anything else.
    Static,
}

/// The reader of programs in the cross root.
pub(crate) const READER: &str = "aarch64-linux-gnu-readelf";
/// What is asked of it.
const WORDS: [&str; 4] = ["--wide", "--file-header", "--program-headers", "--dynamic"];

/// Has a root's readelf look at a program, and checks what it says.
pub(crate) fn look(mut readelf: Command, program: &str, linked: Linked) -> anyhow::Result<()> {
    check(&output(readelf.args(WORDS).arg(program))?, linked)
        .with_context(|| format!("{program} is not fit for a box"))
}

/// Checks what `readelf --wide --file-header --program-headers --dynamic` says of a program: code for aarch64, tables of
/// addresses that cannot be written, no stack that can be executed, and only libraries that are there. A shared one is
/// also at an address that the kernel chooses; rustc cannot make a static one so for this target.
fn check(text: &str, linked: Linked) -> anyhow::Result<()> {
    require(text, "AArch64", "it is not compiled for aarch64")?;
    require(text, "GNU_RELRO", "its relocations stay writable")?;
    if executable_stack(text) {
        bail!("its stack can be executed");
    }
    let needed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("(NEEDED)"))
        .filter_map(|(_, rest)| rest.split_once('[')?.1.strip_suffix(']'))
        .collect();
    if linked == Linked::Static {
        if !needed.is_empty() || text.contains("INTERP") {
            bail!("it must be static, and needs {needed:?}");
        }
        return Ok(());
    }
    require(text, "DYN (Position-Indep", "it runs at a fixed address")?;
    require(
        text,
        "BIND_NOW",
        "its functions are looked up while it runs",
    )?;
    let there = |name: &str| LIBRARIES.iter().any(|(library, _)| *library == name);
    if let Some(name) = needed.iter().find(|name| !there(name)) {
        bail!("it needs {name}, which the image has not; add it to the image and to LIBRARIES");
    }
    Ok(())
}

fn require(text: &str, sign: &str, otherwise: &str) -> anyhow::Result<()> {
    if !text.contains(sign) {
        bail!("{otherwise} (readelf shows no {sign:?})");
    }
    Ok(())
}

fn executable_stack(text: &str) -> bool {
    text.lines()
        .filter(|line| line.trim_start().starts_with("GNU_STACK"))
        .any(|line| line.contains("RWE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "  Type:                              DYN (Position-Independent Executable file)
  Machine:                           AArch64
  INTERP         0x000270 0x0000000000000270 0x0000000000000270 0x00001b 0x00001b R   0x1
  GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW  0x10
  GNU_RELRO      0x5ef748 0x00000000005ff748 0x00000000005ff748 0x0208b8 0x0208b8 R   0x1
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000001e (FLAGS)              BIND_NOW
";

    #[test]
    fn a_hardened_program_is_fit_and_each_missing_guard_is_named() {
        check(GOOD, Linked::Shared).unwrap();
        for (part, instead, message) in [
            ("AArch64", "X86-64", "not compiled for aarch64"),
            ("DYN (Position-Independent", "EXEC (", "fixed address"),
            ("GNU_RELRO", "LOAD", "stay writable"),
            ("BIND_NOW", "", "looked up while it runs"),
            ("RW  0x10", "RWE 0x10", "stack can be executed"),
            ("libc.so.6", "libssl.so.3", "needs libssl.so.3"),
        ] {
            let error = check(&GOOD.replace(part, instead), Linked::Shared).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert!(check(GOOD, Linked::Static).is_err());
        let without: Vec<_> = GOOD
            .lines()
            .filter(|line| !line.contains("INTERP") && !line.contains("NEEDED"))
            .collect();
        check(&without.join("\n"), Linked::Static).unwrap();
    }
}
