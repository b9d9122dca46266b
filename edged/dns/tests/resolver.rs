//! The resolver from outside: asked with dig, kdig and plain sockets over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use edged_dns::{
    Directory, DnsConfig, DnsServer, InstanceName, Records, Rule, ServiceRecord, StartError,
    Transport,
};
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A resolver on a runtime of its own, as the daemon has it.
struct Running {
    directory: Directory,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(upstreams: Vec<SocketAddr>) -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = DnsServer::bind(config(vec![(LOCALHOST, 0).into()], upstreams))
                    .await
                    .unwrap();
                ready
                    .send((server.directory(), server.addresses()[0]))
                    .unwrap();
                server.run(async { drop(stopped.await) }).await;
            });
        });
        let (directory, address) = started.recv().unwrap();
        directory.publish(records(&directory)).unwrap();
        Self {
            directory,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn ask(&self, tool: &str, arguments: &str) -> String {
        let output = Command::new(tool)
            .args([
                "@127.0.0.1",
                "-p",
                &self.address.port().to_string(),
                "+retry=0",
                "+time=9",
            ])
            .args(arguments.split_whitespace())
            .output()
            .expect("bind9-dnsutils and knot-dnsutils are installed");
        String::from_utf8(output.stdout).unwrap()
    }

    fn dig(&self, arguments: &str) -> String {
        self.ask("dig", arguments)
    }

    fn short(&self, arguments: &str) -> Vec<String> {
        let text = self.dig(&format!("+short {arguments}"));
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn config(listen: Vec<SocketAddr>, upstreams: Vec<SocketAddr>) -> DnsConfig {
    let subnets = ["10.88.0.0/16", "fd00:88::/64"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    DnsConfig {
        zone: "edge.mec.internal".to_owned(),
        listen,
        upstreams,
        subnets,
    }
}

fn instance(name: &str, addresses: &[&str]) -> InstanceName {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    InstanceName {
        name: name.parse().unwrap(),
        addresses,
    }
}

fn records(directory: &Directory) -> Records {
    let text = BTreeMap::from([("path".to_owned(), "/".to_owned())]);
    let service = |instance: &str| {
        let text = text.clone();
        let instance = instance.parse().unwrap();
        ServiceRecord::new(
            "http".parse().unwrap(),
            instance,
            8080,
            Transport::Tcp,
            text,
        )
        .unwrap()
    };
    let rule = |name: &str, address: &str| {
        Rule::new(directory.zone(), name, address.parse().unwrap(), 77).unwrap()
    };
    let crowd: Vec<String> = (1..=40).map(|last| format!("10.88.1.{last}")).collect();
    Records::new()
        .instance(instance("web", &["10.88.0.2", "fd00:88::2"]))
        .instance(instance(
            "crowd",
            &crowd.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
        .service(service("web"))
        .service(service("other"))
        .rule(rule("www.example.com", "192.0.2.1"))
}

/// An upstream that answers A with 192.0.2.9, `big` with a text too large for UDP, and `silent` never; before each
/// true answer over UDP it sends two forged ones.
fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (ready, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let udp = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).await.unwrap();
            ready.send(udp.local_addr().unwrap()).unwrap();
            tokio::join!(answer_udp(udp, count), answer_tcp(tcp));
        });
    });
    (started.recv().unwrap(), asked)
}

async fn answer_udp(udp: UdpSocket, count: Arc<AtomicUsize>) {
    let mut packet = [0; 2048];
    loop {
        let (length, client) = udp.recv_from(&mut packet).await.unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        let Some(answer) = upstream_answer(&packet[..length], "192.0.2.9") else {
            continue;
        };
        let mut forged = upstream_answer(&packet[..length], "203.0.113.66").unwrap();
        forged.metadata.id ^= 1;
        udp.send_to(&forged.to_vec().unwrap(), client)
            .await
            .unwrap();
        let mut forged = upstream_answer(&packet[..length], "203.0.113.66").unwrap();
        forged.queries = vec![Query::query(
            Name::from_ascii("evil.example.").unwrap(),
            RecordType::A,
        )];
        udp.send_to(&forged.to_vec().unwrap(), client)
            .await
            .unwrap();
        let bytes = answer.to_vec().unwrap();
        let bytes = if bytes.len() > 1232 {
            answer.truncate().to_vec().unwrap()
        } else {
            bytes
        };
        udp.send_to(&bytes, client).await.unwrap();
    }
}

