//! A package taken apart, spoilt and put together again: ZIP by hand, signatures by openssl.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use board::process;

use crate::desk::{sha256, text};

pub const META: &str = "TOSCA-Metadata/TOSCA.meta";
pub const MANIFEST: &str = "application.mf";
pub const DEFINITIONS: &str = "application.yaml";
pub const IMAGE: &str = "Artifacts/Images/image.tar";

/// A file of a package, as it is in the ZIP.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub data: Vec<u8>,
    /// Size before packing and checksum, where the data is deflated.
    deflated: Option<(u32, u32)>,
}

/// A package.
#[derive(Debug, Clone)]
pub struct Csar(pub Vec<Entry>);

impl Csar {
    /// Takes apart what `edgectl package create` wrote: everything stored.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let word = |at: usize| -> anyhow::Result<usize> {
            let bytes = bytes.get(at..at + 4).context("cut")?;
            Ok(usize::try_from(u32::from_le_bytes(bytes.try_into()?))?)
        };
        let mut entries = Vec::new();
        let mut at = 0;
        while bytes.get(at..at + 4) == Some(b"PK\x03\x04") {
            let (size, name) = (word(at + 18)?, word(at + 26)? & 0xffff);
            let start = at + 30 + name;
            let name = std::str::from_utf8(bytes.get(at + 30..start).context("cut")?)?;
            let data = bytes.get(start..start + size).context("cut")?;
            entries.push(Entry {
                name: name.to_owned(),
                data: data.to_vec(),
                deflated: None,
            });
            at = start + size;
        }
        ensure!(!entries.is_empty(), "no entries");
        Ok(Self(entries))
    }

    pub fn add(&mut self, name: &str, data: &[u8]) {
        self.0.push(Entry {
            name: name.to_owned(),
            data: data.to_vec(),
            deflated: None,
        });
    }

    /// A file of zeros, packed as well as deflate can.
    pub fn add_zeros(&mut self, name: &str, bytes: u32) -> anyhow::Result<()> {
        let script = format!("head -c {bytes} /dev/zero | gzip -9n");
        let output = Command::new("sh").args(["-c", &script]).output()?;
        ensure!(output.status.success(), "gzip: {:?}", output.status);
        let packed = output.stdout;
        // The head and the trailer of gzip (RFC 1952) around the same deflated data.
        let end = packed.len().saturating_sub(8);
        let data = packed.get(10..end).context("gzip wrote nothing")?.to_vec();
        let crc = packed.get(end..end + 4).context("no checksum")?;
        let crc = u32::from_le_bytes(crc.try_into()?);
        self.0.push(Entry {
            name: name.to_owned(),
            data,
            deflated: Some((bytes, crc)),
        });
        Ok(())
    }

    pub fn file(&mut self, name: &str) -> anyhow::Result<&mut Vec<u8>> {
        let entry = self.0.iter_mut().find(|entry| entry.name == name);
        Ok(&mut entry.with_context(|| format!("no {name}"))?.data)
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| entry.name != name);
    }

    /// Replaces text in a file, which has to have it.
    pub fn replace(&mut self, name: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let file = self.file(name)?;
        let old = String::from_utf8(file.clone())?;
        ensure!(old.contains(from), "{name} has no {from:?}");
        *file = old.replacen(from, to, 1).into_bytes();
        Ok(())
    }

    /// The manifest without its signature.
    fn unsigned(&mut self) -> anyhow::Result<String> {
        let manifest = String::from_utf8(self.file(MANIFEST)?.clone())?;
        let (text, _) = manifest
            .split_once("-----BEGIN CMS-----")
            .context("no signature")?;
        Ok(text.to_owned())
    }

    pub fn strip_signature(&mut self) -> anyhow::Result<()> {
        let text = self.unsigned()?;
        *self.file(MANIFEST)? = text.into_bytes();
        Ok(())
    }

    /// Signs the manifest as it is, with `NAME.key` and `NAME.cert` of a folder.
    pub fn sign(&mut self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let manifest = self.unsigned()?;
        let input = folder.join("to-sign");
        fs::write(&input, &manifest)?;
        let at = |extension: &str| text(&folder.join(format!("{name}.{extension}")));
        let signature = process::output(
            Command::new("openssl")
                .args([
                    "cms", "-sign", "-binary", "-outform", "PEM", "-md", "sha256",
                ])
                .args(["-signer", &at("cert"), "-inkey", &at("key")])
                .args(["-in", &text(&input)]),
        )?;
        *self.file(MANIFEST)? = format!("{manifest}{signature}").into_bytes();
        Ok(())
    }

    /// Writes the digests anew, and signs.
    pub fn seal(&mut self, folder: &Path) -> anyhow::Result<()> {
        use std::fmt::Write as _;
        let manifest = self.unsigned()?;
        let (metadata, _) = manifest.split_once("\n\nSource:").context("no files")?;
        let mut text = format!("{metadata}\n");
        for entry in &self.0 {
            if entry.name != MANIFEST {
                let hash = sha256(&entry.data);
                write!(
                    text,
                    "\nSource: {}\nAlgorithm: SHA-256\nHash: {hash}\n",
                    entry.name
                )?;
            }
        }
        *self.file(MANIFEST)? = format!("{text}\n-----BEGIN CMS-----").into_bytes();
        self.sign(folder, "works")
    }

    /// The ZIP.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for entry in &self.0 {
            let packed = u32::try_from(entry.data.len())?;
            let (method, size, crc) = match entry.deflated {
                Some((size, crc)) => (8_u16, size, crc),
                None => (0, packed, crc32fast::hash(&entry.data)),
            };
            let mut head = Vec::new();
            for half in [20_u16, 0, method, 0, 0x21] {
                head.extend(half.to_le_bytes());
            }
            for word in [crc, packed, size] {
                head.extend(word.to_le_bytes());
            }
            head.extend(u16::try_from(entry.name.len())?.to_le_bytes());
            head.extend([0, 0]);
            let offset = u32::try_from(out.len())?;
            out.extend(b"PK\x03\x04");
            out.extend(&head);
            out.extend(entry.name.as_bytes());
            out.extend(&entry.data);
            directory.extend(b"PK\x01\x02\x14\x03");
            directory.extend(&head);
            directory.extend([0; 6]);
            directory.extend((0o100_644_u32 << 16).to_le_bytes());
            directory.extend(offset.to_le_bytes());
            directory.extend(entry.name.as_bytes());
        }
        let count = u16::try_from(self.0.len())?.to_le_bytes();
        let start = u32::try_from(out.len())?;
        let size = u32::try_from(directory.len())?;
        out.extend(directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(count);
        out.extend(count);
        out.extend(size.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0, 0]);
        Ok(out)
    }
}
