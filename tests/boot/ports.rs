//! Every port of the box, against the list that was reviewed (`board/image/inventory.toml`).
//!
//! QEMU's user-mode network leads a port of this machine to a port of the box, and its monitor (QMP) makes and removes such
//! ways while the box runs: a batch at a time, all of them are asked. They are under an address of their own, so that
//! each has the number that it has in the box.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{bail, ensure};
use board_image::inventory;
use board_qemu::{Folder, Monitor};
use serde_json::json;

/// Where the ways begin.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Ways at a time: QEMU looks at every one of them for each command and packet, so a way costs more the more there are.
const BATCH: usize = 24;
/// Longest wait for a box to refuse: it answers in milliseconds, but may have something else to do.
const REFUSAL: Duration = Duration::from_secs(30);
/// How long who does not refuse is listened to: a refusal would have come with those of its batch.
const OPEN: Duration = Duration::from_secs(2);
/// How long an answer over UDP is waited for.
const ANSWER: Duration = Duration::from_secs(3);
/// A question for names (RFC 1035), for whoever answers such: for any record of the root.
const NAMES: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\0\0\xff\0\x01";
/// UDP services that are often found on boxes, and a question that each of them answers.
const UDP: [(u16, &[u8]); 14] = [
    // DHCP asks nobody to answer; these two hear it and TFTP's request for a file.
    (67, &[1; 240]),
    (69, b"\0\x01file\0octet\0"),
    // The portmapper's null procedure, version 2 (RFC 1833).
    (
        111,
        b"\0\0\0\x01\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ),
    // Time: a client's packet of version 4 (RFC 5905).
    (
        123,
        b"\x23\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ),
    // The name service of NetBIOS: a node's status of `*` (RFC 1002).
    (
        137,
        b"\0\x01\0\0\0\x01\0\0\0\0\0\0 CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01",
    ),
    // SNMP: version 1, `public`, get 1.3.6.1.2.1.1.1.0 (RFC 1157).
    (
        161,
        b"\x30\x26\x02\x01\0\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\0\x02\x01\0\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0",
    ),
    (443, NAMES),
    (853, NAMES),
    // UPnP: who is there?
    (
        1900,
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n",
    ),
    // STUN: a binding request (RFC 8489).
    (
        3478,
        b"\0\x01\0\0\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\x01",
    ),
    // Names on the link: multicast DNS and LLMNR.
    (5353, NAMES),
    (5355, NAMES),
    // CoAP: an empty message that is to be confirmed, which is a ping (RFC 7252).
    (5683, b"\x40\0\0\x01"),
    (8053, NAMES),
];

/// Ways through QEMU's network, made and removed by its monitor.
struct Ways(Monitor);

/// Arguments of QEMU that give it one.
pub fn monitor() -> Vec<String> {
    Monitor::arguments()
}

impl Ways {
    fn open(folder: &Folder) -> anyhow::Result<Self> {
        Ok(Self(Monitor::open(folder)?))
    }

    /// Commands of the monitor for people, which says something only where one fails. All are said before the first
    /// answer is heard, as each answer takes as long as QEMU's main loop needs to come round.
    fn forward(&mut self, rules: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let rules: Vec<String> = rules.collect();
        for rule in &rules {
            self.0.say(&json!({
                "execute": "human-monitor-command",
                "arguments": {"command-line": rule},
            }))?;
        }
        for rule in rules {
            let answer = self.0.hear()?;
            let text = answer.as_str().unwrap_or_default().trim();
            ensure!(
                text.is_empty() || text.ends_with("removed"),
                "{rule}: {text}"
            );
        }
        Ok(())
    }

    fn add(&mut self, kind: &str, ports: &[u16]) -> anyhow::Result<()> {
        let rule = |port| format!("hostfwd_add net {kind}:{HERE}:{port}-:{port}");
        self.forward(ports.iter().map(rule))
    }

    fn remove(&mut self, kind: &str, ports: &[u16]) -> anyhow::Result<()> {
        let rule = |port| format!("hostfwd_remove net {kind}:{HERE}:{port}");
        self.forward(ports.iter().map(rule))
    }
}

/// The ports of a protocol that the list has.
fn reviewed(protocol: &str) -> anyhow::Result<BTreeSet<u16>> {
    let listening = inventory::reviewed()?.listening;
    let ports = listening.iter().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == protocol).then(|| words.next()?.parse().ok())?
    });
    Ok(ports.collect())
}

/// Every TCP port is asked; those that listen are those of the list.
pub fn the_box_listens_where_it_was_reviewed_and_nowhere_else(
    folder: &Folder,
) -> anyhow::Result<()> {
    let mut ways = Ways::open(folder)?;
    let all: Vec<u16> = (1..=u16::MAX).collect();
    let reviewed = reviewed("tcp")?;
    let mut open = BTreeSet::new();
    for batch in all.chunks(BATCH) {
        ways.add("tcp", batch)?;
        open.extend(listening(batch, &reviewed)?);
        ways.remove("tcp", batch)?;
    }
    ensure!(
        open == reviewed,
        "the box listens on {open:?}, and {reviewed:?} were reviewed"
    );
    Ok(())
}

/// Those of a batch whose connections the box does not end; one that is not expected to is given more time.
fn listening(batch: &[u16], expected: &BTreeSet<u16>) -> anyhow::Result<Vec<u16>> {
    // QEMU takes every connection and passes on what the box says to it: a refusal ends it at once.
    let mut silent = Vec::new();
    for port in batch {
        let stream = TcpStream::connect((HERE, *port))?;
        let patience = if expected.contains(port) {
            OPEN
        } else {
            REFUSAL
        };
        stream.set_read_timeout(Some(patience))?;
        silent.push((*port, stream));
    }
    let mut open = Vec::new();
    for (port, mut stream) in silent {
        if !refuses(&mut stream)? {
            open.push(port);
        }
    }
    Ok(open)
}

fn refuses(stream: &mut TcpStream) -> anyhow::Result<bool> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset => Ok(true),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(false),
            _ => Err(error.into()),
        },
    }
}

/// UDP has no refusal that could be seen from here: each of the usual services is asked in its own words.
pub fn the_box_answers_no_usual_question_over_udp(folder: &Folder) -> anyhow::Result<()> {
    let mut ways = Ways::open(folder)?;
    let reviewed = reviewed("udp")?;
    let ports = UDP.map(|(port, _)| port);
    ways.add("udp", &ports)?;
    let mut asked = Vec::new();
    for (port, question) in UDP {
        if reviewed.contains(&port) {
            bail!("UDP port {port} was reviewed: ask it nowhere as if it were closed");
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.send_to(question, (HERE, port))?;
        asked.push((port, socket));
    }
    for (index, (port, socket)) in asked.iter().enumerate() {
        // All were asked at once: the first is waited for.
        socket.set_nonblocking(index > 0)?;
        let answer = socket.recv(&mut [0; 512]);
        ensure!(answer.is_err(), "UDP port {port} answers");
    }
    ways.remove("udp", &ports)
}
