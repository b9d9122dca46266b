//! OP-TEE: compiled with its public default key, whose modulus makes place for ours.

use std::fs;

use anyhow::{Context, bail};
use board_forge::{Cache, DebianRoot, Made};

use crate::options::{check, variables};
use crate::place::Place;
use crate::source::OP_TEE;
use crate::workshop::{Workshop, inputs};

/// Its options.
const OPTIONS: &str = "optee/qemu-aarch64.options";
/// Our patches.
const PATCHES: &str = "optee/patches";
/// The images that BL2 loads.
const IMAGES: [&str; 3] = [
    "tee-header_v2.bin",
    "tee-pager_v2.bin",
    "tee-pageable_v2.bin",
];
/// The public half of the key that comes with OP-TEE's source, whose private half everybody has.
pub(crate) const DEFAULT_KEY: &str = "default_ta.der";
/// Bytes of a modulus of 4,096 bits.
const MODULUS: usize = 512;
/// What stands before it in a `SubjectPublicKeyInfo`: lengths, the algorithm's identifier, a zero (RFC 8017, A.1.1).
const BEFORE: usize = 33;
/// What stands behind it: the exponent 65,537.
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];

/// OP-TEE's images, and what it believes in until a key is filled in.
pub(crate) fn make(cache: &Cache, root: &DebianRoot) -> anyhow::Result<Made> {
    let options = variables(OPTIONS)?;
    let wanted: Vec<&str> = options
        .iter()
        .map(String::as_str)
        .filter(|line| line.starts_with("CFG_"))
        .collect();
    let inputs = inputs(root, &[OP_TEE], &[PATCHES])?.text("options", &options.join("\n"));
    cache.step("optee", &inputs, |out| {
        let shop = Workshop::open(cache, root)?;
        shop.unpack(cache, &OP_TEE, Some(PATCHES))?;
        let mut words = vec!["O=/work/out"];
        words.extend(options.iter().map(String::as_str));
        words.push("all");
        shop.make("optee", &words)?;
        check(&wanted.join("\n"), &shop.path("out/conf.mk"))?;
        shop.run(
            "optee",
            "openssl",
            &[
                "pkey",
                "-in",
                "keys/default_ta.pem",
                "-pubout",
                "-outform",
                "DER",
                "-out",
                &format!("/work/out/{DEFAULT_KEY}"),
            ],
        )?;
        shop.keep("out", &[DEFAULT_KEY, "conf.mk"], out)?;
        shop.keep("out/core", &IMAGES, out)
    })
}

/// OP-TEE's pager (the image that holds everything) with the key that trusted applications must be signed by.
pub(crate) fn with_key(made: &Made, key: &[u8]) -> anyhow::Result<Vec<u8>> {
    let default = fs::read(made.join(DEFAULT_KEY))?;
    let place = Place {
        what: "OP-TEE's key of trusted applications",
        marker: modulus(&default)?.to_vec(),
        room: 0,
    };
    let mut program = fs::read(made.join("tee-pager_v2.bin"))?;
    place.fill(&mut program, modulus(key)?)?;
    Ok(program)
}

/// The modulus in the DER of an RSA key of 4,096 bits.
fn modulus(key: &[u8]) -> anyhow::Result<&[u8]> {
    if key.len() != BEFORE + MODULUS + EXPONENT.len() || !key.ends_with(&EXPONENT) {
        bail!("the key of trusted applications is not RSA with 4096 bits and the exponent 65537");
    }
    key.get(BEFORE..BEFORE + MODULUS)
        .context("the key of trusted applications is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SubjectPublicKeyInfo` of the right lengths, with a modulus of one byte repeated.
    fn key(byte: u8) -> Vec<u8> {
        let mut key = vec![0x30; BEFORE];
        key.extend([byte; MODULUS]);
        key.extend(EXPONENT);
        key
    }

    /// An application that somebody signed with the key of OP-TEE's source is refused by an OP-TEE that does not know it.
    #[test]
    fn a_trusted_world_with_our_key_knows_nothing_of_the_public_one() {
        let folder = tempfile::tempdir().unwrap();
        let made = Made {
            path: folder.path().to_owned(),
            key: board_forge::Digest::of(b""),
            kept: false,
        };
        let program = [b"code".as_slice(), &[1; MODULUS], b"data"].concat();
        fs::write(made.join(DEFAULT_KEY), key(1)).unwrap();
        fs::write(made.join("tee-pager_v2.bin"), &program).unwrap();
        let ours = with_key(&made, &key(2)).unwrap();
        assert_eq!(ours, [b"code".as_slice(), &[2; MODULUS], b"data"].concat());
        // A second copy would stay behind: it is an error of the build.
        fs::write(made.join("tee-pager_v2.bin"), program.repeat(2)).unwrap();
        let error = with_key(&made, &key(2)).unwrap_err().to_string();
        assert!(error.contains("exactly one place"), "{error}");
    }

    #[test]
    fn only_a_key_that_fits_the_place_has_a_modulus() {
        let mut key = key(7);
        assert_eq!(modulus(&key).unwrap(), [7; MODULUS]);
        assert!(modulus(&key[1..]).is_err());
        key[549] = 3;
        assert!(modulus(&key).is_err());
    }
}