async fn answer_tcp(tcp: TcpListener) {
    loop {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut packet = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut packet).await.unwrap();
        let bytes = upstream_answer(&packet, "192.0.2.9")
            .unwrap()
            .to_vec()
            .unwrap();
        stream
            .write_u16(bytes.len().try_into().unwrap())
            .await
            .unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
}

fn upstream_answer(packet: &[u8], address: &str) -> Option<Message> {
    let mut message = Message::from_vec(packet).unwrap();
    let query = message.queries[0].clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    match query.name.to_ascii().to_lowercase().as_str() {
        "silent.example." => return None,
        "gone.example." => message.metadata.response_code = ResponseCode::NXDomain,
        "big.example." => {
            let text = TXT::new((0..10).map(|_| "x".repeat(200)).collect());
            message.add_answer(Record::from_rdata(query.name, 30, RData::TXT(text)));
        }
        _ => {
            message.add_answer(Record::from_rdata(
                query.name,
                30,
                RData::A(A(address.parse().unwrap())),
            ));
        }
    }
    Some(message)
}

#[test]
fn an_instance_has_its_addresses_and_they_lead_back() {
    let server = Running::start(Vec::new());
    assert_eq!(server.short("web.app.edge.mec.internal A"), ["10.88.0.2"]);
    assert_eq!(
        server.short("web.app.edge.mec.internal AAAA"),
        ["fd00:88::2"]
    );
    assert_eq!(server.short("-x 10.88.0.2"), ["web.app.edge.mec.internal."]);
    assert_eq!(
        server.short("-x fd00:88::2"),
        ["web.app.edge.mec.internal."]
    );
    assert_eq!(server.short("ns.edge.mec.internal"), ["127.0.0.1"]);
    assert_eq!(
        server.short("edge.mec.internal NS"),
        ["ns.edge.mec.internal."]
    );
}

#[test]
fn services_are_found_by_dns_sd() {
    let server = Running::start(Vec::new());
    assert_eq!(
        server.short("_services._dns-sd._udp.edge.mec.internal PTR"),
        ["_http._tcp.edge.mec.internal."]
    );
    assert_eq!(
        server.short("_http._tcp.edge.mec.internal PTR"),
        [
            "other._http._tcp.edge.mec.internal.",
            "web._http._tcp.edge.mec.internal."
        ]
    );
    assert_eq!(
        server.short("web._http._tcp.edge.mec.internal SRV"),
        ["0 0 8080 web.app.edge.mec.internal."]
    );
    assert_eq!(
        server.short("web._http._tcp.edge.mec.internal TXT"),
        ["\"path=/\""]
    );
}

#[test]
fn what_does_not_exist_is_told_apart_from_what_has_no_such_data() {
    let server = Running::start(Vec::new());
    for options in ["+noedns", "+nocookie", "+cookie", "+tcp"] {
        let none = server.dig(&format!("{options} nobody.app.edge.mec.internal"));
        assert!(
            none.contains("status: NXDOMAIN") && none.contains("SOA"),
            "{none}"
        );
        for other in [
            "web.app.edge.mec.internal MX",
            "app.edge.mec.internal A",
            "web.app.edge.mec.internal TYPE4711",
        ] {
            let empty = server.dig(&format!("{options} {other}"));
            assert!(
                empty.contains("status: NOERROR") && empty.contains("ANSWER: 0, AUTHORITY: 1"),
                "{empty}"
            );
            assert!(empty.contains("flags: qr aa rd;"), "{empty}");
        }
    }
}

