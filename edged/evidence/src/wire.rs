//! Structures as a TPM writes them (TPM 2.0 Library, part 2): numbers with the highest byte first, and bytes after their
//! count. Whatever is too short, too long or left over is refused.

/// Why bytes are not the structure that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends before its end.
    #[error("it is cut off")]
    Truncated,
    /// Something follows.
    #[error("{0} bytes follow after its end")]
    Trailing(usize),
    /// A number that stands for something that is not used here.
    #[error("its {what} is {found:#x}, which is not one that a box uses")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it says.
        found: u32,
    },
}

/// Reads from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Truncated)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn half(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn word(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A `TPM2B`: its size in two bytes, then that many.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], WireError> {
        let count = self.half()?;
        self.take(count.into())
    }

    /// A number that must be the one.
    pub(crate) fn expect(&mut self, what: &'static str, wanted: u16) -> Result<(), WireError> {
        match self.half()? {
            found if found == wanted => Ok(()),
            found => Err(WireError::Unknown {
                what,
                found: found.into(),
            }),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// A `TPM2B` of some bytes.
///
/// # Errors
/// No TPM has structures of 64 KiB.
pub fn counted(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let count = u16::try_from(bytes.len()).map_err(|_| WireError::Trailing(bytes.len()))?;
    Ok([count.to_be_bytes().as_slice(), bytes].concat())
}

/// Numbers of algorithms (TCG Algorithm Registry).
pub mod algorithm {
    /// RSA.
    pub const RSA: u16 = 0x0001;
    /// AES.
    pub const AES: u16 = 0x0006;
    /// SHA-256.
    pub const SHA256: u16 = 0x000b;
    /// None.
    pub const NULL: u16 = 0x0010;
    /// RSA signatures, PKCS #1 v1.5.
    pub const RSASSA: u16 = 0x0014;
    /// RSA signatures, PSS.
    pub const RSAPSS: u16 = 0x0016;
    /// ECDSA.
    pub const ECDSA: u16 = 0x0018;
    /// Keys on curves.
    pub const ECC: u16 = 0x0023;
    /// Cipher feedback.
    pub const CFB: u16 = 0x0043;
    /// The curve P-256.
    pub const P256: u16 = 0x0003;
}
