//! Holds the fast path, the slow path and the DNS library's own zone store to the same answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType, RrKey};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use proptest::prelude::*;

use crate::answer::{Transport, Verdict, answer};
use crate::domain::Zone;
use crate::query::{Parsed, parse};
use crate::records::{InstanceName, Records, Rule, ServiceRecord, Transport as ServiceTransport};
use crate::table::Table;
use crate::unusual::{Judged, Reply, judge};

const SERIAL: u32 = 7;
const TRUNCATED: u16 = 0x0200;

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn table() -> Arc<Table> {
    let subnets = ["10.88.0.0/16", "fd00:88::/64"].map(|text| text.parse().unwrap());
    let zone = Zone::new("edge.mec.internal", &subnets).unwrap();
    let many: Vec<IpAddr> = (1..=40)
        .map(|last| IpAddr::from([10, 88, 1, last]))
        .collect();
    let instance = |name: &str, addresses: Vec<IpAddr>| InstanceName {
        name: name.parse().unwrap(),
        addresses: addresses.into_iter().collect(),
    };
    let service = |name: &str, instance: &str, transport, text: &[(&str, &str)]| {
        let text = text
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        ServiceRecord::new(
            name.parse().unwrap(),
            instance.parse().unwrap(),
            80,
            transport,
            text,
        )
        .unwrap()
    };
    let rule =
        |name: &str, address: &str| Rule::new(&zone, name, address.parse().unwrap(), 60).unwrap();
    let records = Records::new()
        .instance(instance("web", addresses(&["10.88.0.2", "fd00:88::2"])))
        .instance(instance("a", addresses(&["10.88.0.3"])))
        .instance(instance("crowd", many))
        .service(service(
            "http",
            "web",
            ServiceTransport::Tcp,
            &[("path", "/"), ("v", "1")],
        ))
        .service(service("http", "a", ServiceTransport::Tcp, &[]))
        .service(service(
            "coap",
            "a",
            ServiceTransport::Udp,
            &[("t", &"x".repeat(200))],
        ))
        .rule(rule("www.example.com", "192.0.2.1"))
        .rule(rule("www.example.com", "192.0.2.2"))
        .rule(rule("printer.edge.mec.internal", "192.0.2.3"))
        .allow_forward(addresses(&["127.0.0.2"]));
    Arc::new(Table::build(&zone, &addresses(&["10.88.0.1"]), &records, SERIAL).unwrap())
}

/// What an answer says, without the order of its records and the case of their names.
#[derive(Debug, PartialEq)]
struct Said {
    id: u16,
    flags: u16,
    code: ResponseCode,
    queries: Vec<Query>,
    answers: Vec<String>,
    authorities: Vec<String>,
    edns: Option<(u16, u8, bool)>,
}

fn said(bytes: &[u8]) -> Said {
    let message = Message::from_vec(bytes).expect("an answer is a message");
    let texts = |records: &[Record]| {
        let mut texts: Vec<_> = records
            .iter()
            .map(|record| record.to_string().to_lowercase())
            .collect();
        texts.sort();
        texts
    };
    Said {
        id: message.metadata.id,
        flags: u16::from_be_bytes([bytes[2], bytes[3] & 0xF0]),
        code: message.metadata.response_code,
        answers: texts(&message.answers),
        authorities: texts(&message.authorities),
        edns: message
            .edns
            .as_ref()
            .map(|e| (e.max_payload(), e.version(), e.flags().dnssec_ok)),
        queries: message.queries,
    }
}

fn fast(table: &Table, packet: &[u8], source: &str, transport: Transport) -> Option<Vec<u8>> {
    let Parsed::Plain(query) = parse(packet) else {
        panic!("not taken for plain: {packet:?}")
    };
    let mut out = b"left over from another answer".to_vec();
    let verdict = answer(table, &query, source.parse().unwrap(), transport, &mut out);
    (verdict != Verdict::Forward).then_some(out)
}

