//! Signatures of PE files as UEFI checks them (Microsoft's Authenticode, PKCS #7 1.5), made so that signing twice gives
//! the same bytes.
//!
//! sbsign puts the time into every signature, and two builds of one image would differ. Nothing in UEFI reads that
//! time: here the signed attributes are the two that PKCS #7 asks for, and RSASSA-PKCS1-v1_5 has no chance in it.

use anyhow::{Context, bail};
use sha2::{Digest as _, Sha256};

use crate::der::{element, elements, sequence, set};
use crate::pe::Pe;

/// Object identifiers, as DER elements.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const INDIRECT_DATA: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x04";
const PE_IMAGE_DATA: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0f";
const SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const NULL: &[u8] = b"\x05\x00";
/// INTEGER 1: the version of `SignedData` and `SignerInfo`.
const ONE: &[u8] = b"\x02\x01\x01";
/// Certificate tables begin and end at multiples of this.
const ALIGNMENT: usize = 8;
/// The head of an entry: length, revision 2.0, type PKCS #7.
const ENTRY: usize = 8;
const REVISION_AND_TYPE: [u8; 4] = [0x00, 0x02, 0x02, 0x00];

/// Who signs: a certificate, and its key wherever that is.
pub struct Signatory<'a> {
    /// The certificate in DER.
    pub certificate: &'a [u8],
    /// Gives RSASSA-PKCS1-v1_5 with SHA-256 over a message.
    pub sign: &'a dyn Fn(&[u8]) -> anyhow::Result<Vec<u8>>,
}

/// The Authenticode hash of a PE file: all but its checksum, its signatures and where they are.
///
/// # Errors
/// It is no PE file.
pub fn digest(file: &[u8]) -> anyhow::Result<[u8; 32]> {
    let pe = Pe::parse(file)?;
    let mut hash = Sha256::new();
    let mut add = |range: std::ops::Range<usize>| {
        let bytes = file
            .get(range)
            .context("the parts of this PE file overlap or lie beyond its end")?;
        hash.update(bytes);
        anyhow::Ok(())
    };
    add(0..pe.checksum)?;
    add(pe.checksum + 4..pe.directory)?;
    add(pe.directory + 8..pe.headers)?;
    let mut sections: Vec<_> = pe
        .sections
        .iter()
        .map(|section| section.raw.clone())
        .collect();
    sections.sort_by_key(|raw| raw.start);
    let mut hashed = pe.headers;
    for raw in sections {
        hashed += raw.len();
        add(raw)?;
    }
    let end = file.len() - pe.certificates.len();
    if hashed < end {
        add(hashed..end)?;
    }
    Ok(hash.finalize().into())
}

/// The file with one signature; others that it had are taken away.
///
/// # Errors
/// It is no PE file, the certificate is none, or the key cannot be used.
pub fn sign(file: &[u8], signatory: &Signatory) -> anyhow::Result<Vec<u8>> {
    let mut out = unsigned(file)?;
    let signature = signed_data(&digest(&out)?, signatory)?;
    // The entry's own length goes without its padding: U-Boot 2025.01 takes what follows the signature for a part of it,
    // and then stumbles over its own error (a pointer that is none).
    let length = ENTRY + signature.len();
    let start = u32::try_from(out.len())?;
    let size = u32::try_from(length.next_multiple_of(ALIGNMENT))?;
    let directory = Pe::parse(&out)?.directory;
    out.extend(u32::try_from(length)?.to_le_bytes());
    out.extend(REVISION_AND_TYPE);
    out.extend(signature);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    put(&mut out, directory, start)?;
    put(&mut out, directory + 4, size)?;
    Ok(out)
}

/// The file without signatures, padded to where one may begin.
fn unsigned(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let pe = Pe::parse(file)?;
    let end = if pe.certificates.is_empty() {
        file.len()
    } else if pe.certificates.end == file.len() {
        pe.certificates.start
    } else {
        bail!("the signatures of this PE file are not at its end")
    };
    let mut out = file.get(..end).unwrap_or_default().to_vec();
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    // The checksum is not hashed and U-Boot does not look at it; zero says that there is none.
    put(&mut out, pe.checksum, 0)?;
    put(&mut out, pe.directory, 0)?;
    put(&mut out, pe.directory + 4, 0)?;
    Ok(out)
}

