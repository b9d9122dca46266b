//! Names: our resolver beside dnsmasq, unbound and knot, each with one thread and the same 1,000 names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::peers::{self, Service};
use super::report::{Measure, Row, rows};
use super::sample::{Contender, Samples, by_turns};
use super::scratch::Scratch;
use super::{Means, usage};
use crate::host::free_port;
use crate::process;

/// The example of `edged-dns` that serves.
pub const SERVER: &str = "serve";
/// Each is three seconds of asking for each server.
const ROUNDS: u32 = 5;
/// Seconds of asking in one turn.
const SECONDS: &str = "3";
/// As many as the example has.
const NAMES: u16 = 1000;
/// Its zone.
const ZONE: &str = "edge.mec.internal";

/// What dnsperf and the kernel say of one turn.
struct Turn {
    per_second: f64,
    latency_us: f64,
    processor_us: f64,
}

/// One of the two.
type Pick = fn(&(f64, f64)) -> f64;
/// Processor time and latency, microseconds, of every turn of every server.
type Seen = RefCell<BTreeMap<String, Vec<(f64, f64)>>>;

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("dns")?;
    let questions = scratch.path().join("questions");
    let mut text = String::new();
    for number in 0..NAMES {
        writeln!(text, "{} A", name(number))?;
    }
    fs::write(&questions, text)?;
    let seen = Seen::default();
    let mut contenders = Vec::new();
    for (who, start) in [
        ("edged's resolver", Start::Ours),
        ("dnsmasq", Start::Dnsmasq),
        ("unbound", Start::Unbound),
        ("knot", Start::Knot),
    ] {
        let port = free_port()?;
        let service = start.start(means, &scratch, port).and_then(|service| {
            service.wait(|| peers::answers(port, &name(NAMES - 1)))?;
            Ok(service)
        });
        let (seen, questions) = (&seen, &questions);
        contenders.push(Contender::new(who, move || {
            let service = service.as_ref();
            let service = service.map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let turn = ask(service, questions, port)?;
            let mut seen = seen.borrow_mut();
            let turns = seen.entry(who.to_owned()).or_default();
            turns.push((turn.processor_us, turn.latency_us));
            Ok(turn.per_second)
        }));
    }
    let rounds = means.rounds(ROUNDS);
    let mut table = rows("queries/s", by_turns(rounds, contenders));
    let seen = seen.into_inner();
    // Ours first, as the comparison needs it.
    let order: Vec<String> = table.iter().map(|row| row.who.clone()).collect();
    let picks: [(&str, &'static str, Pick); 2] = [
        ("processor time", "us/query", |turn| turn.0),
        ("mean latency", "us", |turn| turn.1),
    ];
    for (what, unit, pick) in picks {
        let samples = |who: &String| -> Option<Samples> {
            Some(seen.get(who)?.iter().skip(1).map(pick).collect())
        };
        let ours = order.first().and_then(samples).and_then(|all| all.median());
        for (place, who) in order.iter().enumerate() {
            if let Some(samples) = samples(who) {
                let row = Row::of(format!("  {what}: {who}"), unit, &samples);
                table.push(if place == 0 { row } else { row.beside(ours) });
            }
        }
    }
    Ok(Measure {
        work: "A records of 1,000 names over UDP on loopback, one thread, dnsperf with 100 questions under way".to_owned(),
        aim: "queries/s of dnsmasq (ratio at least 1), processor time of knot (ratio at most 1)".to_owned(),
        rows: table,
        notes: vec![
            "dnsperf shares the two cores with the server it asks.".to_owned(),
            "p95 of queries/s is of turns of three seconds.".to_owned(),
        ],
    })
}

fn name(number: u16) -> String {
    format!("app{number}.app.{ZONE}")
}

