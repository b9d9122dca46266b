//! The manifest: what the package is, and the digest of each of its files (MEC 037, 4.3; NFV-SOL 004, 4.3.2).

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::PackageError;
use crate::hash::{Algorithm, Hash};
use crate::pem;

/// Lines about the package; more names than the standards have.
const METADATA_MAX: usize = 64;
/// The names that have to be there.
const REQUIRED: [&str; 8] = [
    "vnfd_id",
    "vnf_provider_id",
    "vnf_product_name",
    "vnf_release_date_time",
    "vnf_software_version",
    "vnf_package_version",
    "compatible_specification_versions",
    "mec_versions",
];
/// The names that may be there.
const OPTIONAL: [&str; 3] = ["vnfm_info", "app_info_name", "app_description"];
const BEGINS: [&str; 2] = ["-----BEGIN CMS-----", "-----BEGIN PKCS7-----"];

/// What the manifest says.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The file that it was read from.
    pub(crate) file: String,
    /// The `metadata:` block.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The digest of every file.
    pub(crate) files: BTreeMap<String, Hash>,
    /// How many bytes of the text the signature is over.
    pub(crate) signed: usize,
    /// The signature behind the entries, DER.
    pub(crate) signature: Option<Vec<u8>>,
}

impl Manifest {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, PackageError> {
        let signed = BEGINS
            .iter()
            .filter_map(|begin| {
                text.match_indices(begin).map(|(at, _)| at).find(|at| {
                    text.get(..*at)
                        .is_some_and(|before| before.is_empty() || before.ends_with('\n'))
                })
            })
            .min();
        let (body, tail) = text
            .split_at_checked(signed.unwrap_or(text.len()))
            .unwrap_or((text, ""));
        let signature = signed.map(|_| signature(file, tail)).transpose()?;
        let mut lines = Lines {
            file,
            lines: body.lines().enumerate(),
        };
        let mut manifest = Self {
            file: file.to_owned(),
            metadata: BTreeMap::new(),
            files: BTreeMap::new(),
            signed: body.len(),
            signature,
        };
        let first = lines.next()?;
        if first.as_ref().map(|line| (line.name, line.value)) != Some(("metadata", "")) {
            return Err(PackageError::field_of(
                file,
                "metadata",
                "the manifest begins with a line metadata: and what follows it; write it first",
            ));
        }
        let mut next = lines.next()?;
        while let Some(line) = next.take_if(|line| line.name != "Source") {
            manifest.add_metadata(&line)?;
            next = lines.next()?;
        }
        for name in REQUIRED {
            manifest.value(name)?;
        }
        manifest.check_values()?;
        while let Some(source) = next {
            if source.name != "Source" || source.value.is_empty() {
                return Err(PackageError::field_of(
                    file,
                    format!("line {}", source.number),
                    "after the metadata come groups of Source, Algorithm and Hash; correct the group",
                ));
            }
            let algorithm = lines.expect("Algorithm", source.value)?;
            let hash = lines.expect("Hash", source.value)?;
            manifest.add_file(&source, algorithm, hash)?;
            next = lines.next()?;
        }
        Ok(manifest)
    }

    fn add_metadata(&mut self, line: &Line<'_>) -> Result<(), PackageError> {
        let refuse = |reason: &str| Err(PackageError::field_of(&self.file, line.name, reason));
        if !REQUIRED.contains(&line.name) && !OPTIONAL.contains(&line.name) {
            return refuse("this name is not one of MEC 037; leave it out");
        }
        if line.value.is_empty() {
            return refuse("this name has no value; give one");
        }
        if self.metadata.len() >= METADATA_MAX || self.metadata.contains_key(line.name) {
            return refuse("this name is there twice; keep one");
        }
        self.metadata
            .insert(line.name.to_owned(), line.value.to_owned());
        Ok(())
    }

    fn add_file(
        &mut self,
        source: &Line<'_>,
        algorithm: &str,
        hash: &str,
    ) -> Result<(), PackageError> {
        let at = |name: &str| format!("{name} of {}", source.value);
        let refuse =
            |field: String, reason: String| Err(PackageError::field_of(&self.file, field, reason));
        if source.value.contains("://") {
            return refuse(
                at("Source"),
                "files outside the package are not fetched; put the file in, or name an image by digest".to_owned(),
            );
        }
        let algorithm: Algorithm = match algorithm.parse() {
            Ok(algorithm) => algorithm,
            Err(error) => return refuse(at("Algorithm"), format!("{error}")),
        };
        let hash = match Hash::parse(algorithm, hash) {
            Ok(hash) => hash,
            Err(error) => return refuse(at("Hash"), format!("{error}; correct it")),
        };
        if self.files.insert(source.value.to_owned(), hash).is_some() {
            return refuse(
                at("Source"),
                "this file is listed twice; keep one".to_owned(),
            );
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), PackageError> {
        let time = self.value("vnf_release_date_time")?;
        if OffsetDateTime::parse(time, &Rfc3339).is_err() {
            return Err(PackageError::field_of(
                &self.file,
                "vnf_release_date_time",
                format!(
                    "{time:?} is no date and time of RFC 3339; write it as 2026-01-31T12:00:00Z"
                ),
            ));
        }
        Ok(())
    }

    /// A value of the metadata.
    pub(crate) fn value(&self, name: &str) -> Result<&str, PackageError> {
        self.metadata.get(name).map(String::as_str).ok_or_else(|| {
            PackageError::field_of(
                &self.file,
                name,
                "this line of the metadata is missing; add it",
            )
        })
    }
}

fn signature(file: &str, tail: &str) -> Result<Vec<u8>, PackageError> {
    let damaged = || {
        PackageError::signature(
            file,
            "the signature is not one complete PEM block at the end; sign again",
        )
    };
    let end = tail.trim_end().rfind("-----END ").ok_or_else(damaged)?;
    let last_line = tail.get(end..).unwrap_or_default().trim_end();
    if last_line.lines().count() != 1 {
        return Err(damaged());
    }
    let mut blocks = pem::blocks(tail).ok_or_else(damaged)?;
    match (blocks.pop(), blocks.is_empty()) {
        (Some(block), true) => Ok(block.der),
        _ => Err(damaged()),
    }
}

#[derive(Debug)]
struct Line<'a> {
    number: usize,
    name: &'a str,
    value: &'a str,
}

/// Lines of `NAME: VALUE`; empty ones and remarks are passed over.
struct Lines<'a, I> {
    file: &'a str,
    lines: I,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Lines<'a, I> {
    fn next(&mut self) -> Result<Option<Line<'a>>, PackageError> {
        for (number, line) in self.lines.by_ref() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| {
                PackageError::field_of(
                    self.file,
                    format!("line {}", number + 1),
                    "this line is not NAME: VALUE; correct it",
                )
            })?;
            return Ok(Some(Line {
                number: number + 1,
                name: name.trim_end(),
                value: unquoted(value.trim()),
            }));
        }
        Ok(None)
    }

    fn expect(&mut self, name: &str, of: &str) -> Result<&'a str, PackageError> {
        match self.next()? {
            Some(line) if line.name == name && !line.value.is_empty() => Ok(line.value),
            _ => Err(PackageError::field_of(
                self.file,
                format!("{name} of {of}"),
                "this line is missing in its group of Source, Algorithm and Hash; add it",
            )),
        }
    }
}

/// A value without the quotes that YAML writers put around versions.
fn unquoted(value: &str) -> &str {
    ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value)
}
