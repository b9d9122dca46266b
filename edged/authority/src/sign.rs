//! A key that signs and is not shown.

use std::fmt;

/// Bytes of a public key: an uncompressed point of P-256 (SEC 1, 2.3.3).
pub const POINT: usize = 65;
/// Bytes of a signature: r and s, 32 bytes each, big-endian (RFC 7518, 3.4).
pub const SIGNATURE: usize = 64;

/// Why nothing was signed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key {key} does not sign: {reason}")]
pub struct SignError {
    /// Which key: `tls`, `token`, `ca`.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// Signs with one P-256 key.
pub trait Sign: Send + Sync + fmt::Debug {
    /// The public key.
    fn public(&self) -> [u8; POINT];

    /// ECDSA with SHA-256 over a message (FIPS 186-5, 6.4). May wait for the TPM: never on the thread that serves.
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError>;
}
