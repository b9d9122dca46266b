//! A box that serves: switched on, listened to, commissioned.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use board_forge::DebianRoot;
use board_node::line::{self, Line};
use serde::Deserialize;

use crate::console::{Heard, Line as Spoken};
use crate::door::{self, Door, USER};
use crate::folder::Folder;
use crate::machine::{Changes, Machine};
use crate::stage::{self, Stage};

/// Longest time from power-on to a decision: 20 s on an idle machine with two cores; 134 s were seen with thirteen programs at
/// work beside it.
pub const BOOT: Duration = Duration::from_secs(400);
/// Lines of the console that a message repeats.
const TAIL: usize = 15;
/// Seconds that the token lives: longer than any test.
const TOKEN: &str = "86400";

/// What a start led to.
#[derive(Debug)]
pub enum Outcome {
    /// edged serves.
    Ready,
    /// A stage refused.
    Refused(Stage),
    /// Somebody asked us to stop.
    Stopped,
}

/// A box that is switched on, and its folder.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The hardware.
    pub machine: Machine,
    /// Its folder.
    pub folder: &'a Folder,
}

/// What the box gives an operator to use it by (`access -o json`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    token: String,
    ca: String,
    mqtt: Account,
    app_subnet: String,
}

#[derive(Debug, Deserialize)]
struct Account {
    user: String,
    password: String,
}

impl<'a> Guest<'a> {
    /// Switches the folder's box on.
    ///
    /// # Errors
    /// QEMU's or swtpm's.
    pub fn start(root: &DebianRoot, folder: &'a Folder, changes: &Changes) -> anyhow::Result<Self> {
        let machine = Machine::start(root, folder, changes)?;
        Ok(Self { machine, folder })
    }

    /// Waits until the box serves or a stage refuses.
    ///
    /// # Errors
    /// Neither was seen within [`BOOT`], or the box went off.
    pub fn outcome(&self, stop: &dyn Fn() -> bool) -> anyhow::Result<Outcome> {
        self.decided(stop, |_| ())
    }

    /// The same for somebody who looks on: a line for each stage that begins, and when.
    ///
    /// # Errors
    /// As [`Guest::outcome`].
    pub fn shown(&self, stop: &dyn Fn() -> bool) -> anyhow::Result<Outcome> {
        let mut coming = stage::MOMENTS.iter().peekable();
        self.decided(stop, |line| {
            if let Some((name, _)) = coming.next_if(|(_, words)| line.text.contains(words)) {
                eprintln!("  box: {name:<19} after {:.1} s", line.at.as_secs_f32());
            }
        })
    }

    fn decided(
        &self,
        stop: &dyn Fn() -> bool,
        mut look: impl FnMut(&Spoken),
    ) -> anyhow::Result<Outcome> {
        let console = &self.machine.console;
        let heard = console.wait(BOOT, stop, |line| {
            look(line);
            if line.text.contains(stage::READY) {
                return Some(Outcome::Ready);
            }
            stage::refusal(&line.text).map(Outcome::Refused)
        });
        let what = match heard {
            Heard::Line(outcome) => return Ok(outcome),
            Heard::Stopped => return Ok(Outcome::Stopped),
            Heard::End => "the box went off before it served or refused".to_owned(),
            Heard::Late => format!("the box neither served nor refused within {BOOT:?}"),
        };
        bail!(
            "{what}; the end of {}:\n{}",
            self.folder.console().display(),
            console.last(TAIL)
        )
    }

    /// The way in with the operator's key. The box's own key is taken from its console, which nobody else writes to.
    ///
    /// # Errors
    /// The console does not show the key.
    pub fn door(&self) -> anyhow::Result<Door> {
        let heard = self
            .machine
            .console
            .wait(Duration::ZERO, &|| false, |line| {
                let (_, key) = line.text.split_once(stage::HOST_KEY)?;
                Some(key.trim().to_owned())
            });
        let Heard::Line(key) = heard else {
            bail!("the console does not show the box's SSH key");
        };
        let port = self.machine.ports.ssh;
        let known_hosts = self.folder.known_hosts();
        door::write_known_hosts(&known_hosts, port, &key)?;
        Ok(Door {
            port,
            identity: self.folder.operator(),
            known_hosts,
        })
    }

    /// Makes the folder's operator the box's only one, by the key of who may commission it. Returns the box's answer
    /// (`commission -o json`), with the recovery key that is shown this once.
    ///
    /// # Errors
    /// The box's sentence.
    pub fn commission(&self, key: &Path) -> anyhow::Result<String> {
        let operator = self.folder.operator().with_extension("pub");
        self.door()?
            .with(key)
            .told(&["commission", "-o", "json"], Some(&operator))
            .context("the box cannot be commissioned")
    }

    /// Everything that it takes to use the box, as one line; `None` where the operator's key does not open it, as the
    /// box was never commissioned.
    ///
    /// # Errors
    /// The box's sentence.
    pub fn line(&self) -> anyhow::Result<Option<Line>> {
        let door = self.door()?;
        let words = ["access", "--lifetime", TOKEN, "-o", "json"];
        let answer = door.say(&words, None)?;
        if door::is_refused_key(&answer) {
            return Ok(None);
        }
        let access: Access = serde_json::from_str(&door::told(&words, answer)?)
            .context("the box's `access` is not understood")?;
        let ca = self.folder.ca();
        fs::write(&ca, access.ca).with_context(|| format!("cannot write {}", ca.display()))?;
        let host = std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST);
        let ports = self.machine.ports;
        Ok(Some(Line {
            ready: true,
            pid: std::process::id(),
            dir: self.folder.path.clone(),
            http: None,
            https: format!("https://{host}:{}", ports.https),
            ca,
            ssh: line::Ssh {
                host,
                port: ports.ssh,
                user: USER.to_owned(),
                identity: door.identity,
                known_hosts: door.known_hosts,
            },
            dns: line::Place {
                host,
                port: ports.dns,
            },
            mqtt: line::Mqtt {
                host,
                port: ports.mqtt,
                tls_port: ports.mqtts,
                user: access.mqtt.user,
                password: access.mqtt.password,
            },
            token: access.token,
            netns: None,
            app_subnet: access.app_subnet,
        }))
    }
}
