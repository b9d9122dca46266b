//! Files of options, and what became of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::workshop::repository;

/// The lines of a file of options in the repository that are neither empty nor remarks: `NAME=value` for make.
pub(crate) fn variables(path: &str) -> anyhow::Result<Vec<String>> {
    Ok(text(path)?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// A file in the repository.
pub(crate) fn text(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| format!("cannot read {path}"))
}

/// Checks that each line of a fragment stands in a configuration: what is set is set so, what is not is not.
///
/// # Errors
/// Names the lines that were dropped or overruled.
pub(crate) fn check(fragment: &str, configuration: &Path) -> anyhow::Result<()> {
    let configuration = fs::read_to_string(configuration)
        .with_context(|| format!("the build made no {}", configuration.display()))?;
    let lost: Vec<&str> = fragment
        .lines()
        .map(str::trim)
        .filter(|line| !holds(line, &configuration))
        .collect();
    if !lost.is_empty() {
        bail!(
            "the build did not take these options; something that they depend on is missing: {}",
            lost.join(", ")
        );
    }
    Ok(())
}

fn holds(line: &str, configuration: &str) -> bool {
    if let Some(name) = line
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_suffix(" is not set"))
    {
        return !configuration
            .lines()
            .any(|have| have.split('=').next() == Some(name) && have != format!("{name}=n"));
    }
    if line.is_empty() || line.starts_with('#') {
        return true;
    }
    configuration.lines().any(|have| have == line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_was_dropped_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".config");
        fs::write(
            &path,
            "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x y\"\n",
        )
        .unwrap();
        let checked = |fragment| check(fragment, &path).map_err(|error| error.to_string());
        assert_eq!(
            checked(
                "# why\n\nCONFIG_A=y\nCONFIG_C=\"x y\"\n# CONFIG_B is not set\n# CONFIG_D is not set\n"
            ),
            Ok(())
        );
        assert!(checked("CONFIG_E=y").unwrap_err().contains("CONFIG_E=y"));
        assert!(checked("CONFIG_C=\"x\"").is_err());
        assert!(checked("# CONFIG_A is not set").is_err());
    }
}
