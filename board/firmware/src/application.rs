//! Trusted applications as OP-TEE takes them from a file: signed anew, by whom one likes. For tests alone: the images
//! have none but those inside OP-TEE itself.

use std::fs;

use anyhow::{Context, ensure};
use board_forge::{Bind, Cache, DebianRoot, run};
use sha2::{Digest as _, Sha256};

use crate::op_tee::{self, DEFAULT_KEY};
use crate::source::OP_TEE;
use crate::workshop::{Workshop, inputs};

/// Where the private half of OP-TEE's default key is in its source.
const PRIVATE: &str = "optee/keys/default_ta.pem";
/// The header of a signed file (OP-TEE 4.10, `core/include/signed_hdr.h`): its magic number, the type of what has a UUID
/// and a version in front, and the bytes up to the hash.
const MAGIC: &[u8; 4] = b"HSTO";
const BOOTSTRAP: [u8; 4] = [1, 0, 0, 0];
const FIXED: usize = 20;
/// `TEE_ALG_RSASSA_PKCS1_V1_5_SHA256` of the TEE internal core API, the length of its hash (32) and of a signature
/// by 4,096 bits (512), as they stand in the header.
const ALGORITHM: [u8; 8] = [0x30, 0x48, 0x00, 0x70, 32, 0, 0, 2];
const SIGNATURE: usize = 512;

/// The same application with another signature: `sign` gives RSASSA-PKCS1-v1_5 with SHA-256, by a key of 4,096 bits, over
/// what it is given.
///
/// # Errors
/// The file is no signed application, or what `sign` says.
pub fn signed_application(
    file: &[u8],
    sign: impl Fn(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    let (fixed, rest) = file
        .split_at_checked(FIXED)
        .filter(|(fixed, _)| fixed.starts_with(MAGIC) && fixed.get(4..8) == Some(&BOOTSTRAP))
        .context("this is no trusted application with OP-TEE's header")?;
    let (_, lengths) = fixed.split_at(16);
    let length = |at: usize| -> anyhow::Result<usize> {
        let bytes = lengths.get(at..at + 2).context("the header is cut off")?;
        Ok(usize::from(u16::from_le_bytes(bytes.try_into()?)))
    };
    let application = rest
        .get(length(0)? + length(2)?..)
        .context("the trusted application is cut off")?;
    let header = [fixed.get(..12).unwrap_or_default(), &ALGORITHM].concat();
    let message = [header.as_slice(), application].concat();
    let signature = sign(&message)?;
    ensure!(
        signature.len() == SIGNATURE,
        "a trusted application is signed by RSA with 4096 bits, and this signature has {} bytes",
        signature.len()
    );
    let hash = Sha256::digest(&message);
    Ok([&header, hash.as_slice(), &signature, application].concat())
}

/// Signs as everybody can: with the private key in OP-TEE's source, whose public half an OP-TEE believes in unless it is
/// replaced, as [`crate::qemu_aarch64`] does.
///
/// # Errors
/// The source has no such key, or another one than OP-TEE was built with.
pub fn everybody_signs(
    cache: &Cache,
    root: &DebianRoot,
    message: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let built = op_tee::make(cache, root)?;
    let inputs = inputs(root, &[OP_TEE], &[])?.made("optee", &built);
    let made = cache.step("optee-public-key", &inputs, |out| {
        let shop = Workshop::open(cache, root)?;
        shop.unpack(cache, &OP_TEE, None)?;
        let public = ["pkey", "-in", PRIVATE, "-pubout", "-outform", "DER"];
        let words = [&public[..], &["-out", DEFAULT_KEY]].concat();
        shop.run("", "openssl", &words)?;
        ensure!(
            fs::read(shop.path(DEFAULT_KEY))? == fs::read(built.join(DEFAULT_KEY))?,
            "OP-TEE was not built with {PRIVATE}"
        );
        fs::copy(shop.path(PRIVATE), out.join("key.pem"))?;
        Ok(())
    })?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("message"), message)?;
    let binds = [
        Bind::write(folder.path(), "/work/signing"),
        Bind::read(&made.path, "/work/key"),
    ];
    run(root
        .command("/work/signing", &binds, "openssl")?
        .args(["dgst", "-sha256", "-sign", "/work/key/key.pem"])
        .args(["-out", "signature", "message"]))?;
    Ok(fs::read(folder.path().join("signature"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a hash of 4 bytes and a signature of 2, then the application.
    const SMALL: &[u8] = b"HSTO\x01\0\0\0\x05\0\0\0algo\x04\0\x02\0hashsiapplication";

    #[test]
    fn an_application_is_the_same_under_another_signature() {
        let made = signed_application(SMALL, |message| {
            assert!(message.ends_with(b"application") && message.len() == FIXED + 11);
            Ok(vec![7; SIGNATURE])
        })
        .unwrap();
        assert!(made.starts_with(b"HSTO\x01\0\0\0\x05\0\0\0\x30\x48\0\x70\x20\0\0\x02"));
        assert!(made.ends_with(b"\x07\x07application"));
        assert_eq!(made.len(), FIXED + 32 + SIGNATURE + 11);
    }

    #[test]
    fn what_is_no_application_or_signed_by_a_short_key_is_an_error() {
        let sign = |_: &[u8]| Ok(vec![7; 256]);
        assert!(signed_application(SMALL, sign).is_err());
        assert!(signed_application(b"\x7fELF", sign).is_err());
        assert!(signed_application(&SMALL[..22], sign).is_err());
    }
}
