//! What a program asks of the system it runs on, and how hard it is to attack, as readelf tells it.

use anyhow::bail;

/// Shared libraries that the image carries for our programs, and Debian's package of each.
pub const LIBRARIES: [(&str, &str); 5] = [
    ("ld-linux-aarch64.so.1", "libc6"),
    ("libc.so.6", "libc6"),
    ("libm.so.6", "libc6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libseccomp.so.2", "libseccomp2"),
];

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// To libraries of the image.
    Shared,
    /// To nothing: it runs before there is anything else.
    Static,
}

/// Checks what `readelf --wide --file-header --program-headers --dynamic` says of a program: code for aarch64, at an
/// address that the kernel chooses, with a table of addresses that cannot be written, and only libraries that are there.
pub(crate) fn check(text: &str, linked: Linked) -> anyhow::Result<()> {
    for (sign, meaning) in [
        ("AArch64", "it is not compiled for aarch64"),
        (
            "DYN (Position-Independent Executable file)",
            "it runs at a fixed address",
        ),
        ("GNU_RELRO", "its relocations stay writable"),
        ("BIND_NOW", "its functions are looked up while it runs"),
    ] {
        if !text.contains(sign) {
            bail!("{meaning} (readelf shows no {sign:?})");
        }
    }
    if executable_stack(text) {
        bail!("its stack can be executed");
    }
    let needed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("(NEEDED)"))
        .filter_map(|(_, rest)| rest.split_once('[')?.1.strip_suffix(']'))
        .collect();
    match linked {
        Linked::Static if !needed.is_empty() || text.contains("INTERP") => {
            bail!("it must be static, and needs {needed:?}")
        }
        Linked::Shared => {
            if let Some(name) = needed
                .iter()
                .find(|name| LIBRARIES.iter().all(|(there, _)| there != *name))
            {
                bail!(
                    "it needs {name}, which the image has not; add it to the image and to LIBRARIES"
                )
            }
            Ok(())
        }
        Linked::Static => Ok(()),
    }
}

fn executable_stack(text: &str) -> bool {
    text.lines()
        .filter(|line| line.trim_start().starts_with("GNU_STACK"))
        .any(|line| line.contains("RWE"))
}
