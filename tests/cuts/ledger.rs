//! What a box has acknowledged.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use board::line::Line;
use board::process;
use board_qemu::Guest;
use serde_json::Value;

/// What an application is wanted to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Run,
    Stop,
}

/// What somebody can have changed on a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Applications by name.
    pub applications: BTreeMap<String, Goal>,
    /// Registered services by name, and the application that offers each.
    pub services: BTreeMap<String, String>,
}

impl State {
    /// The same without an application: what it offers goes with it.
    pub fn without(mut self, application: &str) -> Self {
        self.applications.remove(application);
        self.services.retain(|_, of| of != application);
        self
    }
}

/// What is known to be on the box: the state that was acknowledged last, and the one that was asked for since.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Acknowledged.
    pub sure: State,
    /// Asked for and not acknowledged: the box may have it or not, whole.
    open: Option<State>,
}

impl Ledger {
    /// Somebody asks for this.
    pub fn ask(&mut self, state: State) {
        self.open = Some(state);
    }

    /// The box said that it did.
    pub fn acknowledged(&mut self) {
        if let Some(state) = self.open.take() {
            self.sure = state;
        }
    }

    /// Compares with what is on the box, which is sure from then on.
    pub fn compare(&mut self, found: State) -> anyhow::Result<&'static str> {
        let place = match self.open.take() {
            _ if found == self.sure => "the old state",
            Some(open) if found == open => "the new state",
            open => bail!(
                "the box acknowledged {:?}, was asked for {open:?}, and has {found:?}",
                self.sure
            ),
        };
        self.sure = found;
        Ok(place)
    }
}

/// A member of an object of the box.
pub fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    let member = value.get(key).and_then(Value::as_str);
    member.with_context(|| format!("no {key}: {value}"))
}

/// What is on the box, once everything that should run is ready.
pub fn look(guest: &Guest, line: &Line) -> anyhow::Result<State> {
    let mut state = State::default();
    let shown = guest.door()?.told(&["ps", "-o", "json"], None)?;
    let list: Vec<Value> = serde_json::from_str(&shown).context("`ps` is not understood")?;
    for application in &list {
        let name = text(application, "name")?;
        let goal = match text(application, "state")? {
            "ready" => Goal::Run,
            "stopped" => Goal::Stop,
            other => bail!("{name} is {other}: {application}"),
        };
        state.applications.insert(name.to_owned(), goal);
        for service in services(line, text(application, "id")?)?.into_keys() {
            state.services.insert(service, name.to_owned());
        }
    }
    let all: Vec<Value> =
        serde_json::from_str(&ask(line, "GET", "/mec_service_mgmt/v1/services", None)?)?;
    ensure!(
        all.len() == state.services.len(),
        "a service is nobody's: {all:?}"
    );
    Ok(state)
}

/// The services that an application has registered, by name, and where each is found.
pub fn services(line: &Line, instance: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let path = services_of(instance);
    let list: Vec<Value> = serde_json::from_str(&ask(line, "GET", &path, None)?)?;
    let each = list.iter().map(|service| {
        let own = format!("{path}/{}", text(service, "serInstanceId")?);
        Ok((text(service, "serName")?.to_owned(), own))
    });
    each.collect()
}

/// Where the services of an application are (MEC 011, 8.2.6).
pub fn services_of(instance: &str) -> String {
    format!("/mec_service_mgmt/v1/applications/{instance}/services")
}

/// Asks the box over HTTPS, as an orchestrator.
pub fn ask(line: &Line, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body"]);
    curl.args(["--max-time", "60", "--noproxy", "*", "--request", method]);
    curl.arg("--cacert").arg(&line.ca);
    curl.args(["--header", &format!("Authorization: Bearer {}", line.token)]);
    if let Some(body) = body {
        curl.args(["--json", &body.to_string()]);
    }
    process::output(curl.arg(format!("{}{path}", line.https)))
}
