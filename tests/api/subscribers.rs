//! Who hears of services: criteria, ends, and `WebSockets`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::{Value, json};
use umec_tests::lab::SOON;

use crate::bench::{App, Bench, availability, service};
use crate::callback::{Heard, Listener};

const CREATE: &str = "mec011-service-management/createService";
const SUBSCRIBE: &str = "mec011-service-management/createSubscription";
const SUBSCRIPTION: &str = "mec011-service-management/readSubscription";
const SUBSCRIPTIONS: &str = "mec011-service-management/listSubscriptions";

/// Makes a subscription of an application, with the token of all: its callback may be here.
fn subscribe(bench: &Bench, app: &App, callback: &str, more: &Value) -> anyhow::Result<Value> {
    let mut body = availability();
    body["callbackReference"] = json!(callback);
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let call = bench.call([&app.id]).json(&body);
    bench.done(SUBSCRIBE, &call, 201)?.json()
}

fn offer(bench: &Bench, app: &App, name: &str) -> anyhow::Result<String> {
    let mut body = service();
    body["serName"] = json!(name);
    bench.made(CREATE, &bench.call([&app.id]).json(&body))
}

fn about(heard: &Heard) -> (&str, &str) {
    let about = &heard.body["serviceReferences"][0];
    let text = |name: &str| about[name].as_str().unwrap_or_default();
    (text("changeType"), text("serName"))
}

#[test]
fn a_subscriber_hears_of_what_it_asked_for() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let (all, some) = (Listener::start()?, Listener::start()?);
    subscribe(&bench, &bench.two, &all.uri, &json!({}))?;
    let criteria =
        json!({"filteringCriteria": {"serNames": ["b"], "states": ["ACTIVE"], "isLocal": true}});
    let made = subscribe(&bench, &bench.two, &some.uri, &criteria)?;
    ensure!(
        made["filteringCriteria"]["serNames"] == json!(["b"]),
        "{made}"
    );
    for name in ["a", "b", "c"] {
        offer(&bench, &bench.one, name)?;
        ensure!(about(&all.next()?) == ("ADDED", name));
    }
    ensure!(about(&some.next()?) == ("ADDED", "b"));
    ensure!(some.rest().is_empty(), "it heard of more than it asked for");
    let two = json!({"serNames": ["b"], "serInstanceIds": ["1"]});
    let mut body = availability();
    body["filteringCriteria"] = two;
    bench.done(SUBSCRIBE, &bench.call([&bench.two.id]).json(&body), 400)?;
    for callback in ["/heard", "http://127.0.0.1:9/?query", "ftp://127.0.0.1/"] {
        body = availability();
        body["callbackReference"] = json!(callback);
        bench.done(SUBSCRIBE, &bench.call([&bench.two.id]).json(&body), 400)?;
    }
    bench.lab.node.stop()
}

#[test]
fn services_and_subscriptions_go_with_their_application() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let (left, staying) = (Listener::start()?, Listener::start()?);
    subscribe(&bench, &bench.one, &left.uri, &json!({}))?;
    subscribe(&bench, &bench.two, &staying.uri, &json!({}))?;
    let id = offer(&bench, &bench.one, "a")?;
    for listener in [&left, &staying] {
        ensure!(about(&listener.next()?) == ("ADDED", "a"));
    }
    bench.lab.node.verb(&["rm", "--force", "one"])?;
    let heard = staying.next()?;
    ensure!(about(&heard) == ("REMOVED", "a"), "{}", heard.body);
    let reference = &heard.body["serviceReferences"][0];
    ensure!(
        reference["link"].is_null() && reference["serInstanceId"] == id,
        "{}",
        heard.body
    );
    offer(&bench, &bench.two, "b")?;
    ensure!(about(&staying.next()?) == ("ADDED", "b"));
    ensure!(
        left.rest().is_empty(),
        "a subscription outlives its application"
    );
    bench.done(SUBSCRIPTIONS, &bench.call([&bench.one.id]), 404)?;
    bench.lab.node.stop()
}

#[test]
fn a_subscription_is_tested_and_ends_by_itself() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let listener = Listener::start()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let end = json!({"seconds": now.as_secs() + 3, "nanoSeconds": 0});
    let asked = json!({"requestTestNotification": true, "expiryDeadline": end});
    let made = subscribe(&bench, &bench.two, &listener.uri, &asked)?;
    let href = &made["_links"]["self"]["href"];
    let test = listener.next()?.body;
    ensure!(test["notificationType"] == "TestNotification", "{test}");
    ensure!(test["_links"]["subscription"]["href"] == *href, "{test}");
    let last = listener.next()?.body;
    ensure!(last["notificationType"] == "ExpiryNotification", "{last}");
    let id = href.as_str().and_then(|href| href.rsplit('/').next());
    let call = bench.call([&bench.two.id, id.context("no id")?]);
    until(SOON, || Ok(bench.done(SUBSCRIPTION, &call, 404).ok()))?;
    bench.lab.node.stop()
}

/// A WebSocket as far as these tests need it: text frames of a server, shorter than 64 KiB.
struct Socket(BufReader<TcpStream>);

impl Socket {
    /// The handshake, and its status.
    fn open(uri: &str, token: &str) -> anyhow::Result<(u16, Self)> {
        let rest = uri.strip_prefix("ws://").context("not ws")?;
        let (host, path) = rest.split_once('/').context("no path")?;
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(SOON))?;
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(reader.read_line(&mut head)? > 0, "no answer: {head}");
        }
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, Self(reader)))
    }

    /// The next text.
    fn next(&mut self) -> anyhow::Result<Value> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        ensure!(head[0] == 0x81, "no text: {head:?}");
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.0.read_exact(&mut long)?;
                u16::from_be_bytes(long)
            }
            short => u16::from(short),
        };
        let mut text = vec![0; usize::from(length)];
        self.0.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

#[test]
fn notifications_come_over_a_websocket() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let asked = json!({"websockNotifConfig": {"requestWebsocketUri": true}});
    let made = subscribe(&bench, &bench.two, crate::bench::NOBODY, &asked)?;
    let uri = made["websockNotifConfig"]["websocketUri"]
        .as_str()
        .context("no URI")?;
    for (token, status) in [("forged", 401), (bench.one.token.as_str(), 404)] {
        ensure!(
            Socket::open(uri, token)?.0 == status,
            "{status} was expected"
        );
    }
    let (status, mut socket) = Socket::open(uri, &bench.two.token)?;
    ensure!(status == 101, "{status}");
    let id = offer(&bench, &bench.one, "a")?;
    let heard = socket.next()?;
    ensure!(
        heard["notificationType"] == "SerAvailabilityNotification",
        "{heard}"
    );
    ensure!(
        heard["serviceReferences"][0]["serInstanceId"] == id,
        "{heard}"
    );
    // One that did not ask for it has none.
    let plain = subscribe(&bench, &bench.two, crate::bench::NOBODY, &json!({}))?;
    ensure!(plain["websockNotifConfig"].is_null(), "{plain}");
    bench.lab.node.stop()
}
