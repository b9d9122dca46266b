//! Which keys and signature schemes are taken, and their verification by ring.

use der::Decode;
use der::Encode;
use der::asn1::{AnyRef, ObjectIdentifier};
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::hash_function;
use crate::hash::Algorithm;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// Parameters of RSASSA-PSS (RFC 4055, 3.1), the part that matters here.
#[derive(der::Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<AnyRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<AnyRef<'a>>,
}

/// Whether `signature` over `message` was made with the key.
pub(super) fn verify(
    key: &SubjectPublicKeyInfoOwned,
    scheme: &AlgorithmIdentifierOwned,
    digest: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let algorithm = algorithm(key, scheme, digest).ok_or_else(|| {
        format!(
            "the signature scheme (key {}, signature {}, {digest}) is not taken; sign with ECDSA on P-256 or P-384, \
             Ed25519, or RSA of 2048 bits or more, and SHA-256",
            key.algorithm.oid, scheme.oid
        )
    })?;
    let point = key
        .subject_public_key
        .as_bytes()
        .ok_or("the signer's public key cannot be read; make a new certificate")?;
    UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .map_err(|_| {
            "the signature is wrong: its signer did not make it over this content; sign again"
                .to_owned()
        })
}

fn algorithm(
    key: &SubjectPublicKeyInfoOwned,
    scheme: &AlgorithmIdentifierOwned,
    digest: Algorithm,
) -> Option<&'static dyn VerificationAlgorithm> {
    match key.algorithm.oid {
        EC_PUBLIC_KEY => {
            let curve: ObjectIdentifier = key.algorithm.parameters.as_ref()?.decode_as().ok()?;
            ecdsa(curve, scheme.oid, digest)
        }
        // RFC 8419, 3.1: Ed25519 goes with SHA-512.
        ED25519 if scheme.oid == ED25519 && digest == Algorithm::Sha512 => {
            Some(&ring_signature::ED25519)
        }
        RSA => rsa(scheme, digest),
        _ => None,
    }
}

fn ecdsa(
    curve: ObjectIdentifier,
    scheme: ObjectIdentifier,
    digest: Algorithm,
) -> Option<&'static dyn VerificationAlgorithm> {
    match (curve, scheme, digest) {
        (P256, ECDSA_SHA256, Algorithm::Sha256) => Some(&ring_signature::ECDSA_P256_SHA256_ASN1),
        (P256, ECDSA_SHA384, Algorithm::Sha384) => Some(&ring_signature::ECDSA_P256_SHA384_ASN1),
        (P384, ECDSA_SHA256, Algorithm::Sha256) => Some(&ring_signature::ECDSA_P384_SHA256_ASN1),
        (P384, ECDSA_SHA384, Algorithm::Sha384) => Some(&ring_signature::ECDSA_P384_SHA384_ASN1),
        _ => None,
    }
}

fn rsa(
    scheme: &AlgorithmIdentifierOwned,
    digest: Algorithm,
) -> Option<&'static dyn VerificationAlgorithm> {
    if scheme.oid == RSA_PSS {
        let encoded = scheme.parameters.as_ref()?.to_der().ok()?;
        let parameters = PssParameters::from_der(&encoded).ok()?;
        // ring takes the salt as long as the digest, and the same digest in the mask; anything else fails to verify.
        let hash = hash_function(parameters.hash?.oid)?;
        return match (hash == digest, digest) {
            (true, Algorithm::Sha256) => Some(&ring_signature::RSA_PSS_2048_8192_SHA256),
            (true, Algorithm::Sha384) => Some(&ring_signature::RSA_PSS_2048_8192_SHA384),
            (true, Algorithm::Sha512) => Some(&ring_signature::RSA_PSS_2048_8192_SHA512),
            _ => None,
        };
    }
    match (scheme.oid, digest) {
        (RSA | RSA_SHA256, Algorithm::Sha256) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        (RSA | RSA_SHA384, Algorithm::Sha384) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        (RSA | RSA_SHA512, Algorithm::Sha512) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}

/// The identifier of ECDSA on P-256 with SHA-256: what we sign with.
pub(super) const SIGNING: ObjectIdentifier = ECDSA_SHA256;
