//! The service registry under load, beside bare handlers that give the same bytes.

use std::cell::RefCell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{Client, Means, Measure, Row, Samples, Scratch, seed};
use crate::bench::peers::Service;
use crate::bench::sample::{Contender, by_turns};
use crate::bench::{http, usage};
use crate::host::free_port;
use crate::process;

/// The example that serves the bare answers.
pub const SERVER: &str = "bare";
/// Turns of each; one is three seconds.
const ROUNDS: u32 = 5;
/// Seconds of one turn.
const TURN: &str = "3s";
/// Connections that the aim names.
const CONNECTIONS: &str = "32";
/// Applications with services, and services of each.
const INSTANCES: usize = 5;
const OF_EACH: usize = 10;
const LIST: &str = "/mec_service_mgmt/v1/services";
const READ: &str = include_str!("read.lua");
const WRITE: &str = include_str!("write.lua");

/// What wrk and the kernel say of one turn, microseconds.
struct Turn {
    processor: f64,
    half: f64,
    most: f64,
}

/// One of the figures of a turn.
type Pick = fn(&Turn) -> f64;
/// All turns of a contender.
type Turns = RefCell<Vec<Turn>>;

/// Who is asked.
struct Server {
    pid: i32,
    address: SocketAddr,
}

/// What is asked for.
struct Work<'a> {
    name: &'static str,
    script: &'a Path,
    path: &'a str,
    authorization: &'a str,
    body: &'a Path,
}

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("mec-load")?;
    let services: Vec<_> = (0..INSTANCES * OF_EACH)
        .map(|number| seed::service(number, "1.0.0"))
        .collect();
    let instances = services.chunks(OF_EACH).enumerate();
    let instances: Vec<_> = instances
        .map(|(number, services)| seed::instance(number, "services", services))
        .collect();
    let node = super::node(means, &scratch, &seed::of(&instances))?;
    let mut client = Client::new(&node)?;
    let of_one = format!("/mec_service_mgmt/v1/applications/{}/services", seed::id(0));
    // What ours answers is what the bare handlers answer.
    let list = client.ask("GET", LIST, None, 200)?;
    let body = seed::service(INSTANCES * OF_EACH, "1.0.0");
    let made = client.ask("POST", &of_one, Some(&body), 201)?;
    client.ask("DELETE", &made.location.context("no Location")?, None, 204)?;
    let file = |name: &str, bytes: &[u8]| -> anyhow::Result<_> {
        let path = scratch.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    file("list.json", &list.body)?;
    file("one.json", &made.body)?;
    let body = file("body.json", body.to_string().as_bytes())?;
    let (read, write) = (
        file("read.lua", READ.as_bytes())?,
        file("write.lua", WRITE.as_bytes())?,
    );
    let (bare, _running) = bare(means, &scratch)?;
    let ours = Server {
        pid: node.pid("edged")?,
        address: client.address,
    };
    let authorization = client.authorization();
    let work = |name, script, path| Work {
        name,
        script,
        path,
        authorization: &authorization,
        body: &body,
    };
    let works = [
        work("GET of 50 services", read.as_path(), LIST),
        work(
            "POST and DELETE of a service",
            write.as_path(),
            of_one.as_str(),
        ),
    ];
    let mut rows = Vec::new();
    for work in &works {
        rows.extend(compare(work, &ours, &bare, means.rounds(ROUNDS))?);
    }
    drop(client);
    node.stop()?;
    Ok(Measure {
        work: format!("the service registry over HTTP, {CONNECTIONS} connections that are always busy, wrk"),
        aim: "GET: processor time at most 2.2 of the bare handler's, 99 of 100 within 1 ms".to_owned(),
        rows,
        notes: vec![
            format!("The list is {} octets; its reader has a token for everything. POST and DELETE are counted as two requests.", list.body.len()),
            "The bare handlers give the same bytes by the same listener and runtime; they ask nobody who is there, read no body and keep nothing. Ours makes each POST and DELETE durable before it answers.".to_owned(),
            "wrk shares the two cores with whom it asks. With all connections busy, a request waits for the 31 others: the time is 32 divided by the requests a second.".to_owned(),
            "p95 is of turns of three seconds.".to_owned(),
        ],
    })
}

fn bare(means: &Means, scratch: &Scratch) -> anyhow::Result<(Server, Service)> {
    let port = free_port()?;
    let program = means.programs.join("examples").join(SERVER);
    let folder = scratch.path();
    let words = [port.to_string(), folder.to_string_lossy().into_owned()];
    let words = words.each_ref().map(String::as_str);
    let service = Service::start(folder, &program.to_string_lossy(), &words)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    service.wait(|| http::until_ok(address, LIST).map(drop))?;
    let pid = service.pid()?;
    Ok((Server { pid, address }, service))
}

fn compare(work: &Work<'_>, ours: &Server, bare: &Server, rounds: u32) -> anyhow::Result<Vec<Row>> {
    let turns = [
        ("edged", ours, Turns::default()),
        ("bare handler", bare, Turns::default()),
    ];
    let contenders = turns.iter().map(|(who, server, turns)| {
        Contender::new(*who, move || {
            let turn = ask(work, server)?;
            let processor = turn.processor;
            turns.borrow_mut().push(turn);
            Ok(processor)
        })
    });
    for (who, outcome) in by_turns(rounds, contenders.collect()) {
        outcome.map_err(|reason| anyhow::anyhow!("{}, {who}: {reason}", work.name))?;
    }
    let picks: [(&str, &'static str, Pick); 3] = [
        ("processor time", "us/request", |turn| turn.processor),
        ("half within", "us", |turn| turn.half),
        ("99 of 100 within", "us", |turn| turn.most),
    ];
    let mut rows = Vec::new();
    for (what, unit, pick) in picks {
        let mut ours = None;
        for (who, _, turns) in &turns {
            // The first turn warms up.
            let samples: Samples = turns.borrow().iter().skip(1).map(pick).collect();
            let row = Row::of(format!("{}, {what}: {who}", work.name), unit, &samples);
            rows.push(row.beside(ours));
            ours = ours.or(samples.median());
        }
    }
    Ok(rows)
}

fn ask(work: &Work<'_>, server: &Server) -> anyhow::Result<Turn> {
    let before = usage::processor_time(server.pid)?;
    let shown = process::output(
        Command::new("wrk")
            .args([
                "-t",
                "1",
                "-c",
                CONNECTIONS,
                "-d",
                TURN,
                "-H",
                work.authorization,
                "-s",
            ])
            .arg(work.script)
            .arg(format!("http://{}{}", server.address, work.path))
            .arg("--")
            .arg(work.body),
    )?;
    let used = usage::processor_time(server.pid)?.saturating_sub(before);
    let line = shown.lines().find_map(|line| line.strip_prefix("turn "));
    let words = line.with_context(|| shown.clone())?.split(' ');
    let numbers: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
    let [half, most, requests, failed] = numbers[..] else {
        anyhow::bail!("wrk says {shown}");
    };
    anyhow::ensure!(
        requests > 0.0 && failed == 0.0,
        "{failed} of {requests} requests failed: {shown}"
    );
    Ok(Turn {
        processor: used.as_secs_f64() * 1e6 / requests,
        half,
        most,
    })
}
