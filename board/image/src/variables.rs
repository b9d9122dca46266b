//! EFI variables: as U-Boot keeps them in a file, and as it measures them.

use anyhow::{Context, bail};

use crate::guid::Guid;
use crate::pcr::Event;

/// The variables with the keys, in the order in which U-Boot measures them.
pub const KEYS: [&str; 4] = ["PK", "KEK", "db", "dbx"];
/// U-Boot's format: `UbEfiVa`, version 1.
const MAGIC: u64 = 0x0161_5669_6645_6255;
/// Vendors of UEFI's own variables and of its databases of keys.
const GLOBAL: Guid = Guid::new("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const SECURITY: Guid = Guid::new("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
/// Kept, seen by the boot manager, seen by Linux (UEFI, `GetVariable`).
const KEPT: u32 = 0x7;
/// The head of a file and of an entry.
const FILE_HEAD: usize = 24;
const ENTRY_HEAD: usize = 32;

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Who defines its name.
    pub vendor: Guid,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Variable {
    /// One of UEFI's own.
    pub fn global(name: &str, data: Vec<u8>) -> Self {
        Self {
            vendor: GLOBAL,
            name: name.to_owned(),
            data,
        }
    }

    /// PK, KEK, db or dbx.
    pub fn key(name: &str, data: Vec<u8>) -> Self {
        let vendor = if name.starts_with("db") {
            SECURITY
        } else {
            GLOBAL
        };
        Self {
            vendor,
            name: name.to_owned(),
            data,
        }
    }

    /// Its measurement (`UEFI_VARIABLE_DATA`).
    pub fn event(&self, pcr: u8) -> Event {
        let name = wide(&self.name);
        let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes();
        let parts: [&[u8]; 5] = [
            &self.vendor.bytes(),
            &length(name.len() / 2),
            &length(self.data.len()),
            &name,
            &self.data,
        ];
        Event::of(pcr, &self.name, &parts.concat())
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A file with these variables.
///
/// # Errors
/// They are too much for the format.
pub fn file(variables: &[Variable]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    for variable in variables {
        body.extend(u32::try_from(variable.data.len())?.to_le_bytes());
        body.extend(KEPT.to_le_bytes());
        // The time of an authenticated change; these have none.
        body.extend(0u64.to_le_bytes());
        body.extend(variable.vendor.bytes());
        body.extend(wide(&variable.name));
        body.extend([0, 0]);
        body.extend_from_slice(&variable.data);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let mut out = 0u64.to_le_bytes().to_vec();
    out.extend(MAGIC.to_le_bytes());
    out.extend(u32::try_from(FILE_HEAD + body.len())?.to_le_bytes());
    out.extend(crc32fast::hash(&body).to_le_bytes());
    out.extend(body);
    Ok(out)
}

/// The variables in such a file: the seed that U-Boot is built with, for what is foretold.
///
/// # Errors
/// It is no such file.
pub fn read(file: &[u8]) -> anyhow::Result<Vec<Variable>> {
    let body = file
        .get(FILE_HEAD..)
        .filter(|_| file.get(8..16) == Some(MAGIC.to_le_bytes().as_slice()))
        .context("this is not a file of EFI variables of U-Boot's")?;
    if file.get(20..24) != Some(crc32fast::hash(body).to_le_bytes().as_slice()) {
        bail!("the checksum of this file of EFI variables is wrong");
    }
    let mut all = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (variable, length) = entry(rest).context("this file of EFI variables is cut off")?;
        all.push(variable);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(all)
}

fn entry(bytes: &[u8]) -> Option<(Variable, usize)> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let vendor = Guid::from_bytes(bytes.get(16..ENTRY_HEAD)?.try_into().ok()?);
    let characters: Vec<u16> = bytes
        .get(ENTRY_HEAD..)?
        .chunks_exact(2)
        .map_while(|pair| pair.try_into().ok().map(u16::from_le_bytes))
        .take_while(|character| *character != 0)
        .collect();
    let data = ENTRY_HEAD + 2 * (characters.len() + 1);
    let end = data.checked_add(length)?;
    let variable = Variable {
        vendor,
        name: String::from_utf16(&characters).ok()?,
        data: bytes.get(data..end)?.to_vec(),
    };
    Some((variable, end.next_multiple_of(8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> [Variable; 2] {
        let order = Variable::global("BootOrder", vec![1, 0, 2, 0]);
        [order, Variable::key("db", vec![7; 9])]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = file(&some()).unwrap();
        assert_eq!(file.len() % 8, 0);
        assert_eq!(read(&file).unwrap(), some());
    }

    #[test]
    fn a_changed_file_of_variables_is_refused() {
        let mut file = file(&some()).unwrap();
        let last = file.len() - 1;
        file[last] ^= 1;
        assert!(read(&file).is_err());
        assert!(read(b"short").is_err());
    }

    #[test]
    fn the_databases_belong_to_another_vendor_than_pk_and_kek() {
        let vendors = KEYS.map(|name| Variable::key(name, Vec::new()).vendor);
        assert_eq!(vendors, [GLOBAL, GLOBAL, SECURITY, SECURITY]);
    }
}
