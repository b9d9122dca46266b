//! Whose packages are taken: a folder of certificates, read at every on-boarding.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use edged_authority::{remove_durably, write_durably};
use edged_model::ImageReference;
use edged_package::Trust;
use mec_api::Problem;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::PackageManagement;
use super::arrival::hex;
use super::folder::disk;
use super::record::{PackageId, StoredPackage};
use crate::{Facts, Mec, Platform};

/// Certificates of signers at once: more would be a public key infrastructure, and that has one root.
pub const SIGNERS: usize = 64;
/// Longest file with a certificate: chains of four with large keys stay below.
pub const CERTIFICATE_MAX: usize = 16 << 10;
/// Longest name of a signer: it is the name of a file.
const NAME_MAX: usize = 64;
const EXTENSION: &str = "pem";

/// A signer, or an authority of signers, whose packages are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSigner {
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 of each of its certificates, hexadecimal.
    pub fingerprints: Vec<String>,
}

/// Whose packages are taken now, for [`edged_package::Package::open`].
pub(super) fn trust_of(facts: &Facts) -> Result<Trust, Problem> {
    let trust = trust(&facts.signers)?;
    Ok(if facts.unsigned_packages {
        trust.accept_unsigned()
    } else {
        trust
    })
}

/// The certificates of the folder; an absent one has none.
fn text_of(folder: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    for path in files(folder).map_err(|error| disk(&error))? {
        text += &fs::read_to_string(&path).map_err(|error| disk(&error))?;
        text.push('\n');
    }
    Ok(text)
}

/// What the folder holds; an absent folder trusts nobody.
fn trust(folder: &Path) -> Result<Trust, Problem> {
    let text = text_of(folder)?;
    if text.trim().is_empty() {
        return Ok(Trust::default());
    }
    Trust::from_pem(&text).map_err(|error| {
        Problem::unavailable(format!(
            "the certificates in {} cannot be used: {error}",
            folder.display()
        ))
    })
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn fingerprints(pem: &str) -> Vec<String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
    certificates
        .map(|certificate| hex(digest(&SHA256, &certificate).as_ref()))
        .collect()
}

impl<P: Platform> Mec<P> {
    /// The images that came with packages whose signer is trusted no more.
    pub(crate) fn unvouched(&self) -> Result<BTreeSet<ImageReference>, Problem> {
        let (trust, now) = (trust_of(&self.facts)?, SystemTime::now());
        let all = self.packages.all().into_iter();
        let refused = all.filter(|package| {
            let content = package.content.as_ref();
            content.is_some_and(|content| trust.takes(content.chain(), now).is_err())
        });
        let images = refused.filter_map(|package| package.image.clone());
        Ok(images.map(|image| image.reference).collect())
    }

    /// Whether a new instance of a package may be made: it vouches for its image, so its signer has to be trusted now, not
    /// only when it was on-boarded.
    pub(crate) fn vouched(&self, id: &PackageId) -> Result<(), Problem> {
        let package = self.packages.at(id);
        let package = package.ok_or_else(|| Problem::not_found(format!("package {id} is gone")))?;
        let content = package.onboarded()?;
        let taken = trust_of(&self.facts)?.takes(content.chain(), SystemTime::now());
        taken.map_err(|reason| {
            Problem::conflict(format!("nothing new is made of package {id}: {reason}"))
        })
    }
}

impl<P: Platform> PackageManagement<P> {
    /// The images that came with packages whose signer is trusted no more.
    ///
    /// # Errors
    /// 503 where the signers cannot be read.
    pub fn unvouched(&self) -> Result<BTreeSet<ImageReference>, Problem> {
        self.mec().unvouched()
    }

    /// Whether a new instance of a package may be made, by the signers of now.
    ///
    /// # Errors
    /// 409 where its signer is trusted no more.
    pub fn vouched(&self, package: &StoredPackage) -> Result<(), Problem> {
        self.mec().vouched(&package.id)
    }

    fn signer_file(&self, name: &str) -> Result<PathBuf, Problem> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > NAME_MAX
            || name.starts_with('.')
            || !name.chars().all(plain)
        {
            return Err(Problem::bad_request(format!(
                "{name:?} is no name of a signer; write 1 to {NAME_MAX} letters, digits, '-', '_' and '.'"
            )));
        }
        Ok(self.mec().facts.signers.join(format!("{name}.{EXTENSION}")))
    }

    /// Whose packages are taken, by name.
    ///
    /// # Errors
    /// 503 where the folder cannot be read.
    pub fn signers(&self) -> Result<Vec<TrustedSigner>, Problem> {
        let files = files(&self.mec().facts.signers).map_err(|error| disk(&error))?;
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).map_err(|error| disk(&error))?;
            let name = path.file_stem().unwrap_or_default();
            Ok(TrustedSigner {
                name: name.to_string_lossy().into_owned(),
                fingerprints: fingerprints(&text),
            })
        };
        files.into_iter().map(read).collect()
    }

    /// Takes the packages of a signer from now on; `pem` is its certificate or that of its authority. Durable.
    ///
    /// # Errors
    /// 400 for what is no certificate, 409 where the name is taken or there are enough.
    pub fn add_signer(&self, name: &str, pem: &str) -> Result<TrustedSigner, Problem> {
        let path = self.signer_file(name)?;
        if pem.len() > CERTIFICATE_MAX {
            return Err(Problem::too_large(format!(
                "a certificate has at most {CERTIFICATE_MAX} bytes"
            )));
        }
        Trust::from_pem(pem).map_err(|error| Problem::bad_request(error.to_string()))?;
        let known = self.signers()?;
        if known.iter().any(|known| known.name == name) {
            return Err(Problem::conflict(format!(
                "a signer named {name:?} is trusted already; remove it first, or choose another name"
            )));
        }
        if known.len() >= SIGNERS {
            return Err(Problem::conflict(format!(
                "{SIGNERS} signers are trusted already; trust the authority that issued them"
            )));
        }
        // All of them are read as one: what does not fit beside the others would leave no package taken at all.
        let together = [text_of(&self.mec().facts.signers)?, pem.to_owned()].concat();
        Trust::from_pem(&together).map_err(|error| Problem::conflict(error.to_string()))?;
        fs::create_dir_all(&self.mec().facts.signers)
            .and_then(|()| write_durably(&path, pem.as_bytes(), 0o644))
            .map_err(|error| disk(&error))?;
        Ok(TrustedSigner {
            name: name.to_owned(),
            fingerprints: fingerprints(pem),
        })
    }

    /// Takes no more packages of a signer and makes no more instances of those that are on-boarded; what runs stays.
    ///
    /// # Errors
    /// 404 where there is no such signer.
    pub fn remove_signer(&self, name: &str) -> Result<(), Problem> {
        let path = self.signer_file(name)?;
        if !path.try_exists().map_err(|error| disk(&error))? {
            let why = format!("no signer named {name:?} is trusted");
            return Err(Problem::not_found(why));
        }
        remove_durably(&path).map_err(|error| disk(&error))
    }
}
