//! ZIP files with every field to choose.

use std::io::Write;

use flate2::Crc;
use flate2::write::DeflateEncoder;

/// An entry, as it is going to be lied about.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub local_name: String,
    pub packed: Vec<u8>,
    pub size: u32,
    pub crc: u32,
    pub method: u16,
    pub flags: u16,
    pub attributes: u32,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

pub fn stored(name: &str, data: &[u8]) -> Entry {
    let mut crc = Crc::new();
    crc.update(data);
    Entry {
        name: name.to_owned(),
        local_name: name.to_owned(),
        packed: data.to_vec(),
        size: data.len() as u32,
        crc: crc.sum(),
        method: 0,
        flags: 0,
        attributes: 0o100_644 << 16,
        before: Vec::new(),
        after: Vec::new(),
    }
}

pub fn deflated(name: &str, data: &[u8]) -> Entry {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    Entry {
        packed: encoder.finish().unwrap(),
        method: 8,
        ..stored(name, data)
    }
}

/// An entry whose sizes follow its data, as writers to a pipe make it.
pub fn streamed(name: &str, data: &[u8]) -> Entry {
    let mut entry = Entry {
        flags: 1 << 3,
        ..deflated(name, data)
    };
    entry.after = b"PK\x07\x08".to_vec();
    for word in [entry.crc, entry.packed.len() as u32, entry.size] {
        entry.after.extend(word.to_le_bytes());
    }
    entry
}

fn shared(entry: &Entry, name: &str, local: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for half in [20, entry.flags, entry.method, 0, 0x21] {
        out.extend(half.to_le_bytes());
    }
    let blank = local && entry.flags & 8 != 0;
    for word in [entry.crc, entry.packed.len() as u32, entry.size] {
        out.extend(if blank { 0 } else { word }.to_le_bytes());
    }
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out
}

pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        out.extend(&entry.before);
        let local = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(shared(entry, &entry.local_name, true));
        out.extend(entry.local_name.as_bytes());
        out.extend(&entry.packed);
        out.extend(&entry.after);
        directory.extend(b"PK\x01\x02");
        directory.extend(0x0314_u16.to_le_bytes());
        directory.extend(shared(entry, &entry.name, false));
        directory.extend([0; 6]);
        directory.extend(entry.attributes.to_le_bytes());
        directory.extend(local.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        out.extend((entries.len() as u16).to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}
