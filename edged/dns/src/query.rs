//! The fast path's reading of a datagram: the plain questions that make up nearly all traffic, and nothing else.
//!
//! Reads each octet at most once and allocates nothing. Whatever is not plain is left to the DNS library.

use crate::domain::{LABEL_MAX, WIRE_MAX};
use crate::table::{HEADER, QUESTION_TAIL};

const IN: u16 = 1;
const OPT: u16 = 41;
const ANY: u16 = 255;
/// An OPT record without options: root name, type, class, four octets of flags, length.
const PLAIN_OPT: usize = 11;

/// What a datagram is.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack for one look-up; a box would be an allocation a query"
)]
pub(crate) enum Parsed<'p> {
    /// One question of a data type in class IN, with at most an OPT record that has no options.
    Plain(Query<'p>),
    /// For the DNS library to judge.
    Unusual,
    /// No answer is due: too short for a header, or itself an answer (answering it could go on for ever).
    Ignored,
}

/// A plain question.
#[derive(Debug)]
pub(crate) struct Query<'p> {
    pub(crate) id: [u8; 2],
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    /// The question as it was sent, to be sent back in the same case.
    pub(crate) question: &'p [u8],
    name: [u8; WIRE_MAX],
    name_len: usize,
    pub(crate) kind: u16,
    pub(crate) edns: Option<Edns>,
}

/// What an OPT record says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
}

impl Query<'_> {
    /// The name in lower case: the key of the table.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or_default()
    }
}

/// Whether `kind` asks for the server to do something rather than for data (RFC 6895, 3.1), ANY aside.
pub(crate) fn is_meta(kind: u16) -> bool {
    kind == 0 || kind == OPT || (128..ANY).contains(&kind)
}

/// Reads a datagram.
pub(crate) fn parse(packet: &[u8]) -> Parsed<'_> {
    let Some((&[id0, id1, flags0, flags1, ref counts @ ..], rest)) =
        packet.split_first_chunk::<HEADER>()
    else {
        return Parsed::Ignored;
    };
    if flags0 & 0x80 != 0 {
        return Parsed::Ignored;
    }
    // Opcode QUERY, not truncated; one question, no records but perhaps one additional.
    let has_opt = match counts {
        [0, 1, 0, 0, 0, 0, 0, additionals @ (0 | 1)] => *additionals == 1,
        _ => return Parsed::Unusual,
    };
    if flags0 & 0x7A != 0 {
        return Parsed::Unusual;
    }
    let mut name = [0; WIRE_MAX];
    let Some(name_len) = lower_name(rest, &mut name) else {
        return Parsed::Unusual;
    };
    let Some((question, after)) = rest.split_at_checked(name_len + QUESTION_TAIL) else {
        return Parsed::Unusual;
    };
    let Some(&[kind0, kind1, class0, class1]) = question.last_chunk::<QUESTION_TAIL>() else {
        return Parsed::Unusual;
    };
    let kind = u16::from_be_bytes([kind0, kind1]);
    if u16::from_be_bytes([class0, class1]) != IN || is_meta(kind) {
        return Parsed::Unusual;
    }
    let edns = match (has_opt, plain_opt(after)) {
        (false, _) if after.is_empty() => None,
        (true, Some(edns)) => Some(edns),
        _ => return Parsed::Unusual,
    };
    Parsed::Plain(Query {
        id: [id0, id1],
        recursion_desired: flags0 & 0x01 != 0,
        checking_disabled: flags1 & 0x10 != 0,
        question,
        name,
        name_len,
        kind,
        edns,
    })
}

/// Copies an uncompressed name in lower case; `None` if it is compressed, cut off or too long.
fn lower_name(bytes: &[u8], out: &mut [u8; WIRE_MAX]) -> Option<usize> {
    let mut length = 0;
    loop {
        let label = usize::from(*bytes.get(length)?);
        if label > LABEL_MAX {
            return None;
        }
        let end = length + 1 + label;
        let to = out.get_mut(length..end)?;
        to.copy_from_slice(bytes.get(length..end)?);
        // The length octet is below 'A', so it may be folded along.
        to.make_ascii_lowercase();
        if label == 0 {
            return Some(end);
        }
        length = end;
    }
}

/// An OPT record without options, of version 0, and nothing after it.
fn plain_opt(bytes: &[u8]) -> Option<Edns> {
    let bytes: &[u8; PLAIN_OPT] = bytes.try_into().ok()?;
    match *bytes {
        [0, 0, 41, size0, size1, 0, 0, flags, _, 0, 0] => Some(Edns {
            payload: u16::from_be_bytes([size0, size1]),
            dnssec_ok: flags & 0x80 != 0,
        }),
        _ => None,
    }
}
