//! Requests for certificates (PKCS #10, RFC 2986): a public key, and the proof that whoever asks has the private one.
//!
//! Nothing else is taken from a request: who somebody is, the box knows better.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::request::CertReq;

use crate::POINT;

/// Longest request that is read: one for P-256 with a dozen names has 700 bytes.
pub const REQUEST_MAX: usize = 8 << 10;
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Neither form.
    #[error(
        "this is no request for a certificate (PKCS #10, PEM or DER); make one with `openssl req -new`"
    )]
    Form,
    /// RSA and other curves.
    #[error("the key of this request is not of P-256, the only kind that is taken")]
    Kind,
    /// Somebody else's key.
    #[error("this request is not signed by the key it names, with ECDSA and SHA-256")]
    Signature,
}

/// The public key of a request whose sender has the private one.
///
/// # Errors
/// [`RequestError`].
pub fn requested_key(request: &[u8]) -> Result<[u8; POINT], RequestError> {
    if request.len() > REQUEST_MAX {
        return Err(RequestError::Form);
    }
    let pem = CertificateSigningRequestDer::from_pem_slice(request).ok();
    let der = pem.as_deref().unwrap_or(request);
    let request = CertReq::from_der(der).map_err(|_| RequestError::Form)?;
    let key = &request.info.public_key;
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    if key.algorithm.oid != EC_PUBLIC_KEY || curve != Some(P256) {
        return Err(RequestError::Kind);
    }
    let point = key.subject_public_key.as_bytes();
    let point: [u8; POINT] = point
        .and_then(|point| point.try_into().ok())
        .ok_or(RequestError::Kind)?;
    // DER has one form only, so this is what was signed.
    let signed = request.info.to_der().map_err(|_| RequestError::Form)?;
    let signature = request
        .signature
        .as_bytes()
        .ok_or(RequestError::Signature)?;
    if request.algorithm.oid != ECDSA_SHA256 {
        return Err(RequestError::Signature);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&signed, signature)
        .map_err(|_| RequestError::Signature)?;
    Ok(point)
}
