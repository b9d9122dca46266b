//! A key in a file: what there is without a TPM. Whoever reads the disk has it.

use std::fmt;
use std::io;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::{POINT, SIGNATURE, Sign, SignError, leaf, write_private};

/// A P-256 key in PKCS #8.
pub struct FileKey {
    name: String,
    pair: EcdsaKeyPair,
    public: [u8; POINT],
}

impl FileKey {
    /// Reads the key (DER or PEM), or makes it (PEM, which the broker reads as well, mode 0600); `name` is for messages.
    ///
    /// # Errors
    /// The file cannot be used, or holds no P-256 key.
    pub fn open(path: &Path, name: &str) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Self::read(&bytes, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &SystemRandom::new(),
                );
                let made = made.map_err(|_| io::Error::other("the kernel gives no randomness"))?;
                let text = leaf::pem("PRIVATE KEY", made.as_ref());
                write_private(path, text.as_bytes())?;
                Self::read(made.as_ref(), name)
            }
            Err(error) => Err(error),
        }
    }

    fn read(bytes: &[u8], name: &str) -> io::Result<Self> {
        let malformed = || {
            let message = "it holds no P-256 key in PKCS #8; remove it and a new one is made";
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let pem = PrivatePkcs8KeyDer::from_pem_slice(bytes).ok();
        let der = pem.as_ref().map_or(bytes, |key| key.secret_pkcs8_der());
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new());
        let pair = pair.map_err(|_| malformed())?;
        let public = pair.public_key().as_ref().try_into();
        Ok(Self {
            name: name.to_owned(),
            public: public.map_err(|_| malformed())?,
            pair,
        })
    }
}

impl Sign for FileKey {
    fn public(&self) -> [u8; POINT] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
        let failed = |reason: &str| SignError {
            key: self.name.clone(),
            reason: reason.to_owned(),
        };
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| failed("the kernel gives no randomness"))?;
        let signature = signature.as_ref().try_into();
        signature.map_err(|_| failed("its signature has another length"))
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileKey").field(&self.name).finish()
    }
}
