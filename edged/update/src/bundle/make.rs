//! Making a bundle: what is to be signed, and all of it.

use std::io::{self, Read, Write};

use super::{MAGIC, MANIFEST_MAX, Manifest, SIGNATURE};

/// The bytes that the key `update` signs: the beginning of the bundle.
///
/// # Errors
/// The manifest is longer than any may be.
pub fn signed(manifest: &Manifest) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(manifest)?;
    if json.len() > MANIFEST_MAX {
        return Err(io::Error::other(format!(
            "the manifest has {} bytes, and none may have more than {MANIFEST_MAX}",
            json.len()
        )));
    }
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([MAGIC.as_slice(), &length.to_le_bytes(), &json].concat())
}

/// Writes a bundle: what was signed, its signature, and the parts in the manifest's order.
///
/// # Errors
/// The signature is none of RSA-3072, or reading or writing fails.
pub fn assemble(
    to: &mut impl Write,
    signed: &[u8],
    signature: &[u8],
    parts: &mut [&mut dyn Read],
) -> io::Result<()> {
    if signature.len() != SIGNATURE {
        return Err(io::Error::other(format!(
            "the update key's signature has {} bytes, and one by RSA-3072 has {SIGNATURE}",
            signature.len()
        )));
    }
    let length = u16::try_from(signature.len()).map_err(io::Error::other)?;
    to.write_all(signed)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(signature)?;
    for part in parts {
        io::copy(part, to)?;
    }
    Ok(())
}
