//! A node with applications that keep quiet, a host outside, and whoever sends and hears in their namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::http::{Answer, Request};
use crate::outside::Outside;
use crate::rules;

/// How long something that must not come is waited for.
const NEVER: Duration = Duration::from_millis(300);
/// How long a connection is tried: a first packet that was lost is sent again after one second (RFC 6298, section 2).
const CONNECT: Duration = Duration::from_secs(3);
/// The name of the host outside among the places that packets come from.
pub const OUT: &str = "out";
/// The port that the first application has published, inside.
pub const PUBLISHED: u16 = 80;

/// An application's namespace and addresses.
#[derive(Debug)]
struct App {
    id: String,
    init: u64,
    v4: IpAddr,
    v6: IpAddr,
}

/// The node, its applications `a`, `b`, .. of which the first may reach the second, and the outside.
#[derive(Debug)]
pub struct Field {
    pub lab: Lab,
    pub outside: Outside,
    apps: BTreeMap<&'static str, App>,
    /// HOST:PORT of plain HTTP.
    authority: String,
    /// The port of the machine that leads to `a`.
    pub published: u16,
}

impl Field {
    /// Starts a node from a seed, with these applications on it.
    pub fn start(names: &[&'static str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let seed = folder.path().join("seed.json");
        std::fs::write(&seed, rules::seed().to_string())?;
        let lab = Lab::start_with(|command| {
            command.arg("--seed").arg(&seed);
        })?;
        let http = lab.node.line.http.as_deref().context("no plain HTTP")?;
        let mut field = Self {
            outside: Outside::new(&lab.node.line.app_subnet)?,
            authority: http.trim_start_matches("http://").to_owned(),
            apps: BTreeMap::new(),
            published: board::host::free_port()?,
            lab,
        };
        field.run(names)?;
        Ok(field)
    }

    fn run(&mut self, names: &[&'static str]) -> anyhow::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let idle =
            |layout: &std::path::Path| images::busybox(layout, "while :; do sleep 100000; done");
        let image = self.lab.image("idle", idle)?;
        let publish = format!("{}:{PUBLISHED}", self.published);
        // Who is reached has to be there first.
        for name in names.iter().rev() {
            let mut options = vec!["--stop-signal", "KILL"];
            if *name == "a" {
                options.extend(["--publish", &publish, "--reach", "b"]);
            }
            self.lab.run(name, &options, &image)?;
            let shown = self.lab.inspect(name)?;
            let id = shown.get("id").and_then(Value::as_str).context("no id")?;
            let app = App {
                id: id.to_owned(),
                init: self.lab.init_of(name)?,
                v4: self.resolved(name, "A")?,
                v6: self.resolved(name, "AAAA")?,
            };
            self.apps.insert(name, app);
        }
        Ok(())
    }

    fn resolved(&self, name: &str, kind: &str) -> anyhow::Result<IpAddr> {
        let found = self.lab.node.dig(&Lab::host_name(name), kind)?;
        let first = found
            .first()
            .with_context(|| format!("{name} has no {kind}"))?;
        Ok(first.parse()?)
    }

    fn app(&self, name: &str) -> anyhow::Result<&App> {
        self.apps
            .get(name)
            .with_context(|| format!("no application {name}"))
    }

    pub fn id(&self, name: &str) -> anyhow::Result<&str> {
        Ok(&self.app(name)?.id)
    }

    /// Both addresses of an application.
    pub fn both(&self, name: &str) -> anyhow::Result<[IpAddr; 2]> {
        let app = self.app(name)?;
        Ok([app.v4, app.v6])
    }

    /// The IPv4 address of an application or of the outside.
    pub fn at(&self, name: &str) -> anyhow::Result<IpAddr> {
        if name == OUT {
            return Ok(self.outside.address.into());
        }
        Ok(self.app(name)?.v4)
    }

    /// Asks one of the node's interfaces with the token for everything.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        self.send(&self.request(method, path, body))
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request {
        let request = Request::new(method, path).bearer(&self.lab.node.line.token);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    pub fn send(&self, request: &Request) -> anyhow::Result<Answer> {
        request.send(&self.authority)
    }

    /// Does something in a namespace; sockets made there stay there.
    pub fn within<T: Send>(
        &self,
        place: &str,
        act: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let space = if place == OUT {
            self.outside.space()?
        } else {
            File::open(format!("/proc/{}/ns/net", self.app(place)?.init))?
        };
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
                act()
            });
            inside.join().map_err(|_| anyhow!("a panic in {place}"))?
        })
    }

    /// Who hears packets on a port, and sends them from it.
    pub fn ear(&self, place: &str, port: u16) -> anyhow::Result<Ear> {
        // The host outside has addresses of IPv4 alone, and applications of both.
        let any = if place == OUT { "0.0.0.0" } else { "::" };
        let any: IpAddr = any.parse()?;
        self.within(place, move || Ok(Ear(UdpSocket::bind((any, port))?)))
    }

    /// A server that says its place and whom it sees; it ends with the test's process.
    pub fn serve(&self, place: &'static str, port: u16) -> anyhow::Result<()> {
        let listener = self.within(place, || Ok(TcpListener::bind(("::", port))?))?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if let Ok(peer) = stream.peer_addr() {
                    // Whoever has hung up does not want to know.
                    let _ = write!(stream, "{place} sees {}", peer.ip().to_canonical());
                }
            }
        });
        Ok(())
    }

    /// What a server says, or `None` where nobody answers.
    pub fn call(&self, from: &str, to: (IpAddr, u16)) -> anyhow::Result<Option<String>> {
        self.within(from, || {
            let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from(to), CONNECT) else {
                return Ok(None);
            };
            stream.set_read_timeout(Some(SOON))?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(Some(said))
        })
    }

    /// Ends the node well; the rest goes as values go.
    pub fn end(self) -> anyhow::Result<()> {
        self.lab.node.stop()
    }
}

