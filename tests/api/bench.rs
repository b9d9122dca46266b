//! A node with applications on it, and calls of operations.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::until;
use board::image::Image;
use board::process;
use serde_json::{Value, json};
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::contract::{Contract, Operation};
use crate::http::{Answer, Request};
use crate::packages::Package;

/// An application and a token of it.
#[derive(Debug, Clone)]
pub struct App {
    pub id: String,
    pub token: String,
}

/// The node, and who is on it.
#[derive(Debug)]
pub struct Bench {
    pub contract: Contract,
    pub lab: Lab,
    /// HOST:PORT of plain HTTP.
    pub authority: String,
    pub prefix: String,
    /// Opens everything.
    pub all: String,
    /// Whose resources are used.
    pub one: App,
    /// Who has no business with them.
    pub two: App,
    /// Fixtures that calls use again.
    pub kept: Kept,
}

/// Fixtures that are made when first asked for.
#[derive(Debug, Default)]
pub struct Kept {
    pub noisy: OnceCell<String>,
    pub crowd: RefCell<Vec<TcpStream>>,
    pub stopped: OnceCell<String>,
    /// Uploads that do not end.
    pub arriving: RefCell<Vec<TcpStream>>,
    /// Operations that delete, and what they are to delete.
    pub filled: RefCell<Vec<(&'static str, String)>>,
    /// The last resource made by an operation.
    pub last: RefCell<BTreeMap<&'static str, String>>,
    /// On-boarded packages, by what their applications do.
    pub kinds: RefCell<BTreeMap<String, Package>>,
    pub disabled: OnceCell<Package>,
    pub instance: RefCell<Option<String>>,
    pub operation: OnceCell<String>,
    /// Packages announced so far.
    pub packages: Cell<u32>,
}

/// Options of applications.
const WEB: [&str; 2] = ["--health-http", "8080/"];
/// Requests of one caller at once that are too many, and that a listener has places for.
const CROWD: usize = 100;

/// The instance that has rules from the start: nobody can add one over these interfaces.
pub const RULED: &str = "7f1c2c50-3f0e-4a4c-9a34-2f1f8f4f3b11";
pub const TRAFFIC_RULE: &str = "no-telnet";
pub const DNS_RULE: &str = "cache";

fn seeded() -> Value {
    json!({"instances": [{
        "appInstanceId": RULED,
        "appName": "ruled",
        "running": true,
        "trafficRules": [{
            "trafficRuleId": TRAFFIC_RULE, "filterType": "PACKET", "priority": 10, "action": "DROP",
            "trafficFilter": [{"dstPort": ["23"], "protocol": ["tcp"]}], "state": "INACTIVE",
        }],
        "dnsRules": [{
            "dnsRuleId": DNS_RULE, "domainName": "cdn.example.org", "ipAddressType": "IP_V4",
            "ipAddress": "192.0.2.80", "ttl": 60, "state": "INACTIVE",
        }],
    }]})
}

fn web(layout: &Path) -> anyhow::Result<Image> {
    images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
}

fn id_of(lab: &Lab, name: &str) -> anyhow::Result<String> {
    let shown = lab.inspect(name)?;
    let id = shown.get("id").and_then(Value::as_str);
    Ok(id
        .with_context(|| format!("{name} has no id: {shown}"))?
        .to_owned())
}

impl Bench {
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at("")
    }

    /// A node whose every path begins with `prefix`.
    pub fn start_at(prefix: &str) -> anyhow::Result<Self> {
        let contract = Contract::read()?;
        let folder = tempfile::tempdir()?;
        let seed = folder.path().join("seed.json");
        std::fs::write(&seed, seeded().to_string())?;
        let lab = Lab::start_with(|command| {
            // With its keys in files, so that a test can sign as the node does.
            command.args(["--tpm", "none"]);
            command.args(["--prefix", prefix]).arg("--seed").arg(&seed);
        })?;
        let image = lab.image("web", web)?;
        let app = |name: &str| -> anyhow::Result<App> {
            lab.run(name, &WEB, &image)?;
            let id = id_of(&lab, name)?;
            let token = token(&lab, &["--instance", &id])?;
            Ok(App { id, token })
        };
        let http = lab.node.line.http.as_deref().context("no plain HTTP")?;
        Ok(Self {
            one: app("one")?,
            two: app("two")?,
            all: lab.node.line.token.clone(),
            prefix: prefix.to_owned(),
            contract,
            authority: http.trim_start_matches("http://").to_owned(),
            kept: Kept::default(),
            lab,
        })
    }

    /// A token made on the node: `--all` or `--instance ID`, perhaps with `--lifetime SECONDS`.
    pub fn token(&self, words: &[&str]) -> anyhow::Result<String> {
        token(&self.lab, words)
    }

