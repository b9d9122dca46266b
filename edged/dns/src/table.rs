//! The prepared answers: one immutable table, built anew at each publication and only read afterwards.
//!
//! Both paths look up here. The fast path copies [`Set::body`], the slow path hands [`Set::records`] to the DNS
//! library.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use crate::domain::{Domain, DomainError, Zone, wire};
use crate::records::{Names, Records, ServiceRecord};

/// How long a client may keep a name, in seconds: an application that moved or left is forgotten this soon.
pub(crate) const TTL: u32 = 5;
/// How long a client may keep that a name does not exist, in seconds: it may be about to start.
const NEGATIVE_TTL: u32 = 1;
/// SOA timers in seconds. There are no secondaries to obey them; RFC 1912 wants them sane.
const SOA_REFRESH: i32 = 3600;
const SOA_RETRY: i32 = 600;
const SOA_EXPIRE: i32 = 86_400;
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

/// The names of a table while it is being collected.
struct Draft {
    /// Each name with the cut that owns it and its records.
    names: BTreeMap<Domain, (usize, Vec<Record>)>,
    cuts: Vec<(Domain, Record)>,
    subtrees: usize,
}

impl Draft {
    fn new(zone: &Zone, servers: &[IpAddr], serial: u32) -> Result<Self, PublishError> {
        let mut draft = Self {
            names: BTreeMap::new(),
            cuts: Vec::new(),
            subtrees: 0,
        };
        let server = zone.apex().child("ns")?;
        for origin in std::iter::once(zone.apex()).chain(zone.reverse()) {
            let (primary, contact) = if origin == zone.apex() {
                (
                    server.name().clone(),
                    zone.apex().child("hostmaster")?.name().clone(),
                )
            } else {
                (origin.name().clone(), nobody())
            };
            let index = draft.cut(origin, primary, contact, serial);
            draft.add(index, origin, TTL, RData::NS(NS(server.name().clone())));
        }
        draft.subtrees = draft.cuts.len();
        for address in servers {
            draft.add(0, &server, TTL, address_data(*address));
        }
        for (below, above) in [
            ("_tcp", None),
            ("_udp", None),
            ("_dns-sd", Some("_udp")),
            ("app", None),
        ] {
            let parent =
                above.map_or_else(|| Ok(zone.apex().clone()), |label| zone.apex().child(label))?;
            draft.exists(0, &parent.child(below)?);
        }
        Ok(draft)
    }

    /// Makes `origin` an authority of its own.
    fn cut(&mut self, origin: &Domain, primary: Name, contact: Name, serial: u32) -> usize {
        let soa = SOA::new(
            primary,
            contact,
            serial,
            SOA_REFRESH,
            SOA_RETRY,
            SOA_EXPIRE,
            NEGATIVE_TTL,
        );
        let soa = Record::from_rdata(origin.name().clone(), NEGATIVE_TTL, RData::SOA(soa));
        let index = self.cuts.len();
        self.cuts.push((origin.clone(), soa.clone()));
        self.names
            .entry(origin.clone())
            .or_insert_with(|| (index, Vec::new()))
            .1
            .push(soa);
        index
    }

    /// Adds a record; the same record twice counts once.
    fn add(&mut self, cut: usize, name: &Domain, ttl: u32, data: RData) {
        let record = Record::from_rdata(name.name().clone(), ttl, data);
        self.exists(cut, name);
        if let Some((_, records)) = self.names.get_mut(name)
            && !records.iter().any(|known| known.data == record.data)
        {
            records.push(record);
        }
    }

    /// Makes `name` and all names between it and its origin exist.
    fn exists(&mut self, cut: usize, name: &Domain) {
        let Some((origin, _)) = self.cuts.get(cut).cloned() else {
            return;
        };
        let mut name = name.clone();
        while !self.names.contains_key(&name) && name.is_beneath(&origin) {
            let parent = name.parent();
            self.names.insert(name, (cut, Vec::new()));
            name = parent;
        }
    }

    fn instances(&mut self, zone: &Zone, names: &Names) -> Result<(), PublishError> {
        let app = zone.apex().child("app")?;
        for (instance, addresses) in &names.instances {
            let name = app.child(instance.as_str())?;
            for address in addresses {
                self.add(0, &name, TTL, address_data(*address));
                let back = Domain::reverse(*address);
                // The zone itself is cut 0, the reverse zones follow in their order.
                if let Some(index) = zone
                    .reverse()
                    .iter()
                    .position(|origin| back.is_beneath(origin))
                {
                    self.add(index + 1, &back, TTL, RData::PTR(PTR(name.name().clone())));
                }
            }
        }
        Ok(())
    }

    fn service(&mut self, zone: &Zone, service: &ServiceRecord) -> Result<(), PublishError> {
        let kind = zone
            .apex()
            .child(service.transport().label())?
            .child(&service.service_label())?;
        let name = kind.child(service.instance().as_str())?;
        let target = zone
            .apex()
            .child("app")?
            .child(service.instance().as_str())?;
        let kinds = zone
            .apex()
            .child("_udp")?
            .child("_dns-sd")?
            .child("_services")?;
        self.add(0, &kinds, TTL, RData::PTR(PTR(kind.name().clone())));
        self.add(0, &kind, TTL, RData::PTR(PTR(name.name().clone())));
        self.add(
            0,
            &name,
            TTL,
            RData::SRV(SRV::new(0, 0, service.port(), target.name().clone())),
        );
        self.add(0, &name, TTL, RData::TXT(TXT::new(service.strings())));
        Ok(())
    }