/// A socket in a namespace.
#[derive(Debug)]
pub struct Ear(UdpSocket);

impl Ear {
    pub fn says(&self, word: &str, to: (IpAddr, u16)) -> anyhow::Result<()> {
        let (address, port) = to;
        let local = self.0.local_addr()?;
        let address = match address {
            IpAddr::V4(v4) if local.is_ipv6() => IpAddr::V6(v4.to_ipv6_mapped()),
            other => other,
        };
        self.0.send_to(word.as_bytes(), (address, port))?;
        Ok(())
    }

    /// The next word, and where it came from.
    pub fn hears(&self) -> anyhow::Result<(String, SocketAddr)> {
        let heard = self.wait(SOON)?;
        heard.context("nothing was heard")
    }

    pub fn hears_word(&self, word: &str) -> anyhow::Result<()> {
        let (heard, from) = self.hears()?;
        ensure!(heard == word, "{heard:?} instead of {word:?}, from {from}");
        Ok(())
    }

    pub fn hears_nothing(&self) -> anyhow::Result<()> {
        match self.wait(NEVER)? {
            None => Ok(()),
            Some((word, from)) => Err(anyhow!("{word:?} came from {from}")),
        }
    }

    /// Looks once: for what would have come before something that has been heard.
    pub fn has_heard_nothing(&self) -> anyhow::Result<()> {
        self.0.set_nonblocking(true)?;
        let heard = self.wait(NEVER);
        self.0.set_nonblocking(false)?;
        match heard? {
            None => Ok(()),
            Some((word, from)) => Err(anyhow!("{word:?} came from {from}")),
        }
    }

    fn wait(&self, patience: Duration) -> anyhow::Result<Option<(String, SocketAddr)>> {
        self.0.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 64];
        match self.0.recv_from(&mut bytes) {
            Ok((length, from)) => {
                let word = bytes.get(..length).unwrap_or_default();
                Ok(Some((String::from_utf8(word.to_vec())?, from)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