    /// A call with the values of the path's parameters, in their order, and the token for everything.
    pub fn call<const N: usize>(&self, values: [&str; N]) -> Call {
        Call {
            values: values.map(str::to_owned).to_vec(),
            token: Some(self.all.clone()),
            ..Call::default()
        }
    }

    /// Sends a call.
    pub fn send(&self, operation: &Operation, call: &Call) -> anyhow::Result<Answer> {
        call.request(operation, &self.prefix).send(&self.authority)
    }

    /// Sends a call of a named operation and wants this answer.
    pub fn done(&self, operation: &str, call: &Call, status: u16) -> anyhow::Result<Answer> {
        let operation = self.contract.operation(operation)?;
        let answer = self.send(operation, call)?.expect(status);
        let answer = answer.with_context(|| operation.name.clone())?;
        self.contract.check(operation, &answer)?;
        Ok(answer)
    }

    /// Sends a call that makes a resource, and returns the last segment of its `Location`.
    pub fn made(&self, operation: &str, call: &Call) -> anyhow::Result<String> {
        let answer = self.done(operation, call, 201)?;
        let location = answer.header("location").context("no Location")?;
        let (_, last) = location.rsplit_once('/').context("no path")?;
        Ok(last.to_owned())
    }

    /// Sends a call while the guardian is away: in its place runs what never says a word.
    pub fn send_unguarded(&self, operation: &Operation, call: &Call) -> anyhow::Result<Answer> {
        let program = self.lab.node.line.dir.join("bin/edged-guardian");
        let aside = program.with_extension("aside");
        std::fs::rename(&program, &aside)?;
        std::fs::write(&program, "#!/bin/sh\nexec sleep infinity\n")?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        self.lab.node.kill("guardian")?;
        let is = |status: u16| {
            let ready = Request::new("GET", &format!("{}/readyz", self.prefix));
            Ok((ready.send(&self.authority)?.status == status).then_some(()))
        };
        until(SOON, || is(503)).context("ready without a guardian")?;
        let answer = self.send(operation, call);
        std::fs::rename(&aside, &program)?;
        self.lab.node.kill("guardian")?;
        until(SOON, || is(200)).context("not ready again")?;
        answer
    }

    /// Reads what is not there any more.
    pub fn gone(&self, read: &str, call: &Call) -> anyhow::Result<()> {
        let call = Call {
            body: None,
            query: String::new(),
            ..call.clone()
        };
        self.done(read, &call, 404).map(drop)
    }

    /// The client secret of `one`, which only its container sees.
    pub fn secret(&self) -> anyhow::Result<String> {
        let init = self.lab.init_of("one")?;
        let path = format!("/proc/{init}/root/run/secrets/mec-client-secret");
        let text = std::fs::read_to_string(&path).with_context(|| path)?;
        Ok(text.trim().to_owned())
    }

    /// The token of somebody who has more requests under way than anybody may.
    pub fn noisy(&self) -> anyhow::Result<String> {
        let id = self.stopped()?;
        if self.kept.noisy.get().is_none() {
            let _ = self.kept.noisy.set(self.token(&["--instance", id])?);
        }
        let token = self.kept.noisy.get().context("nobody is noisy")?;
        let operation = self
            .contract
            .operation("mec011-service-management/listTransports")?;
        let call = self.call([]).token(token);
        let is_refused = || Ok((self.send(operation, &call)?.status == 429).then_some(()));
        if is_refused()?.is_none() {
            ensure!(self.kept.crowd.borrow().is_empty(), "nobody was too noisy");
            let line = format!(
                "POST {}/mec_app_support/v1/applications/{id}/confirm_ready HTTP/1.1",
                self.prefix
            );
            let crowd = (0..CROWD).map(|_| self.hesitate(&line, token, "application/json"));
            self.kept.crowd.replace(crowd.collect::<Result<_, _>>()?);
            until(Duration::from_secs(3), is_refused)
                .with_context(|| format!("{CROWD} requests at once are not too many"))?;
        }
        Ok(token.clone())
    }

