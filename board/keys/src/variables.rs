//! `ubootefi.var`: EFI variables as U-Boot keeps them in a file, and inside itself.
//!
//! A header of 24 bytes (0, magic, whole length, CRC-32 of what follows), then entries, each padded to 8 bytes: length
//! of the data, attributes, time, GUID, the name in UTF-16 with its NUL, the data. All numbers are little-endian
//! (`include/efi_variable.h` of U-Boot 2025.01).

use anyhow::{Context, bail};
use uuid::Uuid;

/// `UbEfiVa`, version 1.
const MAGIC: u64 = 0x0161_5669_6645_6255;
/// Bytes of the header, and of an entry before its name.
const HEADER: usize = 24;
const ENTRY: usize = 32;
/// Entries begin at multiples of this.
const ALIGNMENT: usize = 8;

/// `EFI_GLOBAL_VARIABLE` (UEFI 2.10, 3.3).
const GLOBAL: Uuid = Uuid::from_u128(0x8be4_df61_93ca_11d2_aa0d_00e0_9803_2b8c);
/// `EFI_IMAGE_SECURITY_DATABASE_GUID` (UEFI 2.10, 32.6.1).
const SECURITY_DATABASE: Uuid = Uuid::from_u128(0xd719_b2cb_3d3a_4596_a3bc_dad0_0e67_656f);
/// Non-volatile, seen at boot and at run time.
const KEPT: u32 = 0x7;
/// Changed only by who signs the change (`EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS`).
const AUTHENTICATED: u32 = 0x20;

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, such as `db`.
    pub name: String,
    /// Its vendor.
    pub vendor: Uuid,
    /// `EFI_VARIABLE_…` bits.
    pub attributes: u32,
    /// When it was set, in seconds since 1970.
    pub time: u64,
    /// What it holds.
    pub data: Vec<u8>,
}

impl Variable {
    /// One of UEFI's own, such as `BootOrder` or `SecureBoot`.
    pub fn global(name: &str, data: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            vendor: GLOBAL,
            attributes: KEPT,
            time: 0,
            data,
        }
    }

    /// PK, KEK, db or dbx: keys and lists of signatures.
    pub fn key(name: &str, data: Vec<u8>) -> Self {
        let vendor = if name.starts_with("db") {
            SECURITY_DATABASE
        } else {
            GLOBAL
        };
        Self {
            vendor,
            ..Self::global(name, data)
        }
    }

    /// The same as U-Boot is built with it.
    pub(crate) fn authenticated(name: &str, data: Vec<u8>) -> Self {
        Self {
            attributes: KEPT | AUTHENTICATED,
            time: board_forge::EPOCH,
            ..Self::key(name, data)
        }
    }

    /// The variable at the beginning of some entries, and where the next one is.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (length, attributes) = (bytes.get(..4)?, bytes.get(4..8)?);
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (time, vendor) = (bytes.get(8..16)?, bytes.get(16..ENTRY)?);
        let name: Vec<u16> = bytes
            .get(ENTRY..)?
            .chunks_exact(2)
            .map_while(|pair| pair.try_into().ok().map(u16::from_le_bytes))
            .take_while(|character| *character != 0)
            .collect();
        let data = ENTRY + 2 * (name.len() + 1);
        let end = data.checked_add(length)?;
        let variable = Self {
            name: String::from_utf16(&name).ok()?,
            vendor: Uuid::from_bytes_le(vendor.try_into().ok()?),
            attributes: u32::from_le_bytes(attributes.try_into().ok()?),
            time: u64::from_le_bytes(time.try_into().ok()?),
            data: bytes.get(data..end)?.to_vec(),
        };
        Some((variable, end.next_multiple_of(ALIGNMENT)))
    }
}

/// Variables as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(pub Vec<Variable>);