#[test]
fn a_rule_answers_for_its_name_with_its_own_time_to_live() {
    let server = Running::start(Vec::new());
    let text = server.ask("kdig", "+noall +answer www.example.com A");
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["www.example.com.", "77", "IN", "A", "192.0.2.1"]
    );
    let other = server.dig("www.example.com AAAA");
    assert!(
        other.contains("status: NOERROR") && other.contains("ANSWER: 0, AUTHORITY: 1"),
        "{other}"
    );
    assert!(server.dig("example.com").contains("status: REFUSED"));
    assert!(server.dig("x.www.example.com").contains("status: REFUSED"));
}

#[test]
fn the_case_of_a_question_comes_back() {
    let server = Running::start(Vec::new());
    for options in ["+noedns", "+cookie", "+tcp"] {
        let text = server.dig(&format!(
            "{options} +noall +answer wEb.ApP.eDgE.mEc.InTeRnAl"
        ));
        assert!(text.starts_with("wEb.ApP.eDgE.mEc.InTeRnAl."), "{text}");
    }
}

#[test]
fn unusual_requests_get_their_codes() {
    let server = Running::start(Vec::new());
    for (question, code) in [
        ("edge.mec.internal AXFR +tcp", "Transfer failed"),
        ("+opcode=STATUS edge.mec.internal", "NOTIMP"),
        ("+opcode=UPDATE edge.mec.internal SOA", "NOTIMP"),
        (
            "+edns=1 +noednsnegotiation edge.mec.internal SOA",
            "BADVERS",
        ),
        ("-c CH version.bind TXT", "REFUSED"),
        ("edge.mec.internal TYPE128", "NOTIMP"),
        ("+header-only", "FORMERR"),
    ] {
        let text = server.dig(question);
        assert!(text.contains(code), "{question}: {text}");
    }
    let any = server.short("web.app.edge.mec.internal ANY +notcp");
    assert_eq!(any, ["\"RFC8482\" \"\""]);
}

#[test]
fn an_answer_too_large_for_udp_is_fetched_over_tcp() {
    let server = Running::start(Vec::new());
    let cut = server.dig("+ignore +notcp crowd.app.edge.mec.internal");
    assert!(
        cut.contains("flags: qr aa tc rd;") && cut.contains("ANSWER: 0"),
        "{cut}"
    );
    assert_eq!(server.short("crowd.app.edge.mec.internal").len(), 40);
}

#[test]
fn a_new_view_is_seen_by_the_next_question() {
    let server = Running::start(Vec::new());
    let serial = || {
        server.short("edge.mec.internal SOA")[0]
            .split(' ')
            .nth(2)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let first = serial();
    for round in 1..=20 {
        let with = records(&server.directory).instance(instance("new", &["10.88.0.9"]));
        server.directory.publish(with.clone()).unwrap();
        server.directory.publish(with).unwrap();
        assert!(
            server
                .directory
                .observe()
                .instances()
                .contains_key(&"new".parse().unwrap())
        );
        assert_eq!(server.short("new.app.edge.mec.internal"), ["10.88.0.9"]);
        server
            .directory
            .publish(records(&server.directory))
            .unwrap();
        assert!(server.dig("new.app.edge.mec.internal").contains("NXDOMAIN"));
        assert!(server.short("-x 10.88.0.9").is_empty());
        assert_eq!(serial(), first + 2 * round, "one step a change of names");
    }
    server
        .directory
        .publish(records(&server.directory).allow_forward([LOCALHOST]))
        .unwrap();
    assert_eq!(
        serial(),
        first + 40,
        "who may forward is no content of the zone"
    );
}

#[test]
fn names_of_others_are_refused_unless_the_source_may_forward() {
    let (upstream, asked) = upstream();
    let server = Running::start(vec![upstream]);
    assert!(server.dig("some.example").contains("status: REFUSED"));
    assert!(
        server
            .dig("+noedns some.example")
            .contains("status: REFUSED")
    );
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "a refused question left the box"
    );
    server
        .directory
        .publish(records(&server.directory).allow_forward([LOCALHOST]))
        .unwrap();
    for options in ["", "+noedns", "+tcp"] {
        assert_eq!(
            server.short(&format!("{options} SoMe.example")),
            ["192.0.2.9"],
            "forged answers are dropped"
        );
    }
    let gone = server.dig("gone.example");
    assert!(
        gone.contains("status: NXDOMAIN") && gone.contains("flags: qr rd ra;"),
        "{gone}"
    );
    assert!(
        server
            .dig("web.app.edge.mec.internal")
            .contains("flags: qr aa rd ra;")
    );
    let counts = server.directory.counts();
    assert_eq!(
        (counts.forwarded, counts.refused, counts.forward_failed),
        (4, 2, 0)
    );
}