    /// A request that does not come to its end as long as the connection is held.
    pub fn hesitate(&self, line: &str, token: &str, media: &str) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.authority)?;
        write!(
            stream,
            "{line}\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: {media}\r\n\
             Content-Length: 99\r\n\r\n{{",
            self.authority
        )?;
        Ok(stream)
    }

    /// An instance that is there and does not run.
    pub fn stopped(&self) -> anyhow::Result<&str> {
        if self.kept.stopped.get().is_none() {
            let image = self.lab.image("web", web)?;
            self.lab.run("stopped", &WEB, &image)?;
            self.lab.node.verb(&["stop", "stopped"])?;
            let _ = self.kept.stopped.set(id_of(&self.lab, "stopped")?);
        }
        Ok(self.kept.stopped.get().context("nothing is stopped")?)
    }

    /// The rule of `RULED` as it is now.
    pub fn traffic_rule(&self) -> anyhow::Result<Value> {
        let call = self.call([RULED, TRAFFIC_RULE]);
        self.done("mec011-app-support/readTrafficRule", &call, 200)?
            .json()
    }

    /// The DNS rule of `RULED` as it is now.
    pub fn dns_rule(&self) -> anyhow::Result<Value> {
        let call = self.call([RULED, DNS_RULE]);
        self.done("mec011-app-support/readDnsRule", &call, 200)?
            .json()
    }

    /// A new resource in place of the last one that was made so: an application may have only so many.
    pub fn renewed(
        &self,
        create: &'static str,
        delete: &str,
        call: &Call,
    ) -> anyhow::Result<String> {
        if let Some(last) = self.kept.last.borrow_mut().remove(create) {
            let mut values = call.values.clone();
            values.push(last);
            let old = Call {
                values,
                token: call.token.clone(),
                ..Call::default()
            };
            // It may be gone already.
            self.send(self.contract.operation(delete)?, &old)?;
        }
        let id = self.made(create, call)?;
        self.kept.last.borrow_mut().insert(create, id.clone());
        Ok(id)
    }

    /// A new service of `one`.
    pub fn service(&self) -> anyhow::Result<String> {
        self.renewed(
            "mec011-service-management/createService",
            "mec011-service-management/deleteService",
            &self.call([&self.one.id]).json(&service()),
        )
    }

    /// A new subscription of `one` to services; nobody is at its callback.
    pub fn availability(&self) -> anyhow::Result<String> {
        self.renewed(
            "mec011-service-management/createSubscription",
            "mec011-service-management/deleteSubscription",
            &self.call([&self.one.id]).json(&availability()),
        )
    }

    /// A new subscription of `one` to its own end.
    pub fn termination(&self) -> anyhow::Result<String> {
        self.renewed(
            "mec011-app-support/createSubscription",
            "mec011-app-support/deleteSubscription",
            &self.call([&self.one.id]).json(&termination(&self.one.id)),
        )
    }

    /// A new application that runs elsewhere.
    pub fn registration(&self) -> anyhow::Result<String> {
        self.renewed(
            "mec011-app-support/createRegistration",
            "mec011-app-support/deleteRegistration",
            &self.call([]).json(&registration()),
        )
    }
}

fn token(lab: &Lab, words: &[&str]) -> anyhow::Result<String> {
    let folder = &lab.node.line.dir;
    let token = process::output(
        Command::new(folder.join("bin/edged"))
            .arg("--config")
            .arg(folder.join("edged.toml"))
            .arg("token")
            .args(words),
    )?;
    Ok(token.trim().to_owned())
}

/// A service with heartbeats.
pub fn service() -> Value {
    json!({
        "serName": "thermometer", "version": "1.0.0", "state": "ACTIVE", "serializer": "JSON",
        "livenessInterval": 60,
        "transportInfo": {
            "id": "rest", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1",
            "endpoint": {"uris": ["http://192.0.2.10:8080/"]}, "security": {},
        },
    })
}

/// Nobody listens on the discard port.
pub const NOBODY: &str = "http://127.0.0.1:9/heard";

pub fn availability() -> Value {
    json!({"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": NOBODY})
}

pub fn termination(id: &str) -> Value {
    json!({
        "subscriptionType": "AppTerminationNotificationSubscription",
        "callbackReference": NOBODY,
        "appInstanceId": id,
    })
}

pub fn registration() -> Value {
    json!({"appName": "elsewhere", "endpoint": {"uris": ["http://192.0.2.11/"]}})
}

/// What is sent to an operation.
#[derive(Debug, Clone, Default)]
pub struct Call {
    pub values: Vec<String>,
    pub query: String,
    pub headers: Vec<(String, String)>,
    /// Media type and bytes.
    pub body: Option<(String, Vec<u8>)>,
    pub token: Option<String>,
    /// `application/json` where nothing else is said.
    pub accept: Option<String>,
}

impl Call {
    pub fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string().into_bytes())
    }

    pub fn bytes(self, media: &str, bytes: Vec<u8>) -> Self {
        Self {
            body: Some((media.to_owned(), bytes)),
            ..self
        }
    }

    pub fn query(self, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..self
        }
    }

    pub fn accept(self, media: &str) -> Self {
        Self {
            accept: Some(media.to_owned()),
            ..self
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    fn request(&self, operation: &Operation, prefix: &str) -> Request {
        let mut path = operation.template.clone();
        for (name, value) in operation.parameters().zip(&self.values) {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut request = Request::new(
            &operation.method,
            &format!("{prefix}{path}{mark}{}", self.query),
        );
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        let accept = self.accept.as_deref().unwrap_or("application/json");
        request = request.header("Accept", accept);
        request.headers.extend(self.headers.iter().cloned());
        if let Some((media, bytes)) = &self.body {
            request = request.header("Content-Type", media);
            request.body.clone_from(bytes);
        }
        request
    }
}
