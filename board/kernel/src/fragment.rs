//! The fragment: what is asked of the kernel's configuration, and whether the final one says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// What Kconfig writes of an option that is off.
const OFF: &str = " is not set";
/// What the name of every option begins with in a configuration.
const PREFIX: &str = "CONFIG_";

/// Options of a configuration by their full name; `None`: off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Option<String>>);

impl fmt::Display for Settings {
    /// As Kconfig writes them, in the order of their names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) => writeln!(formatter, "{name}={value}")?,
                None => writeln!(formatter, "# {name}{OFF}")?,
            }
        }
        Ok(())
    }
}

impl Settings {
    /// Reads lines as Kconfig writes them: `CONFIG_A=value` and `# CONFIG_A is not set`, beside comments.
    ///
    /// # Errors
    /// A line that is none of these, or an option twice.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut settings = BTreeMap::new();
        for line in text.lines() {
            let (name, value) = if let Some(comment) = line.strip_prefix('#') {
                let comment = comment.trim_start();
                if !comment.starts_with(PREFIX) {
                    continue;
                }
                let Some(name) = comment.strip_suffix(OFF) else {
                    bail!("\"{line}\" is no option that is off; end it with \"{OFF}\"");
                };
                (name, None)
            } else if line.trim().is_empty() {
                continue;
            } else {
                let Some((name, value)) = line.split_once('=') else {
                    bail!("\"{line}\" sets nothing; write CONFIG_NAME=value");
                };
                (name, Some(value.to_owned()))
            };
            if !name.starts_with(PREFIX) || name.contains(char::is_whitespace) {
                bail!("\"{line}\" names no option; write CONFIG_NAME=value");
            }
            if settings.insert(name.to_owned(), value).is_some() {
                bail!("{name} is set twice; keep one of the two lines");
            }
        }
        Ok(Self(settings))
    }

    /// Every line that does not hold in `config`, with what holds there. Kconfig drops without a word what lacks
    /// something it depends on.
    pub fn lost(&self, config: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for (name, wanted) in &self.0 {
            let found = config.0.get(name).and_then(Option::as_ref);
            if found != wanted.as_ref() {
                let shown = |value: Option<&String>| value.map_or("off", String::as_str).to_owned();
                lost.push(format!(
                    "{name} is {}, not {}",
                    shown(found),
                    shown(wanted.as_ref())
                ));
            }
        }
        lost
    }

    /// Options that no Kconfig file below `sources` defines: one that is to be off and is spelt wrong looks like one
    /// that is off.
    ///
    /// # Errors
    /// Something of the sources cannot be read.
    pub fn unknown(&self, sources: &Path) -> anyhow::Result<Vec<&str>> {
        let defined = defined(sources)?;
        Ok(self
            .0
            .keys()
            .map(String::as_str)
            .filter(|name| !defined.contains(name.trim_start_matches(PREFIX)))
            .collect())
    }
}

/// Names of all options that Kconfig files define.
fn defined(sources: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![sources.to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() && entry.file_name().to_string_lossy().starts_with("Kconfig") {
                let text = fs::read_to_string(entry.path())
                    .with_context(|| format!("cannot read {}", entry.path().display()))?;
                names.extend(text.lines().filter_map(|line| {
                    let mut words = line.split_whitespace();
                    let keyword = words.next()?;
                    let name = words.next()?;
                    ["config", "menuconfig"]
                        .contains(&keyword)
                        .then(|| name.to_owned())
                }));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text).unwrap()
    }

    #[test]
    fn a_line_that_does_not_hold_in_the_final_configuration_is_found() {
        let fragment = settings(
            "# --- why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_N=8\n# CONFIG_C is not set\n# CONFIG_D is not set\n",
        );
        let config = settings("# Linux\nCONFIG_A=y\nCONFIG_N=4\nCONFIG_D=y\n");
        assert_eq!(
            fragment.lost(&config),
            [
                "CONFIG_B is off, not y",
                "CONFIG_D is y, not off",
                "CONFIG_N is 4, not 8"
            ]
        );
        let kept =
            settings("CONFIG_A=y\nCONFIG_B=y\nCONFIG_N=8\n# CONFIG_C is not set\nCONFIG_E=y\n");
        assert!(fragment.lost(&kept).is_empty());
    }

    #[test]
    fn a_comment_is_no_reason_to_compile_anew_and_every_line_is() {
        let one = settings("# why\nCONFIG_B=y\nCONFIG_A=y\n");
        let other = settings("CONFIG_A=y\n# for another reason\nCONFIG_B=y\n");
        assert_eq!(one.to_string(), other.to_string());
        let off = settings("CONFIG_A=y\n# CONFIG_B is not set\n");
        assert_ne!(one.to_string(), off.to_string());
        assert_eq!(settings(&off.to_string()), off);
    }

    #[test]
    fn a_line_that_says_nothing_is_refused() {
        for line in [
            "CONFIG_A",
            "A=y",
            "# CONFIG_A is off",
            "CONFIG_A=y\n# CONFIG_A is not set",
            "CONFIG_A B=y",
        ] {
            assert!(Settings::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_option_that_linux_does_not_have_is_found_though_it_is_off() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("net")).unwrap();
        fs::write(
            folder.path().join("net/Kconfig.some"),
            "menuconfig DEVMEM\n\tbool\nconfig NET\n\tbool \"x\"\n",
        )
        .unwrap();
        let fragment =
            settings("# CONFIG_DEVMEN is not set\n# CONFIG_DEVMEM is not set\nCONFIG_NET=y\n");
        assert_eq!(fragment.unknown(folder.path()).unwrap(), ["CONFIG_DEVMEN"]);
    }

    #[test]
    fn the_fragment_of_the_boards_can_be_read_and_leaves_modules_out() {
        let fragment = settings(crate::FRAGMENT);
        assert_eq!(fragment.0.get("CONFIG_MODULES"), Some(&None));
    }
}