impl Variables {
    /// The file's bytes.
    ///
    /// # Errors
    /// They are more than 32 bits can count.
    pub fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let mut entries = Vec::new();
        for variable in &self.0 {
            let length = u32::try_from(variable.data.len())
                .with_context(|| format!("the EFI variable {} is too long", variable.name))?;
            entries.extend(length.to_le_bytes());
            entries.extend(variable.attributes.to_le_bytes());
            entries.extend(variable.time.to_le_bytes());
            entries.extend(variable.vendor.to_bytes_le());
            let name = variable.name.encode_utf16().chain([0]);
            entries.extend(name.flat_map(u16::to_le_bytes));
            entries.extend(&variable.data);
            entries.resize(entries.len().next_multiple_of(ALIGNMENT), 0);
        }
        let length =
            u32::try_from(HEADER + entries.len()).context("the EFI variables are too long")?;
        let mut file = Vec::with_capacity(HEADER + entries.len());
        file.extend(0u64.to_le_bytes());
        file.extend(MAGIC.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(crc32fast::hash(&entries).to_le_bytes());
        file.extend(entries);
        Ok(file)
    }

    /// What is in such a file.
    ///
    /// # Errors
    /// It is no such file.
    pub fn decode(file: &[u8]) -> anyhow::Result<Self> {
        let mut rest = file
            .get(HEADER..)
            .filter(|_| file.get(8..16) == Some(MAGIC.to_le_bytes().as_slice()))
            .context("this is not a file of EFI variables of U-Boot's")?;
        if file.get(20..HEADER) != Some(crc32fast::hash(rest).to_le_bytes().as_slice()) {
            bail!("the checksum of this file of EFI variables is wrong");
        }
        let mut all = Vec::new();
        while !rest.is_empty() {
            let (variable, next) =
                Variable::decode(rest).context("this file of EFI variables is cut off")?;
            all.push(variable);
            rest = rest.get(next..).unwrap_or_default();
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Variables {
        Variables(vec![
            Variable::authenticated("db", vec![0xaa; 3]),
            Variable::global("BootOrder", vec![1, 0, 2, 0]),
        ])
    }

    #[test]
    fn a_file_of_variables_is_what_u_boot_reads() {
        let file = some().encode().unwrap();
        // Header: 24; db: 32 + 6 + 3 = 41, padded to 48; BootOrder: 32 + 20 + 4 = 56.
        assert_eq!(file.len(), 24 + 48 + 56);
        assert_eq!(&file[..8], [0; 8]);
        assert_eq!(&file[8..16], b"UbEfiVa\x01");
        assert_eq!(file[16..20], 128u32.to_le_bytes());
        assert_eq!(file[20..24], crc32fast::hash(&file[24..]).to_le_bytes());
        assert_eq!(file[24..28], 3u32.to_le_bytes());
        assert_eq!(file[28..32], 0x27u32.to_le_bytes());
        // The first three fields of a GUID are little-endian.
        assert_eq!(
            file[40..48],
            [0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45]
        );
        assert_eq!(&file[56..65], b"d\0b\0\0\0\xaa\xaa\xaa");
        assert_eq!(file[72..76], 4u32.to_le_bytes());
        assert_eq!(file[76..80], 7u32.to_le_bytes());
        assert_eq!(&file[104..108], b"B\0o\0");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = some().encode().unwrap();
        assert_eq!(Variables::decode(&file).unwrap(), some());
    }

    #[test]
    fn a_changed_file_of_variables_is_refused() {
        let mut file = some().encode().unwrap();
        let last = file.len() - 1;
        file[last] ^= 1;
        assert!(Variables::decode(&file).is_err());
        assert!(Variables::decode(b"short").is_err());
    }

    #[test]
    fn the_databases_belong_to_another_vendor_than_pk_and_kek() {
        let vendors = ["PK", "KEK", "db", "dbx"].map(|name| Variable::key(name, Vec::new()).vendor);
        assert_eq!(
            vendors,
            [GLOBAL, GLOBAL, SECURITY_DATABASE, SECURITY_DATABASE]
        );
    }
}