#[test]
fn an_upstream_that_truncates_is_asked_over_tcp() {
    let (upstream, _) = upstream();
    let server = Running::start(vec![upstream]);
    server
        .directory
        .publish(Records::new().allow_forward([LOCALHOST]))
        .unwrap();
    let cut = server.dig("+ignore +notcp big.example TXT");
    assert!(cut.contains("flags: qr tc rd ra;"), "{cut}");
    let whole = server.dig("+tcp big.example TXT");
    assert!(whole.contains("ANSWER: 1") && whole.len() > 2000, "{whole}");
}

#[test]
fn a_silent_upstream_costs_two_seconds_and_the_next_one_answers() {
    let (silent, asked) = upstream();
    let server = Running::start(vec![silent]);
    server
        .directory
        .publish(Records::new().allow_forward([LOCALHOST]))
        .unwrap();
    let start = std::time::Instant::now();
    assert!(server.dig("silent.example").contains("status: SERVFAIL"));
    assert!(
        (2..4).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let closed = std::net::UdpSocket::bind((LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let (good, _) = upstream();
    let server = Running::start(vec![closed, good]);
    server
        .directory
        .publish(Records::new().allow_forward([LOCALHOST]))
        .unwrap();
    assert_eq!(server.short("some.example"), ["192.0.2.9"]);
}

#[test]
fn one_tcp_connection_carries_many_questions_and_a_slow_one_holds_up_none() {
    let (upstream, _) = upstream();
    let server = Running::start(vec![upstream]);
    server
        .directory
        .publish(records(&server.directory).allow_forward([LOCALHOST]))
        .unwrap();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let mut pipelined = Vec::new();
    for id in 0..100_u16 {
        let name = if id == 0 {
            "silent.example."
        } else {
            "web.app.edge.mec.internal."
        };
        let mut message = Message::query();
        message.metadata.id = id;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let bytes = message.to_vec().unwrap();
        pipelined.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        pipelined.extend(bytes);
    }
    // In odd pieces, so that no read ends where a question does.
    for piece in pipelined.chunks(97) {
        stream.write_all(piece).unwrap();
    }
    let ids: Vec<u16> = (0..100)
        .map(|_| read_framed(&mut stream).metadata.id)
        .collect();
    assert_eq!(ids[..99], (1..100).collect::<Vec<_>>());
    assert_eq!(ids[99], 0);
}

fn read_framed(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut packet = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut packet).unwrap();
    Message::from_vec(&packet).unwrap()
}

#[test]
fn tcp_connections_are_bounded_and_come_free_again() {
    let server = Running::start(Vec::new());
    let held: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let mut over = TcpStream::connect(server.address).unwrap();
    assert_eq!(
        over.read(&mut [0; 2]).unwrap_or(0),
        0,
        "the 65th is closed at once"
    );
    assert_eq!(server.directory.counts().tcp_turned_away, 1);
    assert_eq!(
        server.short("web.app.edge.mec.internal A"),
        ["10.88.0.2"],
        "udp goes on"
    );
    drop(held);
    while server.short("+tcp web.app.edge.mec.internal A") != ["10.88.0.2"] {}
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let holder = std::net::UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap();
    let error = DnsServer::bind(config(vec![taken], Vec::new()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::Listen { address, transport: "udp", .. } if address == taken)
    );
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[test]
fn after_shutdown_the_ports_are_free() {
    let server = Running::start(Vec::new());
    let address = server.address;
    let open = TcpStream::connect(address).unwrap();
    drop(server);
    assert!(std::net::UdpSocket::bind(address).is_ok());
    assert!(TcpStream::connect(address).is_err());
    drop(open);
}