fn slow(table: &Arc<Table>, packet: &[u8], source: &str, transport: Transport) -> Option<Vec<u8>> {
    let source = SocketAddr::new(source.parse().unwrap(), 4711);
    match now(judge(table, packet, source, transport)) {
        Judged::Answered(bytes) | Judged::Refused(bytes) => Some(bytes),
        Judged::Forward => None,
        Judged::Ignored => panic!("ignored {packet:?}"),
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// The same records in the DNS library's own store, which looks names up by its own code.
fn reference(table: &Table) -> Catalog {
    let mut zones: BTreeMap<Name, InMemoryZoneHandler<TokioRuntimeProvider>> = BTreeMap::new();
    for (origin, records) in table.contents() {
        let zone = zones.entry(origin.clone()).or_insert_with(|| {
            InMemoryZoneHandler::empty(origin, ZoneType::Primary, AxfrPolicy::Deny)
        });
        for record in records {
            let key = RrKey::new((&record.name).into(), record.record_type());
            assert!(
                zone.upsert_mut(record, SERIAL),
                "{key:?} did not fit the reference"
            );
        }
    }
    let mut catalog = Catalog::new();
    for (origin, zone) in zones {
        catalog.upsert((&origin).into(), vec![Arc::new(zone)]);
    }
    catalog
}

fn refer(catalog: &Catalog, packet: &[u8]) -> Vec<u8> {
    let request = Request::from_bytes(
        packet.to_vec(),
        "127.0.0.1:4711".parse().unwrap(),
        Protocol::Tcp,
    )
    .unwrap();
    let dnssec_ok = request
        .edns
        .as_ref()
        .is_some_and(|edns| edns.flags().dnssec_ok);
    let reply = Reply::new(Transport::Tcp.limit(None), false, dnssec_ok);
    now(catalog.handle_request::<_, TokioTime>(&request, reply.clone()));
    reply.take().unwrap()
}

fn name() -> impl Strategy<Value = String> {
    let own = prop::sample::select(vec![
        "edge.mec.internal",
        "ns.edge.mec.internal",
        "app.edge.mec.internal",
        "web.app.edge.mec.internal",
        "a.app.edge.mec.internal",
        "crowd.app.edge.mec.internal",
        "_tcp.edge.mec.internal",
        "_udp.edge.mec.internal",
        "_dns-sd._udp.edge.mec.internal",
        "_services._dns-sd._udp.edge.mec.internal",
        "_http._tcp.edge.mec.internal",
        "web._http._tcp.edge.mec.internal",
        "a._coap._udp.edge.mec.internal",
        "printer.edge.mec.internal",
        "www.example.com",
        "example.com",
        "internal",
        "mec.internal",
        "88.10.in-addr.arpa",
        "0.88.10.in-addr.arpa",
        "2.0.88.10.in-addr.arpa",
        "9.9.88.10.in-addr.arpa",
        "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.8.0.0.0.0.d.f.ip6.arpa",
    ]);
    let label = "[a-z][a-z0-9-]{0,11}";
    let beneath = (label, own.clone()).prop_map(|(label, parent)| format!("{label}.{parent}"));
    let deep = (prop::collection::vec(label, 1..8), own.clone())
        .prop_map(|(labels, parent)| format!("{}.{parent}", labels.join(".")));
    prop_oneof![4 => own.prop_map(str::to_owned), 2 => beneath, 1 => deep, 1 => label]
}

fn kind() -> impl Strategy<Value = RecordType> {
    let known = [
        1_u16, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 43, 46, 48, 64, 65, 255, 256, 257,
    ];
    prop_oneof![
        4 => prop::sample::select(known.to_vec()),
        1 => (1..=u16::MAX).prop_filter("data types", |kind| !crate::query::is_meta(*kind)),
    ]
    .prop_map(RecordType::from)
}

prop_compose! {
    fn packet()(
        name in name(),
        upper in any::<u64>(),
        kind in kind(),
        id in any::<u16>(),
        recursion in any::<bool>(),
        checking in any::<bool>(),
        edns in prop::option::of((any::<u16>(), any::<bool>())),
    ) -> Vec<u8> {
        let mixed: String = name
            .chars()
            .enumerate()
            .map(|(at, c)| if upper >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let mut message = Message::query();
        message.metadata.id = id;
        message.metadata.recursion_desired = recursion;
        message.metadata.checking_disabled = checking;
        message.add_query(Query::query(Name::from_ascii(mixed + ".").unwrap(), kind));
        if let Some((payload, dnssec_ok)) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_paths_say_the_same(
        packet in packet(),
        source in prop::sample::select(vec!["127.0.0.1", "127.0.0.2"]),
        tcp in any::<bool>(),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let table = table();
        let fast = fast(&table, &packet, source, transport);
        let slow = slow(&table, &packet, source, transport);
        let (mut fast, mut slow) = (fast.as_deref().map(said), slow.as_deref().map(said));
        if let (Some(fast), Some(slow)) = (&mut fast, &mut slow)
            && slow.flags & TRUNCATED != 0
        {
            // The library compresses names only in the same case, so it may truncate earlier, never later.
            fast.flags |= TRUNCATED;
            fast.answers.clear();
            fast.authorities.clear();
        }
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_fast_path_says_what_an_independent_zone_store_says(packet in packet()) {
        let table = table();
        let query = Message::from_vec(&packet).unwrap().queries.remove(0);
        // The minimal answer to ANY is ours alone.
        prop_assume!(query.query_type != RecordType::ANY);
        let expected = said(&refer(&reference(&table), &packet));
        let own = said(&fast(&table, &packet, "127.0.0.1", Transport::Tcp).unwrap());
        // Names of rules end where the rule ends; the store knows only whole zones.
        let www = Name::from_ascii("www.example.com.").unwrap();
        prop_assume!(query.name == www || !www.zone_of(&query.name));
        prop_assert_eq!(own, expected);
    }

    #[test]
    fn an_own_answer_over_udp_is_at_most_three_times_its_question(packet in packet()) {
        if let Some(answer) = fast(&table(), &packet, "127.0.0.1", Transport::Udp) {
            prop_assert!(answer.len() <= 3 * packet.len(), "{} for {}", answer.len(), packet.len());
        }
    }

    #[test]
    fn names_come_back_in_the_case_they_were_asked(packet in packet()) {
        let asked = Message::from_vec(&packet).unwrap().queries.remove(0).name;
        for answer in [
            fast(&table(), &packet, "127.0.0.1", Transport::Tcp).unwrap(),
            slow(&table(), &packet, "127.0.0.1", Transport::Tcp).unwrap(),
        ] {
            let answer = Message::from_vec(&answer).unwrap();
            prop_assert!(answer.queries[0].name.eq_case(&asked));
            for record in &answer.answers {
                prop_assert!(record.name.eq_case(&asked), "{} for {asked}", record.name);
            }
        }
    }

    #[test]
    fn no_datagram_brings_the_server_down(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        let table = table();
        let source = "127.0.0.2:4711".parse().unwrap();
        drop(now(judge(&table, &packet, source, Transport::Udp)));
        if let Parsed::Plain(query) = parse(&packet) {
            answer(&table, &query, source.ip(), Transport::Udp, &mut Vec::new());
        }
    }

    #[test]
    fn a_damaged_question_never_gets_more_than_three_times_its_size(
        packet in packet(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut packet = packet;
        let at = at.index(packet.len());
        packet[at] = to;
        packet.truncate(cut.index(packet.len()) + 1);
        let table = table();
        let source = "127.0.0.1:4711".parse().unwrap();
        let answer = match now(judge(&table, &packet, source, Transport::Udp)) {
            Judged::Answered(bytes) | Judged::Refused(bytes) => bytes,
            Judged::Forward | Judged::Ignored => Vec::new(),
        };
        prop_assert!(answer.len() <= 3 * packet.len());
    }
}
