//! Public keys of a TPM (`TPMT_PUBLIC`), their names, and signatures by them (`TPMT_SIGNATURE`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::der;
use crate::pcr::Value;
use crate::wire::{Reader, WireError, algorithm, counted};

/// What is true of an object for ever (`TPMA_OBJECT`).
pub mod attribute {
    /// It cannot leave its TPM.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// It cannot get another parent.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM drew it.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// Its password opens it.
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    /// Only its policy administers it.
    pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
    /// Wrong passwords are not counted.
    pub const NO_DA: u32 = 1 << 10;
    /// It works on what the TPM itself made, and on nothing else.
    pub const RESTRICTED: u32 = 1 << 16;
    /// It decrypts.
    pub const DECRYPT: u32 = 1 << 17;
    /// It signs.
    pub const SIGN: u32 = 1 << 18;
}

/// What an attestation key must be, or its signature says nothing.
const ATTESTS: u32 = attribute::FIXED_TPM
    | attribute::FIXED_PARENT
    | attribute::SENSITIVE_DATA_ORIGIN
    | attribute::RESTRICTED
    | attribute::SIGN;
/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;
/// What RSA keys of a TPM have as exponent where they say 0.
const EXPONENT: u32 = 65_537;
/// `SubjectPublicKeyInfo` of a P-256 key up to its point (RFC 5480).
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// `AlgorithmIdentifier` of an RSA key (RFC 8017, A.1).
const RSA_ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// A public key, as a TPM has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    raw: Vec<u8>,
    /// Its attributes.
    pub attributes: u32,
    /// The policy that opens it; empty where none does.
    pub policy: Vec<u8>,
    /// The key.
    pub key: Key,
}

/// The key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// P-256.
    P256 {
        /// A coordinate.
        x: [u8; COORDINATE],
        /// The other one.
        y: [u8; COORDINATE],
    },
    /// RSA.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The exponent.
        exponent: u32,
    },
}

impl Public {
    /// Reads one, strictly. Its names are of SHA-256; another hash is refused.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.half()?;
        reader.expect("hash", algorithm::SHA256)?;
        let attributes = reader.word()?;
        let policy = reader.counted()?.to_vec();
        if reader.half()? != algorithm::NULL {
            // A storage key's cipher: bits and mode.
            let _ = (reader.half()?, reader.half()?);
        }
        if reader.half()? != algorithm::NULL {
            let _hash = reader.half()?;
        }
        let key = match kind {
            algorithm::ECC => {
                reader.expect("curve", algorithm::P256)?;
                reader.expect("key derivation", algorithm::NULL)?;
                let (x, y) = (coordinate(&mut reader)?, coordinate(&mut reader)?);
                Key::P256 { x, y }
            }
            algorithm::RSA => {
                let _bits = reader.half()?;
                let exponent = match reader.word()? {
                    0 => EXPONENT,
                    other => other,
                };
                let modulus = reader.counted()?.to_vec();
                Key::Rsa { modulus, exponent }
            }
            other => {
                return Err(WireError::Unknown {
                    what: "type of key",
                    found: other.into(),
                });
            }
        };
        reader.end()?;
        Ok(Self {
            raw: bytes.to_vec(),
            attributes,
            policy,
            key,
        })
    }

    /// An RSA key from a PEM file, as a TPM takes it to check signatures with.
    pub fn rsa_from_pem(text: &str) -> Option<Self> {
        let (modulus, exponent) = der::rsa_key(&der::pem(text)?)?;
        let bits = u16::try_from(modulus.len().checked_mul(8)?).ok()?;
        let attributes = attribute::USER_WITH_AUTH | attribute::SIGN;
        let rsa = algorithm::RSA.to_be_bytes();
        let raw = [
            rsa.as_slice(),
            &algorithm::SHA256.to_be_bytes(),
            &attributes.to_be_bytes(),
            &[0; 2],
            &algorithm::NULL.to_be_bytes(),
            &algorithm::NULL.to_be_bytes(),
            &bits.to_be_bytes(),
            &if exponent == EXPONENT { 0 } else { exponent }.to_be_bytes(),
            &counted(&modulus).ok()?,
        ];
        Self::read(&raw.concat()).ok()
    }

    /// As a TPM writes it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What a TPM calls the object: the hash's number and the hash of all that is public.
    pub fn name(&self) -> Vec<u8> {
        [
            algorithm::SHA256.to_be_bytes().as_slice(),
            &Value::of(&self.raw).0,
        ]
        .concat()
    }

    /// Whether only its TPM has it, and it signs only what that TPM says.
    pub fn attests(&self) -> bool {
        self.attributes & ATTESTS == ATTESTS && self.attributes & attribute::DECRYPT == 0
    }

    /// The key as an uncompressed point (SEC 1, 2.3.3), where it is one.
    pub fn point(&self) -> Option<[u8; 1 + 2 * COORDINATE]> {
        match &self.key {
            Key::P256 { x, y } => [[4].as_slice(), x, y].concat().try_into().ok(),
            Key::Rsa { .. } => None,
        }
    }

    /// For programs that know no TPM: `SubjectPublicKeyInfo` in PEM.
    pub fn pem(&self) -> String {
        let info = match &self.key {
            Key::P256 { x, y } => [P256_INFO.as_slice(), &[4], x, y].concat(),
            Key::Rsa { modulus, exponent } => {
                let key = der::sequence(&[
                    &der::unsigned(modulus),
                    &der::unsigned(&exponent.to_be_bytes()),
                ]);
                der::sequence(&[&RSA_ALGORITHM, &der::bits(&key)])
            }
        };
        let text = STANDARD.encode(info);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// Checks a signature over a message that was hashed with SHA-256.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        match (&self.key, signature) {
            (Key::P256 { .. }, Signature::Ecdsa(signature)) => self.point().is_some_and(|point| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }),
            (Key::Rsa { modulus, exponent }, Signature::Rsassa(signature)) => {
                let exponent = exponent.to_be_bytes();
                let start = exponent.iter().take_while(|byte| **byte == 0).count();
                RsaPublicKeyComponents {
                    n: modulus.as_slice(),
                    e: exponent.get(start..).unwrap_or_default(),
                }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok()
            }
            _ => false,
        }
    }
}

/// A coordinate; some TPMs leave its leading zeros out.
fn coordinate(reader: &mut Reader) -> Result<[u8; COORDINATE], WireError> {
    let bytes = reader.counted()?;
    let mut padded = [0; COORDINATE];
    let start = COORDINATE.checked_sub(bytes.len());
    start
        .and_then(|start| padded.get_mut(start..))
        .ok_or(WireError::Unknown {
            what: "length of a coordinate",
            found: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        })?
        .copy_from_slice(bytes);
    Ok(padded)
}

/// A signature over SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// r and s.
    Ecdsa([u8; 2 * COORDINATE]),
    /// PKCS #1 v1.5.
    Rsassa(Vec<u8>),
}

impl Signature {
    /// Reads one, strictly.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.half()?;
        reader.expect("hash", algorithm::SHA256)?;
        let signature = match kind {
            algorithm::ECDSA => {
                let (r, s) = (coordinate(&mut reader)?, coordinate(&mut reader)?);
                let both = [r, s].concat().try_into();
                Self::Ecdsa(both.map_err(|_| WireError::Truncated)?)
            }
            algorithm::RSASSA => Self::Rsassa(reader.counted()?.to_vec()),
            other => {
                return Err(WireError::Unknown {
                    what: "kind of signature",
                    found: other.into(),
                });
            }
        };
        reader.end()?;
        Ok(signature)
    }
}
