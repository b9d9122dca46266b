//! The prepared answers: one immutable table, built anew at each publication and only read afterwards.
//!
//! Both paths look up here. The fast path copies [`Set::body`], the slow path hands [`Set::records`] to the DNS
//! library.

mod draft;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use self::draft::Draft;
use crate::domain::{DomainError, Zone};
use crate::records::Records;

/// How long a client may keep a name, in seconds: an application that moved or left is forgotten this soon.
pub(crate) const TTL: u32 = 5;
/// The octets before the question.
pub(crate) const HEADER: usize = 12;
/// The type and class that follow the name in a question.
pub(crate) const QUESTION_TAIL: usize = 4;
/// A name starts with this pattern when it is a pointer into the message (RFC 1035, 4.1.4).
const POINTER: u16 = 0xC000;

/// Why a view cannot be published. The view before it stays.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A name grew over what DNS can carry.
    #[error(transparent)]
    Name(#[from] DomainError),
    /// More records under one name and type than one message holds.
    #[error("records of {name} do not fit into one message ({source}), publish fewer")]
    Size {
        /// The name with too many records.
        name: String,
        /// What the encoder says.
        source: ProtoError,
    },
}

/// The records of one name and type, and the same as the bytes that follow the question.
#[derive(Debug)]
pub(crate) struct Set {
    kind: u16,
    pub(crate) records: Vec<Record>,
    pub(crate) answers: u16,
    pub(crate) authorities: u16,
    pub(crate) body: Box<[u8]>,
}

/// A name that exists; without sets it is only on the way to another.
#[derive(Debug)]
struct Node {
    cut: usize,
    sets: Vec<Set>,
}

/// A point from which this server is the authority: the zone, a reverse zone, or the one name of a rule.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) origin: LowerName,
    pub(crate) soa: Record,
    wire_len: usize,
    /// The SOA for the authority section, with zeros where a pointer to the origin belongs.
    negative: Box<[u8]>,
    pointers: Vec<usize>,
}

impl Cut {
    /// Appends the SOA record for a question whose name takes `name_len` octets and ends in this origin.
    pub(crate) fn put_soa(&self, name_len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.negative);
        let offset = HEADER + name_len.saturating_sub(self.wire_len);
        // A name has at most 255 octets, so its suffix is always within reach of a pointer.
        let pointer = POINTER | u16::try_from(offset).unwrap_or(0x3FFF);
        for position in &self.pointers {
            if let Some(place) = out.get_mut(start + position..start + position + 2) {
                place.copy_from_slice(&pointer.to_be_bytes());
            }
        }
    }
}

/// What the table knows about a name and type.
pub(crate) enum Found<'t> {
    /// There are records.
    Set(&'t Set, &'t Cut),
    /// The name has records and all types were asked: the minimal answer of RFC 8482.
    Any(&'t Cut),
    /// The name exists without records of that type.
    NoData(&'t Cut),
    /// The name does not exist.
    NoName(&'t Cut),
    /// Somebody else's name.
    Outside,
}

/// All answers of one moment.
#[derive(Debug)]
pub(crate) struct Table {
    nodes: HashMap<Box<[u8]>, Node>,
    cuts: Vec<Cut>,
    /// The cuts that own all names beneath them, by the origin's key.
    subtrees: HashMap<Box<[u8]>, usize>,
    forwarders: HashSet<IpAddr>,
}

/// The answer to a question for all types (RFC 8482, 4.2).
pub(crate) fn minimal_any(name: Name) -> Record {
    Record::from_rdata(
        name,
        TTL,
        RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())),
    )
}

impl Table {
    /// Prepares the answers for `records`. `servers` are the addresses of `ns.ZONE`.
    pub(crate) fn build(
        zone: &Zone,
        servers: &[IpAddr],
        records: &Records,
        serial: u32,
    ) -> Result<Self, PublishError> {
        let mut draft = Draft::new(zone, servers, serial)?;
        draft.instances(zone, &records.names)?;
        for service in &records.names.services {
            draft.service(zone, service)?;
        }
        draft.rules(zone, &records.names, serial);
        draft.finish(records.forward.iter().copied().collect())
    }

    /// Looks up a name, given as it is on the wire in lower case, and a type.
    pub(crate) fn find(&self, name: &[u8], kind: u16) -> Found<'_> {
        if let Some(node) = self.nodes.get(name) {
            let Some(cut) = self.cuts.get(node.cut) else {
                return Found::Outside;
            };
            if kind == u16::from(RecordType::ANY) && !node.sets.is_empty() {
                return Found::Any(cut);
            }
            return match node.sets.iter().find(|set| set.kind == kind) {
                Some(set) => Found::Set(set, cut),
                None => Found::NoData(cut),
            };
        }
        let mut rest = name;
        while let Some((&length, tail)) = rest.split_first() {
            if let Some(cut) = self
                .subtrees
                .get(rest)
                .and_then(|index| self.cuts.get(*index))
            {
                return Found::NoName(cut);
            }
            let Some(parent) = tail.get(usize::from(length)..) else {
                break;
            };
            rest = parent;
        }
        Found::Outside
    }

    /// Whether queries from `source` for names of others go to the upstreams.
    pub(crate) fn forwards(&self, source: IpAddr) -> bool {
        self.forwarders.contains(&source.to_canonical())
    }

    /// All records with the origins of their cuts.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> impl Iterator<Item = (Name, Vec<Record>)> {
        let origin = |node: &Node| Name::from(&self.cuts[node.cut].origin);
        let records = |node: &Node| {
            node.sets
                .iter()
                .flat_map(|set| set.records.clone())
                .collect()
        };
        self.nodes
            .values()
            .map(move |node| (origin(node), records(node)))
    }
}
