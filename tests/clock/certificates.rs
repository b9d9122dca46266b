//! Certificates live a week, and nobody notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;

use anyhow::{Context, bail, ensure};
use board::client::{Node, until};
use board::process;
use umec_tests::lab::{SOON, programs};
use umec_tests::tls::shown_at;

use crate::clock::Clock;

/// Connections that outlive every jump.
const KEPT: usize = 8;
/// Clients that connect anew for each request.
const NEW: usize = 3;
/// New connections after each jump.
const EACH: usize = 24;
/// Requests over kept connections after each jump.
const EACH_KEPT: usize = 80;
/// A day, a year, ten years, and home.
const JUMPS: [&str; 4] = ["+1d", "+365d", "+3650d", "+0"];

/// A GET over a connection of its own, by a client whose clock is the node's.
fn curl(clock: &Clock, node: &Node) -> anyhow::Result<String> {
    let mut curl = Command::new("curl");
    clock.faked(&mut curl);
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "10"]);
    curl.args(["--noproxy", "*"])
        .arg("--cacert")
        .arg(&node.line.ca);
    process::output(curl.arg(format!("{}/readyz", node.line.https)))
}

/// A connection that stays open.
struct Kept {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Kept {
    fn open(clock: &Clock, node: &Node) -> anyhow::Result<Self> {
        let mut client = Command::new("openssl");
        clock.faked(&mut client);
        let place = node.line.https.trim_start_matches("https://");
        client.args(["s_client", "-quiet", "-verify_return_error"]);
        client.arg("-CAfile").arg(&node.line.ca);
        client.args(["-connect", place]);
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("openssl")?;
        let to = child.stdin.take().context("no input")?;
        let from = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, to, from })
    }

    fn get(&mut self) -> anyhow::Result<()> {
        self.to
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: box\r\n\r\n")?;
        let mut length = 0;
        let mut first = String::new();
        self.from.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            ensure!(
                self.from.read_line(&mut line)? > 0,
                "closed after {first:?}"
            );
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        ensure!(first.starts_with("HTTP/1.1 200"), "{first}{body}");
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the clients of a run share.
struct Load<'a> {
    clock: &'a Clock,
    node: &'a Node,
    /// Held for reading while somebody connects: a handshake in which the clock jumps has two times, and no certificate
    /// can be good at both. Nothing else waits for a jump.
    jumping: RwLock<()>,
    over: AtomicBool,
    connected: AtomicUsize,
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load<'_> {
    fn fail(&self, error: &anyhow::Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push(format!("{error:#}"));
    }

    fn connect_again_and_again(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let _still = self.jumping.read().unwrap_or_else(PoisonError::into_inner);
            match curl(self.clock, self.node) {
                Ok(_) => drop(self.connected.fetch_add(1, Ordering::Relaxed)),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn ask_again_and_again(&self, kept: &mut Kept) {
        while !self.over.load(Ordering::Relaxed) {
            match kept.get() {
                Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                // It is the same connection to the end, or this is a failure.
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn jump(&self, to: &str) -> anyhow::Result<()> {
        {
            let _nobody_connects = self.jumping.write().unwrap_or_else(PoisonError::into_inner);
            self.clock.jump(to)?;
        }
        let connected = self.connected.load(Ordering::Relaxed) + EACH;
        let answered = self.answered.load(Ordering::Relaxed) + EACH_KEPT;
        until(SOON, || {
            let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if !failed.is_empty() {
                return Ok(Some(()));
            }
            let there = self.connected.load(Ordering::Relaxed) >= connected
                && self.answered.load(Ordering::Relaxed) >= answered;
            Ok(there.then_some(()))
        })
    }
}

#[test]
fn no_request_fails_while_the_clock_jumps_a_day_a_year_and_ten() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    // What is asked for says whether the broker answers, too.
    let node = Node::start(&programs()?, |command| {
        clock.faked_for_all_but_the_broker(command);
    })?;
    let mut kept = Vec::new();
    for _ in 0..KEPT {
        kept.push(Kept::open(&clock, &node)?);
    }
    let load = Load {
        clock: &clock,
        node: &node,
        jumping: RwLock::new(()),
        over: AtomicBool::new(false),
        connected: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        failed: Mutex::default(),
    };
    thread::scope(|scope| {
        for _ in 0..NEW {
            scope.spawn(|| load.connect_again_and_again());
        }
        for connection in &mut kept {
            scope.spawn(|| load.ask_again_and_again(connection));
        }
        let jumped = JUMPS.iter().try_for_each(|to| load.jump(to));
        load.over.store(true, Ordering::Relaxed);
        jumped
    })?;
    let failed = load
        .failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    drop(kept);
    node.stop()
}

#[test]
fn a_box_that_was_off_for_ninety_days_is_reached_at_once() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("node");
    let start = || {
        Node::start(&programs()?, |command| {
            clock.faked(command);
            command.arg("--dir").arg(&dir);
        })
    };
    let node = start()?;
    curl(&clock, &node)?;
    let before = served(&clock, &node, &node.line.https)?;
    node.stop()?;
    clock.jump("+90d")?;
    let node = start()?;
    curl(&clock, &node)?;
    ensure!(
        served(&clock, &node, &node.line.https)? != before,
        "the same certificate"
    );
    let mqtts = mqtts(&node);
    until(SOON, || {
        let good = served(&clock, &node, &mqtts);
        good.map(|_| Some(()))
    })?;
    node.stop()
}

#[test]
fn the_broker_takes_a_new_certificate_and_drops_nobody() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let node = Node::start(&programs()?, |_| {})?;
    let mqtts = mqtts(&node);
    let secure = |program: &str| {
        let mqtt = &node.line.mqtt;
        let mut command = Command::new(program);
        command
            .args(["-h", "localhost", "-p", &mqtt.tls_port.to_string()])
            .args(["-u", &mqtt.user, "-P", &mqtt.password])
            .arg("--cafile")
            .arg(&node.line.ca);
        command
    };
    let said = tempfile::NamedTempFile::new()?;
    let mut subscriber = secure("mosquitto_sub")
        .args(["-d", "-v", "-q", "1", "-t", "sensors/clock"])
        .stdout(said.reopen()?)
        .spawn()?;
    let heard = |what: &str| {
        let text = std::fs::read_to_string(said.path())?;
        Ok::<_, anyhow::Error>(text.matches(what).count())
    };
    let say = |what: &str| {
        let mut publish = secure("mosquitto_pub");
        process::output(publish.args(["-q", "1", "-t", "sensors/clock", "-m", what]))
    };
    let done = (|| {
        until(SOON, || {
            say("first")?;
            Ok((heard("sensors/clock first")? > 0).then_some(()))
        })?;
        let before = served(&clock, &node, &mqtts)?;
        // edged makes the broker's certificate anew whenever it starts.
        node.kill("edged")?;
        until(SOON, || {
            Ok((served(&clock, &node, &mqtts)? != before).then_some(()))
        })?;
        say("second")?;
        until(SOON, || {
            Ok((heard("sensors/clock second")? == 1).then_some(()))
        })?;
        let connections = heard("received CONNACK")?;
        if connections != 1 {
            bail!("the subscriber connected {connections} times");
        }
        Ok(())
    })();
    let _ = subscriber.kill();
    let _ = subscriber.wait();
    done?;
    node.stop()
}

fn mqtts(node: &Node) -> String {
    format!("{}:{}", node.line.mqtt.host, node.line.mqtt.tls_port)
}

/// The certificate that is shown at an address, where it is good now.
fn served(clock: &Clock, node: &Node, place: &str) -> anyhow::Result<String> {
    let place = place.trim_start_matches("https://");
    shown_at(place, &node.line.ca, |client| clock.faked(client))
}
