//! `edgectl package create|keygen`: packages are made and signed on the developer's machine; no box is asked.

#![allow(clippy::doc_markdown)] // These texts are the help that people read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use edged_package::{Image, PackageBuilder, PackageError, SigningIdentity};

use crate::error::CtlError;

/// Who reads a key can sign in its owner's name.
const KEY_MODE: u32 = 0o600;

/// `edgectl package …` as far as this machine does it.
#[derive(Debug, Parser)]
#[command(
    name = "edgectl package",
    no_binary_name = true,
    disable_help_subcommand = true
)]
struct PackageArgs {
    #[command(subcommand)]
    verb: PackageVerb,
}

/// What is done here, without a box.
#[derive(Debug, Subcommand)]
pub(crate) enum PackageVerb {
    /// Make a signed package (CSAR) of an image and a description.
    Create {
        /// An image archive (docker save, OCI layout as tar), or a reference with its digest (NAME@sha256:…).
        #[arg(long, value_name = "ARCHIVE|REF")]
        image: String,
        /// The description of the application, in TOML.
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// The private key to sign with, in PEM (PKCS #8, P-256).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The certificate that belongs to it, in PEM.
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// The package to write.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a key and a certificate to sign packages with; have the certificate trusted with `package trust add`.
    Keygen {
        /// Whose key it is, as it is shown on the box.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The private key to write; never overwritten.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The certificate to write; never overwritten.
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
    },
}

impl PackageVerb {
    /// What is asked, if it is for this machine.
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        match words {
            [first, second, ..]
                if first == "package" && (second == "create" || second == "keygen") =>
            {
                let rest = words.get(1..).unwrap_or_default();
                // A usage error or help ends the process as that of any other option does.
                let args = PackageArgs::try_parse_from(rest).unwrap_or_else(|error| error.exit());
                Some(args.verb)
            }
            _ => None,
        }
    }

    /// Does it.
    pub(crate) fn perform(self) -> Result<(), CtlError> {
        match self {
            Self::Create {
                image,
                manifest,
                key,
                cert,
                output,
            } => create(&image, &manifest, (&key, &cert), &output),
            Self::Keygen { name, key, cert } => keygen(&name, &key, &cert),
        }
    }
}

fn create(
    image: &str,
    manifest: &Path,
    (key, cert): (&Path, &Path),
    output: &Path,
) -> Result<(), CtlError> {
    let identity = SigningIdentity::from_pem(&read(key)?, &read(cert)?)
        .map_err(|error| CtlError::Package(PackageError::from(error)))?;
    let builder = PackageBuilder::from_toml(&manifest.to_string_lossy(), &read(manifest)?)
        .map_err(CtlError::Package)?;
    let image = match File::open(image) {
        Ok(archive) => Image::Archive(archive),
        Err(source) => match image.parse() {
            // A reference without a digest is refused by the builder, with what to write instead.
            Ok(reference) if image.contains([':', '@']) => Image::Reference(reference),
            _ => {
                let path = PathBuf::from(image);
                return Err(CtlError::Input { path, source });
            }
        },
    };
    let written = |source| CtlError::Written {
        path: output.to_owned(),
        source,
    };
    // Beside its place first: whoever finds the package finds all of it.
    let mut part = output.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let build = || -> Result<_, CtlError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)
            .map_err(written)?;
        let mut out = BufWriter::new(file);
        let built = builder
            .build(image, &identity, &mut out)
            .map_err(CtlError::Package)?;
        out.flush().map_err(written)?;
        fs::rename(&part, output).map_err(written)?;
        Ok(built)
    };
    let package = build().inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })?;
    println!("{}", package.descriptor.app_d_id);
    Ok(())
}

fn keygen(name: &str, key: &Path, cert: &Path) -> Result<(), CtlError> {
    let identity = SigningIdentity::generate(name, SystemTime::now())
        .map_err(|error| CtlError::Package(PackageError::from(error)))?;
    write_new(key, identity.key_pem(), KEY_MODE)?;
    write_new(cert, identity.certificate_pem(), 0o644)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CtlError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| CtlError::Written {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, CtlError> {
    fs::read_to_string(path).map_err(|source| CtlError::Input {
        path: path.to_owned(),
        source,
    })
}
