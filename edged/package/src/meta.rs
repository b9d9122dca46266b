//! `TOSCA-Metadata/TOSCA.meta`: where everything else is (TOSCA Simple Profile 1.3, 6.2; ETSI GS NFV-SOL 004, 4.1.2).

use std::collections::BTreeMap;

use crate::error::PackageError;

/// Where it has to be.
pub(crate) const PATH: &str = "TOSCA-Metadata/TOSCA.meta";
const DEFINITIONS: &str = "Entry-Definitions";
const MANIFEST: &str = "ETSI-Entry-Manifest";
const CERTIFICATE: &str = "ETSI-Entry-Certificate";
/// Names a file each that has to be in the package.
const OTHER_FILES: [&str; 3] = [
    "ETSI-Entry-Change-Log",
    "ETSI-Entry-Licenses",
    "ETSI-Entry-Tests",
];

/// What TOSCA.meta says.
#[derive(Debug)]
pub(crate) struct Meta {
    /// The descriptor.
    pub(crate) definitions: String,
    /// The manifest.
    pub(crate) manifest: String,
    /// The signer's certificate, where it is a file.
    pub(crate) certificate: Option<String>,
    /// Further files with the name that points at them.
    pub(crate) others: Vec<(&'static str, String)>,
}

impl Meta {
    pub(crate) fn parse(text: &str) -> Result<Self, PackageError> {
        let mut values = BTreeMap::new();
        // Blocks after the first empty line describe single files; nothing here depends on them.
        for line in text
            .lines()
            .map(str::trim_end)
            .take_while(|line| !line.is_empty())
        {
            let (name, value) = line
                .split_once(':')
                .map(|(name, value)| (name.trim(), value.trim()))
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| {
                    PackageError::field_of(
                        PATH,
                        line.chars().take(40).collect::<String>(),
                        "this line is not NAME: VALUE; correct it",
                    )
                })?;
            if values.insert(name, value).is_some() {
                return Err(PackageError::field_of(
                    PATH,
                    name,
                    "this name is there twice; keep one",
                ));
            }
        }
        let required = |name: &str| {
            values
                .get(name)
                .map(|value| (*value).to_owned())
                .ok_or_else(|| PackageError::field_of(PATH, name, "this line is missing; add it"))
        };
        let version = |name: &str, known: &[&str]| {
            let value = required(name)?;
            if known.contains(&value.as_str()) {
                return Ok(());
            }
            Err(PackageError::field_of(
                PATH,
                name,
                format!(
                    "version {value:?} is not known; write {}",
                    known.join(" or ")
                ),
            ))
        };
        version("TOSCA-Meta-File-Version", &["1.0", "1.1"])?;
        version("CSAR-Version", &["1.1"])?;
        required("Created-By")?;
        Ok(Self {
            definitions: required(DEFINITIONS)?,
            manifest: required(MANIFEST)?,
            certificate: required(CERTIFICATE).ok(),
            others: OTHER_FILES
                .iter()
                .filter_map(|name| Some((*name, (*values.get(name)?).to_owned())))
                .collect(),
        })
    }

    /// The text for a package that we make.
    pub(crate) fn write(definitions: &str, manifest: &str) -> String {
        format!(
            "TOSCA-Meta-File-Version: 1.0\nCSAR-Version: 1.1\nCreated-By: edged\n{DEFINITIONS}: {definitions}\n{MANIFEST}: {manifest}\n"
        )
    }
}
