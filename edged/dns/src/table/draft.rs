//! The way from published records to a table: names with their records, then the same as bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::{Cut, HEADER, Node, PublishError, QUESTION_TAIL, Set, TTL, Table};
use crate::domain::{Domain, Zone, wire};
use crate::records::{Names, ServiceRecord};

/// How long a client may keep that a name does not exist, in seconds: it may be about to start.
const NEGATIVE_TTL: u32 = 1;
/// SOA timers in seconds. There are no secondaries to obey them; RFC 1912 wants them sane.
const SOA_REFRESH: i32 = 3600;
const SOA_RETRY: i32 = 600;
const SOA_EXPIRE: i32 = 86_400;

/// The names of a table while it is being collected.
pub(super) struct Draft {
    /// Each name with the cut that owns it and its records.
    names: BTreeMap<Domain, (usize, Vec<Record>)>,
    cuts: Vec<(Domain, Record)>,
    subtrees: usize,
}

impl Draft {
    pub(super) fn new(zone: &Zone, servers: &[IpAddr], serial: u32) -> Result<Self, PublishError> {
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

    pub(super) fn instances(&mut self, zone: &Zone, names: &Names) -> Result<(), PublishError> {
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

    pub(super) fn service(
        &mut self,
        zone: &Zone,
        service: &ServiceRecord,
    ) -> Result<(), PublishError> {
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

    pub(super) fn rules(&mut self, zone: &Zone, names: &Names, serial: u32) {
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

    pub(super) fn finish(self, forwarders: HashSet<IpAddr>) -> Result<Table, PublishError> {
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
