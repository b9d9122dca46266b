//! Commands as bytes.

/// `TPM_ST_SESSIONS`, and the session that is a password (`TPM_RS_PW`).
const SESSIONS: u16 = 0x8002;
const PASSWORD: u32 = 0x4000_0009;
/// `TPM_ALG_SHA256`.
const SHA256: u16 = 0x000b;

/// Who allows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// The box's owner: edged, in the running box.
    Owner,
    /// Who may lock the TPM out or clear it.
    Lockout,
    /// The firmware, and PID 1 until it closes this.
    Platform,
}

impl Hierarchy {
    fn handle(self) -> u32 {
        match self {
            Self::Owner => 0x4000_0001,
            Self::Lockout => 0x4000_000a,
            Self::Platform => 0x4000_000c,
        }
    }
}

/// `TPMA_NV`: what an index is and who may use it. Nobody is ever locked out by it (`NO_DA`), and it is the platform's,
/// so that its owner can neither remove nor replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// Counts; whoever knows its password may raise it, everybody may read it.
    Counter,
    /// Written once, with the platform's word, and never again.
    Once,
    /// Written with the platform's word.
    Platform,
}

impl Attributes {
    fn bits(self) -> u32 {
        // PLATFORMCREATE, NO_DA, OWNERREAD, PPREAD.
        let all = 1 << 30 | 1 << 25 | 1 << 17 | 1 << 16;
        match self {
            // AUTHWRITE, TPM_NT_COUNTER.
            Self::Counter => all | 1 << 2 | 1 << 4,
            // PPWRITE, WRITEDEFINE.
            Self::Once => all | 1 | 1 << 13,
            // PPWRITE.
            Self::Platform => all | 1,
        }
    }
}

/// A command that a password allows; the empty one where nothing else is said.
#[derive(Debug, Clone)]
pub struct Command {
    /// For a person, after "the TPM does not".
    pub(crate) what: &'static str,
    code: u32,
    handles: Vec<u32>,
    password: Vec<u8>,
    parameters: Vec<u8>,
}

/// Bytes with their number before them (`TPM2B`).
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

impl Command {
    fn new(what: &'static str, code: u32, handles: &[u32], parameters: Vec<u8>) -> Self {
        Self {
            what,
            code,
            handles: handles.to_vec(),
            password: Vec::new(),
            parameters,
        }
    }

    /// `TPM2_PCR_Extend` of one SHA-256 digest.
    pub fn extend(pcr: u32, digest: &[u8; 32]) -> Self {
        let mut parameters = 1_u32.to_be_bytes().to_vec();
        parameters.extend(SHA256.to_be_bytes());
        parameters.extend(digest);
        Self::new("extend a PCR", 0x182, &[pcr], parameters)
    }

    /// `TPM2_NV_DefineSpace`, by the platform.
    pub fn define(index: u32, attributes: Attributes, size: u16, password: &[u8]) -> Self {
        let public = [
            index.to_be_bytes().as_slice(),
            &SHA256.to_be_bytes(),
            &attributes.bits().to_be_bytes(),
            &sized(&[]),
            &size.to_be_bytes(),
        ]
        .concat();
        let parameters = [sized(password), sized(&public)].concat();
        let handles = [Hierarchy::Platform.handle()];
        Self::new("make an index", 0x12a, &handles, parameters)
    }

    /// `TPM2_NV_UndefineSpace`, by the platform.
    pub fn undefine(index: u32) -> Self {
        let handles = [Hierarchy::Platform.handle(), index];
        Self::new("remove an index", 0x122, &handles, Vec::new())
    }

    /// `TPM2_NV_Read` of the index's first bytes, by whoever speaks for this hierarchy.
    pub fn read(hierarchy: Hierarchy, index: u32, size: u16) -> Self {
        let parameters = [size.to_be_bytes(), 0_u16.to_be_bytes()].concat();
        let handles = [hierarchy.handle(), index];
        Self::new("read an index", 0x14e, &handles, parameters)
    }

    /// `TPM2_NV_Write` of the index's first bytes, by the platform.
    pub fn write(index: u32, value: &[u8]) -> Self {
        let parameters = [sized(value), 0_u16.to_be_bytes().to_vec()].concat();
        let handles = [Hierarchy::Platform.handle(), index];
        Self::new("write an index", 0x137, &handles, parameters)
    }

