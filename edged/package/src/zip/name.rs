//! Names of entries: only such as mean the same on every file system, and nothing outside the package.

/// Longest name, bytes. Linux takes 255 in one component; nobody needs more in a whole path.
const NAME_MAX: usize = 240;

/// The rule that `name` breaks, where it does. A folder's final '/' has been taken off before.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    let broken = |bad: bool, rule: &'static str| bad.then_some(rule);
    // Beyond ASCII one name has several spellings (normal forms, case folding): two entries could be one file.
    broken(
        name.is_empty() || name.len() > NAME_MAX,
        "a name has 1 to 240 bytes",
    )
    .or_else(|| {
        broken(
            !name.bytes().all(|b| b.is_ascii_graphic() || b == b' '),
            "a name is printable ASCII",
        )
    })
    .or_else(|| {
        broken(
            name.contains(['\\', ':']),
            "a name has no backslash and no colon; parts are separated by '/'",
        )
    })
    .or_else(|| {
        broken(
            name.starts_with('/'),
            "an absolute name is not taken; write it relative to the package",
        )
    })
    .or_else(|| {
        broken(
            name.split('/').any(|part| matches!(part, "" | "." | "..")),
            "a name has no empty part, no '.' and no '..'",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_the_package() {
        for good in ["a", "TOSCA-Metadata/TOSCA.meta", "a b/c..d", ".x"] {
            assert_eq!(fault(good), None, "{good:?}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a//b",
            "./a",
            "a\\b",
            "C:/a",
            "a\0b",
            "ä",
            "a\nb",
            &"a".repeat(241),
        ] {
            assert!(fault(bad).is_some(), "{bad:?} was taken");
        }
    }
}
