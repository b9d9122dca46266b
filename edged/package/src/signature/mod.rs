//! Signatures over packages: CMS `SignedData` (RFC 5652), detached, one signer.

mod key;
mod make;

use std::time::SystemTime;

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedAttributes, SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::error::PackageError;
use crate::hash::{Algorithm, Hash};
use crate::trust::Trust;

pub(crate) use make::sign;

const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// Certificates that come with a signature: a signer, and a chain of intermediates as long as webpki follows.
const CERTIFICATES_MAX: usize = 8;

/// Who signed a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The certificate's subject (RFC 4514).
    pub subject: String,
    /// The certificate (`signingCertificate` of MEC 010-2), PEM.
    pub certificate: String,
    /// It and whatever lies between it and its authority, PEM: for [`Trust::takes`] on a later day.
    pub chain: String,
}

/// The hash function of an algorithm identifier.
fn hash_function(oid: ObjectIdentifier) -> Option<Algorithm> {
    match oid {
        SHA256 => Some(Algorithm::Sha256),
        SHA384 => Some(Algorithm::Sha384),
        SHA512 => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// Verifies a detached signature. `content` gives the digest of what is signed; `beside` are certificates that came
/// apart from the signature.
pub(crate) fn verify(
    file: &str,
    signature: &[u8],
    beside: &[CertificateDer<'static>],
    trust: &Trust,
    at: SystemTime,
    content: impl FnOnce(Algorithm) -> Result<Hash, PackageError>,
) -> Result<Signer, PackageError> {
    let refuse = |reason: String| PackageError::signature(file, reason);
    let data = signed_data(signature).map_err(refuse)?;
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(refuse(
            "this signature has not exactly one signer; sign once".to_owned(),
        ));
    };
    let certificates = certificates(&data, beside).map_err(refuse)?;
    let own = certificates
        .iter()
        .find(|certificate| is_signers(certificate, &signer.sid))
        .ok_or_else(|| {
            refuse(
                "the signer's certificate is neither in the signature nor in the package; add it"
                    .to_owned(),
            )
        })?;
    let algorithm = hash_function(signer.digest_alg.oid).ok_or_else(|| {
        refuse(
            "the signature's digest is not SHA-256, SHA-384 or SHA-512; sign with one of them"
                .to_owned(),
        )
    })?;
    let attributes = signer.signed_attrs.as_ref().ok_or_else(|| {
        refuse(
            "the signature has no signed attributes; sign with them (openssl cms without -noattr)"
                .to_owned(),
        )
    })?;
    signed_by(signer, own, attributes, algorithm).map_err(refuse)?;
    let promised = promised_digest(attributes, algorithm).map_err(refuse)?;
    if content(algorithm)? != promised {
        return Err(refuse(
            "the signature is over another content; what was signed has been changed: sign it again".to_owned(),
        ));
    }
    let der = |certificate: &Certificate| {
        certificate
            .to_der()
            .map(CertificateDer::from)
            .map_err(|error| {
                refuse(format!(
                    "a certificate cannot be read ({error}); make it again"
                ))
            })
    };
    let own_der = der(own)?;
    let others = certificates
        .iter()
        .map(der)
        .collect::<Result<Vec<_>, _>>()?;
    trust.judge(&own_der, &others, at).map_err(refuse)?;
    let certificate = crate::pem::block("CERTIFICATE", &own_der);
    let beside = others.iter().filter(|other| **other != own_der);
    let beside = beside.map(|other| crate::pem::block("CERTIFICATE", other));
    Ok(Signer {
        subject: own.tbs_certificate().subject().to_string(),
        chain: certificate.clone() + &beside.collect::<String>(),
        certificate,
    })
}

fn signed_data(der: &[u8]) -> Result<SignedData, String> {
    let damaged =
        |error: der::Error| format!("this is no CMS signature in DER ({error}); sign again");
    let info = ContentInfo::from_der(der).map_err(damaged)?;
    if info.content_type != ID_SIGNED_DATA {
        return Err("this CMS message is no signature (SignedData); sign again".to_owned());
    }
    let data: SignedData = info.content.decode_as().map_err(damaged)?;
    if data.encap_content_info.econtent_type != ID_DATA
        || data.encap_content_info.econtent.is_some()
    {
        return Err(
            "the signature carries its own content; make a detached one over plain data".to_owned(),
        );
    }
    Ok(data)
}

fn certificates(
    data: &SignedData,
    beside: &[CertificateDer<'static>],
) -> Result<Vec<Certificate>, String> {
    let inside = data.certificates.iter().flat_map(|set| set.0.iter());
    let mut all = Vec::new();
    for choice in inside {
        match choice {
            CertificateChoices::Certificate(certificate) => all.push(certificate.clone()),
            CertificateChoices::Other(_) => {
                return Err(
                    "the signature carries a certificate that is not X.509; sign with one"
                        .to_owned(),
                );
            }
        }
    }
    for certificate in beside {
        let certificate = Certificate::from_der(certificate)
            .map_err(|error| format!("a certificate cannot be read ({error}); make it again"))?;
        if !all.contains(&certificate) {
            all.push(certificate);
        }
    }
    if all.len() > CERTIFICATES_MAX {
        return Err(format!(
            "{} certificates come with the signature, more than {CERTIFICATES_MAX}; send only the signer's chain",
            all.len()
        ));
    }
    Ok(all)
}

fn is_signers(certificate: &Certificate, sid: &SignerIdentifier) -> bool {
    let tbs = certificate.tbs_certificate();
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            *tbs.issuer() == id.issuer && *tbs.serial_number() == id.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => tbs
            .get_extension::<SubjectKeyIdentifier>()
            .ok()
            .flatten()
            .is_some_and(|(_, own)| own == *id),
    }
}

/// Whether the signer's key made the signature over the attributes (RFC 5652, 5.4).
fn signed_by(
    signer: &SignerInfo,
    certificate: &Certificate,
    attributes: &SignedAttributes,
    digest: Algorithm,
) -> Result<(), String> {
    // What is signed is the SET OF encoding, not the [0] that is in the message.
    let message = attributes
        .to_der()
        .map_err(|error| format!("the signed attributes cannot be read ({error}); sign again"))?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    key::verify(
        key,
        &signer.signature_algorithm,
        digest,
        &message,
        signer.signature.as_bytes(),
    )
}

/// The digest that the signer vouches for; the two attributes that RFC 5652, 11 demands, each once with one value.
fn promised_digest(attributes: &SignedAttributes, algorithm: Algorithm) -> Result<Hash, String> {
    let one = |oid: ObjectIdentifier, name: &str| {
        let mut matching = attributes.iter().filter(|attribute| attribute.oid == oid);
        match (
            matching.next().map(|attribute| attribute.values.as_slice()),
            matching.next(),
        ) {
            (Some([value]), None) => Ok(value.clone()),
            _ => Err(format!(
                "the signature needs one attribute {name} with one value; sign again"
            )),
        }
    };
    let content_type: ObjectIdentifier = one(CONTENT_TYPE, "contentType")?
        .decode_as()
        .map_err(|_| "the signature's contentType cannot be read; sign again".to_owned())?;
    if content_type != ID_DATA {
        return Err("the signature's contentType is not plain data; sign again".to_owned());
    }
    let digest: OctetString = one(MESSAGE_DIGEST, "messageDigest")?
        .decode_as()
        .map_err(|_| "the signature's messageDigest cannot be read; sign again".to_owned())?;
    Ok(Hash::from_bytes(algorithm, digest.as_bytes()))
}