fn ask(service: &Service, questions: &Path, port: u16) -> anyhow::Result<Turn> {
    let pid = service.pid()?;
    let before = usage::processor_time(pid)?;
    let shown = process::output(
        Command::new("dnsperf")
            .args(["-s", "127.0.0.1", "-p", &port.to_string(), "-l", SECONDS])
            .args(["-c", "1", "-T", "1", "-q", "100", "-d"])
            .arg(questions),
    )?;
    let used = usage::processor_time(pid)?.saturating_sub(before);
    let field = |key: &str| -> anyhow::Result<f64> {
        let value = shown.lines().find_map(|line| line.trim().strip_prefix(key));
        let word = value.and_then(|value| value.split_whitespace().next());
        word.and_then(|word| word.parse().ok())
            .with_context(|| format!("dnsperf says no {key}"))
    };
    let completed = field("Queries completed:")?;
    let lost = field("Queries lost:")?;
    anyhow::ensure!(
        completed > 0.0 && lost < completed / 100.0,
        "{lost} of {completed} questions were lost"
    );
    anyhow::ensure!(
        shown.contains("NOERROR") && !shown.contains("NXDOMAIN"),
        "names are missing: {shown}"
    );
    Ok(Turn {
        per_second: field("Queries per second:")?,
        latency_us: field("Average Latency (s):")? * 1e6,
        processor_us: used.as_secs_f64() * 1e6 / completed,
    })
}

/// How each is started.
#[derive(Debug, Clone, Copy)]
enum Start {
    Ours,
    Dnsmasq,
    Unbound,
    Knot,
}

impl Start {
    fn start(self, means: &Means, scratch: &Scratch, port: u16) -> anyhow::Result<Service> {
        let folder = scratch.folder(&format!("{self:?}"))?;
        match self {
            Self::Ours => {
                let program = means.programs.join("examples").join(SERVER);
                let at = format!("127.0.0.1:{port}");
                Service::start(&folder, &program.to_string_lossy(), &[&at])
            }
            Self::Dnsmasq => {
                let hosts = folder.join("hosts");
                fs::write(&hosts, lines(|address, name| format!("{address} {name}")))?;
                dnsmasq(&folder, &hosts, port)
            }
            Self::Unbound => unbound(&folder, port),
            Self::Knot => knot(&folder, port),
        }
    }
}

/// A line for each name, with the address that our example gives it.
fn lines(line: impl Fn(&str, &str) -> String) -> String {
    let mut text = String::new();
    for number in 0..NAMES {
        let [high, low] = number.to_be_bytes();
        text.push_str(&line(&format!("10.88.{high}.{low}"), &name(number)));
        text.push('\n');
    }
    text
}

/// dnsmasq with the names of a hosts file.
pub fn dnsmasq(folder: &Path, hosts: &Path, port: u16) -> anyhow::Result<Service> {
    let (port, hosts) = (
        format!("--port={port}"),
        format!("--addn-hosts={}", hosts.display()),
    );
    let pid = format!("--pid-file={}", folder.join("pid").display());
    let arguments = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        &port,
        &hosts,
        &pid,
    ];
    Service::start(folder, "/usr/sbin/dnsmasq", &arguments)
}

fn unbound(folder: &Path, port: u16) -> anyhow::Result<Service> {
    let config = folder.join("unbound.conf");
    let data = lines(|address, name| format!("  local-data: \"{name}. A {address}\""));
    let text = format!(
        "server:\n  interface: 127.0.0.1\n  port: {port}\n  num-threads: 1\n  do-daemonize: no\n  chroot: \"\"\n  \
         username: \"\"\n  directory: \"{0}\"\n  pidfile: \"{0}/pid\"\n  use-syslog: no\n  module-config: \"iterator\"\n  \
         local-zone: \"{ZONE}.\" static\n{data}remote-control:\n  control-enable: no\n",
        folder.display()
    );
    fs::write(&config, text)?;
    let config = config.to_string_lossy();
    Service::start(folder, "/usr/sbin/unbound", &["-d", "-c", &config])
}

fn knot(folder: &Path, port: u16) -> anyhow::Result<Service> {
    let (config, zone) = (folder.join("knot.conf"), folder.join("zone"));
    let records = lines(|address, name| format!("{name}. 60 IN A {address}"));
    fs::write(
        &zone,
        format!(
            "{ZONE}. 60 IN SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 60 60\n{ZONE}. 60 IN NS ns.{ZONE}.\nns.{ZONE}. 60 IN A 127.0.0.1\n{records}"
        ),
    )?;
    let text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{0}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\ndatabase:\n  storage: \"{0}\"\nzone:\n  - domain: {ZONE}\n    file: \"{1}\"\n",
        folder.display(),
        zone.display()
    );
    fs::write(&config, text)?;
    let config = config.to_string_lossy();
    Service::start(folder, "/usr/sbin/knotd", &["-c", &config])
}
