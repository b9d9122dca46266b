//! The fast path's answers: the header, the question as it came, and bytes that were prepared at publication.

use std::net::IpAddr;

use crate::query::{Edns, Query};
use crate::table::{Cut, Found, HEADER, TTL, Table};

/// The largest datagram we send and the size we announce: fits one frame everywhere (DNS flag day 2020).
pub(crate) const PAYLOAD_MAX: u16 = 1232;
/// The smallest datagram everybody takes (RFC 1035, 4.2.1).
const PAYLOAD_MIN: u16 = 512;
/// How many times larger than its question an answer from our own zones may be over UDP, so that a forged source
/// gains little; a larger one says "truncated" and is fetched over TCP, where the source is proven.
const AMPLIFICATION_MAX: usize = 3;
/// The octets of an OPT record without options.
const OPT_LEN: usize = 11;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// The largest message to send to a client that takes `payload` octets, for any answer.
    pub(crate) fn limit(self, payload: Option<u16>) -> usize {
        match self {
            Self::Udp => payload
                .map_or(PAYLOAD_MIN, |size| size.clamp(PAYLOAD_MIN, PAYLOAD_MAX))
                .into(),
            Self::Tcp => u16::MAX.into(),
        }
    }

    /// The same for an answer from our own zones to a request of `request` octets.
    pub(crate) fn own_limit(self, payload: Option<u16>, request: usize) -> usize {
        match self {
            Self::Udp => self.limit(payload).min(request * AMPLIFICATION_MAX),
            Self::Tcp => self.limit(payload),
        }
    }
}

/// What becomes of a plain question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is written.
    Answered,
    /// The answer is written: this source may not ask for names of others.
    Refused,
    /// Ask an upstream.
    Forward,
}

const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;

/// Where the octets of a header go that depend on the answer.
struct Outcome {
    code: u8,
    authoritative: bool,
    truncated: bool,
    answers: u16,
    authorities: u16,
}

/// Answers `query` into `out`, which is cleared first.
pub(crate) fn answer(
    table: &Table,
    query: &Query<'_>,
    source: IpAddr,
    transport: Transport,
    out: &mut Vec<u8>,
) -> Verdict {
    let forwards = table.forwards(source);
    out.clear();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(query.question);
    let mut outcome = Outcome {
        code: NO_ERROR,
        authoritative: true,
        truncated: false,
        answers: 0,
        authorities: 0,
    };
    match table.find(query.name(), query.kind) {
        Found::Set(set, _) => {
            out.extend_from_slice(&set.body);
            outcome.answers = set.answers;
            outcome.authorities = set.authorities;
        }
        Found::Any(_) => {
            put_minimal_any(out);
            outcome.answers = 1;
        }
        Found::NoData(cut) => put_negative(cut, query, &mut outcome, out),
        Found::NoName(cut) => {
            outcome.code = NAME_ERROR;
            put_negative(cut, query, &mut outcome, out);
        }
        Found::Outside if forwards => return Verdict::Forward,
        Found::Outside => {
            outcome.code = REFUSED;
            outcome.authoritative = false;
        }
    }
    let opt = query.edns.map_or(0, |_| OPT_LEN);
    let asked = HEADER + query.question.len();
    let limit = transport.own_limit(query.edns.map(|edns| edns.payload), asked + opt);
    if out.len() + opt > limit {
        out.truncate(asked);
        outcome = Outcome {
            truncated: true,
            answers: 0,
            authorities: 0,
            ..outcome
        };
    }
    if let Some(edns) = query.edns {
        put_opt(edns, out);
    }
    put_header(query, &outcome, forwards, out);
    if outcome.code == REFUSED {
        Verdict::Refused
    } else {
        Verdict::Answered
    }
}

fn put_negative(cut: &Cut, query: &Query<'_>, outcome: &mut Outcome, out: &mut Vec<u8>) {
    cut.put_soa(query.name().len(), out);
    outcome.authorities = 1;
}

/// RFC 8482, 4.2: one HINFO record that says why there is no more.
fn put_minimal_any(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 12, 0, 13, 0, 1]);
    out.extend_from_slice(&TTL.to_be_bytes());
    out.extend_from_slice(b"\x00\x09\x07RFC8482\x00");
}

fn put_opt(edns: Edns, out: &mut Vec<u8>) {
    let [size0, size1] = PAYLOAD_MAX.to_be_bytes();
    let flags = if edns.dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, 41, size0, size1, 0, 0, flags, 0, 0, 0]);
}

fn put_header(query: &Query<'_>, outcome: &Outcome, forwards: bool, out: &mut [u8]) {
    let bit = |set: bool, mask: u8| if set { mask } else { 0 };
    let [id0, id1] = query.id;
    let flags0 = 0x80
        | bit(outcome.authoritative, 0x04)
        | bit(outcome.truncated, 0x02)
        | bit(query.recursion_desired, 0x01);
    let flags1 = bit(forwards, 0x80) | bit(query.checking_disabled, 0x10) | outcome.code;
    let [answers0, answers1] = outcome.answers.to_be_bytes();
    let [authorities0, authorities1] = outcome.authorities.to_be_bytes();
    let additionals = u8::from(query.edns.is_some());
    if let Some(header) = out.first_chunk_mut::<HEADER>() {
        *header = [
            id0,
            id1,
            flags0,
            flags1,
            0,
            1,
            answers0,
            answers1,
            authorities0,
            authorities1,
            0,
            additionals,
        ];
    }
}
