//! Passwords as mosquitto's dynamic-security plugin keeps them: PBKDF2 with HMAC-SHA-512, salt and hash in base64.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_protocol::Secret;
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};

/// What mosquitto 2.0 itself writes. Passwords here are random, so more rounds would only slow every CONNECT.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(101).unwrap();
/// Bytes of salt that mosquitto 2.0 reads.
const SALT_BYTES: usize = 12;
/// Bytes of SHA-512.
const HASH_BYTES: usize = 64;
/// More is no stronger, and the plugin's commands should stay small.
const PASSWORD_MAX: usize = 256;
/// First part of a fingerprint, so that its form can change.
const FINGERPRINT_SCHEME: &str = "pbkdf2-sha512";

/// A salted hash in the plugin's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    /// Base64 of 12 random bytes.
    pub(crate) salt: String,
    /// Base64 of 64 bytes.
    pub(crate) hash: String,
}

/// Whether the broker takes the password as it is: the plugin's C strings would end at a NUL.
pub(crate) fn is_acceptable(password: &Secret) -> bool {
    let text = password.expose();
    !text.is_empty() && text.len() <= PASSWORD_MAX && !text.contains(|c: char| c.is_control())
}

/// Hashes with a fresh salt; `None` if the system gives no random bytes.
pub(crate) fn hash(password: &Secret) -> Option<Hashed> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).ok()?;
    let mut hash = [0; HASH_BYTES];
    let text = password.expose().as_bytes();
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        ITERATIONS,
        &salt,
        text,
        &mut hash,
    );
    Some(Hashed {
        salt: STANDARD.encode(salt),
        hash: STANDARD.encode(hash),
    })
}

/// Whether `password` made `hashed`.
pub(crate) fn verifies(password: &Secret, hashed: &Hashed) -> bool {
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(&hashed.salt), STANDARD.decode(&hashed.hash))
    else {
        return false;
    };
    let text = password.expose().as_bytes();
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, ITERATIONS, &salt, text, &hash).is_ok()
}

impl Hashed {
    /// One word for an account's description: the plugin never shows the hash that it keeps, and setting a password
    /// again would throw the live client out. As strong as that hash, and shown to administrators only.
    pub(crate) fn to_fingerprint(&self) -> String {
        format!("{FINGERPRINT_SCHEME}:{}:{}", self.salt, self.hash)
    }

    /// Reads [`Hashed::to_fingerprint`] back.
    pub(crate) fn from_fingerprint(text: &str) -> Option<Self> {
        let (salt, hash) = text
            .strip_prefix(FINGERPRINT_SCHEME)?
            .strip_prefix(':')?
            .split_once(':')?;
        Some(Self {
            salt: salt.to_owned(),
            hash: hash.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_mosquitto_ctrl_wrote_verifies() {
        let hashed = Hashed {
            salt: "PKuJe6ptlW97ccoC".to_owned(),
            hash: "7mRGF3lwytmlZLswZa6MhGGbG7DTRdVMjvQC94pEqLcdfJNx1vluShOzVkDqyBAtwa+XQFd1fIK2jZWAomQ/Dw=="
                .to_owned(),
        };
        assert!(verifies(&Secret::new("secret1"), &hashed));
        assert!(!verifies(&Secret::new("secret2"), &hashed));
    }

    #[test]
    fn a_fingerprint_reads_back_and_knows_its_password_only() {
        let hashed = hash(&Secret::new("one")).unwrap();
        let read = Hashed::from_fingerprint(&hashed.to_fingerprint()).unwrap();
        assert_eq!(read, hashed);
        assert!(verifies(&Secret::new("one"), &read));
        assert!(!verifies(&Secret::new("two"), &read));
        for bad in ["", "abc", "pbkdf2-sha512", "pbkdf2-sha512:a", "md5:a:b"] {
            assert_eq!(Hashed::from_fingerprint(bad), None);
        }
    }

    #[test]
    fn a_password_that_the_plugin_would_cut_is_not_acceptable() {
        for bad in ["", "a\0b", "a\n", &"a".repeat(257)] {
            assert!(!is_acceptable(&Secret::new(bad)), "{bad:?} was taken");
        }
        assert!(is_acceptable(&Secret::new("a b ä \" \\")));
    }
}
