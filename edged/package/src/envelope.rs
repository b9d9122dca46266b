//! A CSAR in a ZIP with its signature: the second way to sign (SOL 004, 5.1), and what both ways share.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::error::PackageError;
use crate::hash::{Algorithm, Hash};
use crate::limits::Limits;
use crate::pem;
use crate::signature::{self, Signer};
use crate::trust::{self, Trust};
use crate::zip::{Archive, Region, VerifiedReader};

/// Extensions of a signature beside a CSAR (SOL 004, 5.1, option 2).
pub(crate) const SIGNATURE_EXTENSIONS: [&str; 2] = [".cms", ".p7s"];
const CSAR_EXTENSIONS: [&str; 2] = [".csar", ".zip"];
const CERTIFICATE_EXTENSIONS: [&str; 2] = [".cert", ".pem"];

/// A CSAR, its signature and perhaps a certificate in a ZIP (SOL 004, 5.1, option 2).
pub(crate) struct Envelope {
    csar: String,
    signature: String,
    certificate: Option<String>,
}

impl Envelope {
    pub(crate) fn find(archive: &Archive) -> Option<Self> {
        let (csar, base) = archive.names().find_map(|name| {
            let base = CSAR_EXTENSIONS
                .iter()
                .find_map(|extension| name.strip_suffix(extension))?;
            (!name.contains('/')).then(|| (name.to_owned(), base.to_owned()))
        })?;
        let beside = |extensions: &[&str]| {
            extensions
                .iter()
                .map(|extension| format!("{base}{extension}"))
                .find(|name| archive.entry(name).is_some())
        };
        Some(Self {
            signature: beside(&SIGNATURE_EXTENSIONS).unwrap_or_else(|| format!("{base}.cms")),
            certificate: beside(&CERTIFICATE_EXTENSIONS),
            csar,
        })
    }

    pub(crate) fn open(
        &self,
        archive: &Archive,
        trust: &Trust,
        limits: &Limits,
        now: SystemTime,
    ) -> Result<(Region, Signer), PackageError> {
        let ours = [
            Some(&self.csar),
            Some(&self.signature),
            self.certificate.as_ref(),
        ];
        if let Some(stranger) = archive
            .names()
            .find(|name| !ours.iter().flatten().any(|own| own == name))
        {
            return Err(PackageError::archive(
                stranger,
                "beside a CSAR there are its signature and certificate and nothing else; take this file out",
            ));
        }
        let (Some(csar), Some(signature)) =
            (archive.entry(&self.csar), archive.entry(&self.signature))
        else {
            return Err(PackageError::missing(&self.signature, &self.csar));
        };
        let inner = archive.stored(csar).ok_or_else(|| {
            PackageError::archive(
                &self.csar,
                "a CSAR is a ZIP already; store it without compression (zip -0)",
            )
        })?;
        let beside = match self
            .certificate
            .as_deref()
            .and_then(|name| archive.entry(name))
        {
            Some(entry) => certificates(&entry.name, &archive.text(entry, limits)?)?,
            None => Vec::new(),
        };
        let der = signature_der(&self.signature, archive.bytes(signature, limits)?)?;
        let signer = signature::verify(&self.signature, &der, &beside, trust, now, |algorithm| {
            hash_of(archive.reader(csar)?, &self.csar, algorithm)
        })?;
        Ok((inner, signer))
    }
}

pub(crate) fn hash_of(
    reader: VerifiedReader,
    file: &str,
    algorithm: Algorithm,
) -> Result<Hash, PackageError> {
    reader.hashing(algorithm).digest()?.ok_or_else(|| {
        PackageError::archive(file, "it could not be read to its end; send it again")
    })
}

pub(crate) fn certificates(
    file: &str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, PackageError> {
    trust::certificates(text).map_err(|error| PackageError::signature(file, error.to_string()))
}

/// A signature in a file of its own: DER, or PEM around it.
pub(crate) fn signature_der(file: &str, bytes: Vec<u8>) -> Result<Vec<u8>, PackageError> {
    if !bytes.starts_with(b"-----BEGIN ") {
        return Ok(bytes);
    }
    let blocks = std::str::from_utf8(&bytes).ok().and_then(pem::blocks);
    match blocks.as_deref() {
        Some([block]) => Ok(block.der.clone()),
        _ => Err(PackageError::signature(
            file,
            "this is not one complete PEM block; sign again",
        )),
    }
}