    fn rules(&mut self, zone: &Zone, names: &Names, serial: u32) {
        // RFC 2181, 5.2: all records of a set live equally long, the shortest wish decides.
        let mut ttls: BTreeMap<&Domain, u32> = BTreeMap::new();
        for rule in &names.rules {
            let ttl = ttls.entry(rule.domain()).or_insert(rule.ttl());
            *ttl = rule.ttl().min(*ttl);
        }
        for rule in &names.rules {
            let name = rule.domain();
            let own = self.cuts.get(self.subtrees..).unwrap_or_default();
            let index = if name.is_beneath(zone.apex()) {
                0
            } else if let Some(position) = own.iter().position(|(origin, _)| origin == name) {
                self.subtrees + position
            } else {
                self.cut(name, name.name().clone(), nobody(), serial)
            };
            let ttl = ttls.get(name).copied().unwrap_or(rule.ttl());
            self.add(index, name, ttl, address_data(rule.address()));
        }
    }

    fn finish(self, forwarders: HashSet<IpAddr>) -> Result<Table, PublishError> {
        let mut nodes = HashMap::with_capacity(self.names.len());
        for (name, (cut, records)) in self.names {
            let sets =
                sets(&name, records, self.cuts.get(cut).map(|(_, soa)| soa)).map_err(|source| {
                    PublishError::Size {
                        name: name.to_string(),
                        source,
                    }
                })?;
            nodes.insert(name.wire(), Node { cut, sets });
        }
        let cuts: Vec<Cut> = self
            .cuts
            .into_iter()
            .map(|(origin, soa)| prepare_cut(&origin, soa))
            .collect();
        let subtree = |(index, cut): (usize, &Cut)| (wire(&cut.origin), index);
        let subtrees = cuts
            .iter()
            .enumerate()
            .take(self.subtrees)
            .map(subtree)
            .collect();
        Ok(Table {
            nodes,
            cuts,
            subtrees,
            forwarders,
        })
    }
}

fn nobody() -> Name {
    // RFC 6303, 3: the contact of a zone that has none.
    Name::from_ascii("nobody.invalid.").unwrap_or_default()
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// Groups the records of a name by type and encodes each group as it follows the question.
fn sets(name: &Domain, records: Vec<Record>, soa: Option<&Record>) -> Result<Vec<Set>, ProtoError> {
    let mut kinds: BTreeMap<u16, Vec<Record>> = BTreeMap::new();
    for record in records {
        kinds
            .entry(u16::from(record.record_type()))
            .or_default()
            .push(record);
    }
    let servers = kinds
        .get(&u16::from(RecordType::NS))
        .cloned()
        .unwrap_or_default();
    let mut sets = Vec::with_capacity(kinds.len());
    for (kind, records) in kinds {
        let mut message = Message::new(0, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name.name().clone(), RecordType::from(kind)));
        message.add_answers(records.iter().cloned());
        if soa.is_some() && kind == u16::from(RecordType::SOA) {
            message.add_authorities(servers.iter().cloned());
        }
        let encoded = message.to_vec()?;
        let body = encoded
            .get(HEADER + name.wire().len() + QUESTION_TAIL..)
            .unwrap_or_default();
        let count = |records: &[Record]| u16::try_from(records.len()).unwrap_or(u16::MAX);
        sets.push(Set {
            kind,
            answers: count(&message.answers),
            authorities: count(&message.authorities),
            body: body.into(),
            records,
        });
    }
    Ok(sets)
}

/// Writes the SOA of a cut once, so that an answer only has to aim its pointers.
fn prepare_cut(origin: &Domain, soa: Record) -> Cut {
    let origin_wire = origin.wire();
    let mut negative = Vec::new();
    let mut pointers = Vec::new();
    let mut put_name = |name: &Name, out: &mut Vec<u8>| {
        let full = wire(name);
        match full.strip_suffix(&*origin_wire) {
            Some(labels) if origin.name().zone_of(name) => {
                out.extend_from_slice(labels);
                pointers.push(out.len());
                out.extend_from_slice(&[0, 0]);
            }
            _ => out.extend_from_slice(&full),
        }
    };
    put_name(origin.name(), &mut negative);
    negative.extend_from_slice(&u16::from(RecordType::SOA).to_be_bytes());
    negative.extend_from_slice(&1_u16.to_be_bytes());
    negative.extend_from_slice(&soa.ttl.to_be_bytes());
    let length_at = negative.len();
    negative.extend_from_slice(&[0, 0]);
    if let RData::SOA(data) = &soa.data {
        put_name(&data.mname, &mut negative);
        put_name(&data.rname, &mut negative);
        negative.extend_from_slice(&data.serial.to_be_bytes());
        for timer in [data.refresh, data.retry, data.expire] {
            negative.extend_from_slice(&timer.to_be_bytes());
        }
        negative.extend_from_slice(&data.minimum.to_be_bytes());
    }
    // Two names and five numbers: far below what the length can say.
    let length = u16::try_from(negative.len() - length_at - 2).unwrap_or(u16::MAX);
    if let Some(place) = negative.get_mut(length_at..length_at + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    let origin = LowerName::from(origin.name());
    Cut {
        origin,
        soa,
        wire_len: origin_wire.len(),
        negative: negative.into(),
        pointers,
    }
}
