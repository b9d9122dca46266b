//! From the change of a service to the notification that somebody has received.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::{Client, Means, Measure, Scratch, seed, tails};

/// Changes, each told before the next.
const ROUNDS: u32 = 500;
/// Longest wait for a notification.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("mec-news")?;
    let [writer, reader] = [0, 1].map(|number| seed::instance(number, "services", &[]));
    let seed = seed::of(&[writer, reader]);
    let node = super::node(means, &scratch, &seed)?;
    let mut client = Client::new(&node)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let callback = format!("http://{}/heard", listener.local_addr()?);
    let (tell, heard) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            thread::spawn(move || hear(stream, &tell));
        }
    });
    let of = |number| format!("/mec_service_mgmt/v1/applications/{}", seed::id(number));
    let subscription = json!({"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": callback});
    client.ask(
        "POST",
        &format!("{}/subscriptions", of(1)),
        Some(&subscription),
        201,
    )?;
    let service = seed::service(0, "1.0.0");
    let made = client.ask("POST", &format!("{}/services", of(0)), Some(&service), 201)?;
    let path = made.location.context("no Location")?;
    heard
        .recv_timeout(PATIENCE)
        .context("a new service was not told")?;
    let (mut changed, mut answered) = (Vec::new(), Vec::new());
    for round in 0..means.rounds(ROUNDS) {
        let service = seed::service(0, &format!("1.1.{round}"));
        let begun = Instant::now();
        client.ask("PUT", &path, Some(&service), 200)?;
        answered.push(begun.elapsed());
        let at = heard
            .recv_timeout(PATIENCE)
            .context("a change was not told")?;
        changed.push(at.saturating_duration_since(begun));
    }
    node.stop()?;
    let mut rows = tails("PUT sent to notification received", &changed);
    rows.extend(tails("PUT sent to its answer", &answered));
    Ok(Measure {
        work: "change of a service to the callback of one subscriber, on loopback".to_owned(),
        aim: "5 ms".to_owned(),
        rows,
        notes: vec![
            "The change is durable before anybody is told; the connection to the callback is kept open.".to_owned(),
        ],
    })
}

/// Notifications on one connection, each answered with 204 and told when all of it is here.
fn hear(stream: TcpStream, tell: &Sender<Instant>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let at = Instant::now();
        answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        tell.send(at)?;
    }
}