    /// `TPM2_NV_WriteLock`, by the platform.
    pub fn lock(index: u32) -> Self {
        let handles = [Hierarchy::Platform.handle(), index];
        Self::new("lock an index", 0x138, &handles, Vec::new())
    }

    /// `TPM2_NV_Increment`, by whoever knows the index's password.
    pub fn increment(index: u32, password: &[u8]) -> Self {
        let command = Self::new("raise a counter", 0x134, &[index, index], Vec::new());
        Self {
            password: password.to_vec(),
            ..command
        }
    }

    /// `TPM2_ClearControl`: nobody clears the TPM any more.
    pub fn forbid_clearing() -> Self {
        let handles = [Hierarchy::Platform.handle()];
        Self::new("forbid clearing", 0x127, &handles, vec![1])
    }

    /// `TPM2_HierarchyControl`: until the next start nobody speaks for the platform.
    pub fn close_platform() -> Self {
        let platform = Hierarchy::Platform.handle();
        let parameters = [platform.to_be_bytes().as_slice(), &[0]].concat();
        Self::new(
            "close the platform's hierarchy",
            0x121,
            &[platform],
            parameters,
        )
    }

    /// As the TPM takes it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let session = [
            PASSWORD.to_be_bytes().as_slice(),
            // No nonce, no attributes.
            &[0; 3],
            &sized(&self.password),
        ]
        .concat();
        let handles: Vec<u8> = self
            .handles
            .iter()
            .flat_map(|one| one.to_be_bytes())
            .collect();
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
        let length = 10 + handles.len() + 4 + session.len() + self.parameters.len();
        [
            SESSIONS.to_be_bytes().as_slice(),
            &count(length),
            &self.code.to_be_bytes(),
            &handles,
            &count(session.len()),
            &session,
            &self.parameters,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .concat()
    }

    /// By hand, from part 3 of the specification.
    #[test]
    fn each_command_is_the_specifications() {
        let head = |length: &str, code: &str| format!("8002000000{length}00000{code}");
        let empty = "00000009400000090000000000";
        let extend = Command::extend(11, &[7; 32]);
        assert_eq!(
            hex(&extend.bytes()),
            format!(
                "{}0000000b{empty}00000001000b{}",
                head("41", "182"),
                "07".repeat(32)
            )
        );
        let index = "01410000";
        for (command, expected) in [
            (
                Command::define(0x0141_0000, Attributes::Counter, 8, &[0xaa, 0xbb]),
                format!(
                    "{}4000000c{empty}0002aabb000e{index}000b4203001400000008",
                    head("2f", "12a")
                ),
            ),
            (
                Command::define(0x0141_0001, Attributes::Once, 8, &[]),
                format!(
                    "{}4000000c{empty}0000000e01410001000b4203200100000008",
                    head("2d", "12a")
                ),
            ),
            (
                Command::define(0x0141_0003, Attributes::Platform, 256, &[]),
                format!(
                    "{}4000000c{empty}0000000e01410003000b4203000100000100",
                    head("2d", "12a")
                ),
            ),
            (
                Command::undefine(0x0141_0000),
                format!("{}4000000c{index}{empty}", head("1f", "122")),
            ),
            (
                Command::read(Hierarchy::Owner, 0x0141_0000, 8),
                format!("{}40000001{index}{empty}00080000", head("23", "14e")),
            ),
            (
                Command::write(0x0141_0000, &5_u64.to_be_bytes()),
                format!(
                    "{}4000000c{index}{empty}000800000000000000050000",
                    head("2b", "137")
                ),
            ),
            (
                Command::lock(0x0141_0000),
                format!("{}4000000c{index}{empty}", head("1f", "138")),
            ),
            (
                Command::increment(0x0141_0000, &[0xcc]),
                format!(
                    "{}{index}{index}0000000a4000000900000000 01cc",
                    head("20", "134")
                )
                .replace(' ', ""),
            ),
            (
                Command::forbid_clearing(),
                format!("{}4000000c{empty}01", head("1c", "127")),
            ),
            (
                Command::close_platform(),
                format!("{}4000000c{empty}4000000c00", head("20", "121")),
            ),
        ] {
            assert_eq!(hex(&command.bytes()), expected, "{}", command.what);
        }
    }
}