fn put(file: &mut [u8], at: usize, value: u32) -> anyhow::Result<()> {
    file.get_mut(at..at + 4)
        .context("this PE file ends in its header")?
        .copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// The PKCS #7 `SignedData` over an image's hash.
fn signed_data(image: &[u8; 32], signatory: &Signatory) -> anyhow::Result<Vec<u8>> {
    let sha256 = sequence(&[SHA256, NULL]);
    // SpcPeImageData: no flags, and a link to a file whose name Authenticode gives as "<<<Obsolete>>>".
    let obsolete: Vec<u8> = "<<<Obsolete>>>"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let link = element(0xa0, &element(0xa2, &element(0x80, &obsolete)));
    let about = sequence(&[PE_IMAGE_DATA, &sequence(&[b"\x03\x01\x00", &link])]);
    let content = [about, sequence(&[&sha256, &element(0x04, image)])].concat();
    let attributes = [
        sequence(&[CONTENT_TYPE, &set(&[INDIRECT_DATA])]),
        sequence(&[
            MESSAGE_DIGEST,
            &set(&[&element(0x04, &Sha256::digest(&content))]),
        ]),
    ]
    .concat();
    // Signed as the SET that they are, carried under the tag [0].
    let signature = (signatory.sign)(&element(0x31, &attributes))?;
    let (issuer, serial) = issuer_and_serial(signatory.certificate)?;
    let signer = sequence(&[
        ONE,
        &sequence(&[issuer, serial]),
        &sha256,
        &element(0xa0, &attributes),
        &sequence(&[RSA, NULL]),
        &element(0x04, &signature),
    ]);
    let data = sequence(&[
        ONE,
        &set(&[&sha256]),
        &sequence(&[INDIRECT_DATA, &element(0xa0, &element(0x30, &content))]),
        &element(0xa0, signatory.certificate),
        &set(&[&signer]),
    ]);
    Ok(sequence(&[SIGNED_DATA, &element(0xa0, &data)]))
}

/// Issuer and serial number of an X.509 certificate, as elements.
fn issuer_and_serial(certificate: &[u8]) -> anyhow::Result<(&[u8], &[u8])> {
    let parts = || {
        let whole = elements(certificate).ok()?;
        let body = elements(whole.first()?.content).ok()?;
        let fields = elements(body.first()?.content).ok()?;
        // Version is there only from X.509 v3 on, under the tag [0]; serial, algorithm and issuer follow.
        let skipped = usize::from(fields.first()?.tag == 0xa0);
        Some((fields.get(skipped + 2)?.whole, fields.get(skipped)?.whole))
    };
    parts().context("the certificate of the signing key is not X.509 in DER")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pe::tests::small;

    /// Structure only: version 3, serial 5, an algorithm, an issuer.
    fn certificate() -> Vec<u8> {
        let body = sequence(&[
            &element(0xa0, b"\x02\x01\x02"),
            b"\x02\x01\x05",
            &sequence(&[RSA]),
            &sequence(&[&set(&[])]),
        ]);
        sequence(&[&body])
    }

    fn signed(file: &[u8]) -> Vec<u8> {
        let certificate = certificate();
        let sign = |message: &[u8]| Ok(Sha256::digest(message).to_vec());
        let signatory = Signatory {
            certificate: &certificate,
            sign: &sign,
        };
        super::sign(file, &signatory).unwrap()
    }

    #[test]
    fn a_signature_does_not_change_the_hash() {
        let file = small();
        let signed = signed(&file);
        assert_ne!(file, signed);
        assert_eq!(digest(&file).unwrap(), digest(&signed).unwrap());
    }

    #[test]
    fn every_byte_but_the_checksum_and_the_directory_entry_counts() {
        let file = small();
        let pe = Pe::parse(&file).unwrap();
        let (checksum, directory) = (pe.checksum, pe.directory);
        let before = digest(&file).unwrap();
        let free = |at: usize| {
            (checksum..checksum + 4).contains(&at) || (directory..directory + 8).contains(&at)
        };
        for at in (0x200..file.len()).chain(checksum..checksum + 4) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(digest(&changed).unwrap() == before, free(at), "{at:#x}");
        }
    }

    #[test]
    fn signing_twice_gives_the_same_file_with_one_signature() {
        let once = signed(&small());
        assert_eq!(signed(&once), once);
        let pe = Pe::parse(&once).unwrap();
        assert_eq!(pe.certificates.end, once.len());
        assert_eq!(once.len() % ALIGNMENT, 0);
    }

    #[test]
    fn the_issuer_and_the_serial_number_come_out_of_the_certificate() {
        let certificate = certificate();
        let (issuer, serial) = issuer_and_serial(&certificate).unwrap();
        assert_eq!(serial, b"\x02\x01\x05");
        assert_eq!(issuer, sequence(&[&set(&[])]));
        assert!(issuer_and_serial(b"no").is_err());
    }
}
