//! `unpack BLOB DIR`: unpacks one layer and says how long it took; `gunzip -c BLOB >/dev/null` is what to compare with.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use edged_layer::{Bounds, Compression, Expected, UnpackError, unpack};
use edged_model::Digest;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(blob), Some(folder)) = (arguments.next(), arguments.next()) else {
        bail!("usage: unpack BLOB DIR; DIR must be an empty folder");
    };
    let root = File::open(&folder).with_context(|| format!("open {folder}"))?;
    let expected = expected(&blob)?;
    let started = Instant::now();
    let file = File::open(&blob).with_context(|| format!("open {blob}"))?;
    match unpack(file, root.as_fd(), &expected, &Bounds::default()) {
        // Nobody told us what the archive hashes to: everything else has been checked.
        Err(UnpackError::WrongDiffId { actual, .. }) => println!("diff id {actual}"),
        other => println!("{:?}", other?),
    }
    println!("{:.3} s, {}", started.elapsed().as_secs_f64(), peak()?);
    Ok(())
}

/// Hashes the blob once beforehand, which also puts it into the page cache.
fn expected(blob: &str) -> Result<Expected> {
    let mut file = File::open(blob).with_context(|| format!("open {blob}"))?;
    let size = file.metadata()?.len();
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut buffer, mut magic) = (vec![0; 1 << 16], Vec::new());
    loop {
        let count = file.read(&mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        if magic.is_empty() {
            magic.extend(piece.iter().take(2));
        }
        hash.update(piece);
    }
    let compression = match magic.as_slice() {
        [0x1f, 0x8b] => Compression::Gzip,
        [0x28, 0xb5] => Compression::Zstd,
        _ => Compression::None,
    };
    let digest = Digest::from_sha256(hash.finish().as_ref().try_into()?);
    let diff_id = Digest::from_sha256([0; 32]);
    Ok(Expected {
        digest,
        size,
        diff_id,
        compression,
    })
}

/// The most memory this process has held.
fn peak() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap_or_default();
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}
