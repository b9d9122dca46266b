//! What each command does to the kernel.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Child;

use edged_config::{Config, NetworkError};
use edged_model::{InstanceId, Lease, LeaseNumber};
use edged_protocol::Refusal;
use edged_protocol::guardian::{Abilities, Command, Policy, Reply};

use crate::abilities::{self, AbilityError};
use crate::link::Link;
use crate::netlink::{Netlink, NetlinkError};
use crate::nft::{self, NftError};
use crate::opening::Opening;
use crate::ruleset::{MORE, PolicyError, Ruleset, Written};
use crate::shape::{ShapeError, Shaper};
use crate::sysctl::{Sysctl, SysctlError};
use crate::watch::Watch;
use crate::way::{self, WayError, Ways};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum GuardianError {
    /// The configuration's network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The policy or the lease asked for.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Links, addresses, routes.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Rules.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// What the kernel can.
    #[error(transparent)]
    Ability(#[from] AbilityError),
    /// Ways of traffic rules.
    #[error(transparent)]
    Way(#[from] WayError),
    /// Rates of links.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Settings.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// A namespace that was not pinned.
    #[error("cannot open the network namespace {path}: {source}; make the container first")]
    Namespace {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that leads back to the host.
    #[error(
        "{0} is the host's own network namespace; an application does not get the host's network"
    )]
    HostNamespace(PathBuf),
}

impl GuardianError {
    /// What edged is told.
    fn refusal(&self) -> Refusal {
        let lasting = matches!(
            self,
            Self::Network(_) | Self::Policy(_) | Self::HostNamespace(_)
        ) || matches!(self, Self::Shape(error) if error.is_lasting());
        Refusal {
            sentence: self.to_string(),
            transient: !lasting,
        }
    }
}

/// The kernel's network, as far as it is ours.
pub struct Guardian {
    pub(crate) ruleset: Ruleset,
    netns: PathBuf,
    pub(crate) netlink: Netlink,
    sysctl: Sysctl,
    pub(crate) watch: Watch,
    shaper: Shaper,
    /// The last policy loaded by this process: what the kernel should have.
    pub(crate) loaded: Option<Loaded>,
    /// What the kernel remembers to have opened for us; here too, because rules can be flushed.
    openings: BTreeSet<Opening>,
    /// Ways of traffic rules that this process has made; `None`: another may have made some.
    pub(crate) ways: Option<Ways>,
    /// Processes that have done their work and have not ended yet.
    pub(crate) leaving: Vec<Child>,
}

/// A policy that is in the kernel.
pub(crate) struct Loaded {
    pub(crate) policy: Policy,
    /// What it was written as.
    pub(crate) written: Written,
    /// Whether nobody has changed rules since.
    pub(crate) sure: bool,
}

impl Guardian {
    /// Asks the kernel what it can, and changes nothing yet.
    pub fn new(config: &Config) -> Result<Self, GuardianError> {
        let mut netlink = Netlink::open()?;
        let ruleset = Ruleset::of(config)?;
        let abilities = abilities::ask(&ruleset, &mut netlink)?;
        Ok(Self {
            ruleset: ruleset.able(abilities),
            netns: config.node.netns(),
            netlink,
            sysctl: Sysctl::of_kernel(),
            watch: Watch::open()?,
            shaper: Shaper::open(&config.addressing()?.prefix)?,
            loaded: None,
            openings: BTreeSet::new(),
            ways: None,
            leaving: Vec::new(),
        })
    }

    /// What to wait for beside commands: [`Guardian::mend`] is due when one of them is readable.
    pub fn watched(&self) -> [BorrowedFd<'_>; 2] {
        self.watch.sockets()
    }

    /// Somebody changed rules or links of this host. What was ours is put back: `nft flush ruleset`, as a restart of
    /// the host's own firewall does, must not open what a policy has closed, and an uplink that was away comes back
    /// with the kernel's own settings.
    pub fn mend(&mut self) -> Result<(), GuardianError> {
        let changes = self.watch.drain();
        if changes.rules {
            let mark = self.policy_mark()?;
            let loaded = self.loaded.as_ref();
            let expected = loaded.map(|loaded| self.ruleset.mark(&loaded.policy));
            if mark.is_none() || (expected.is_some() && mark != expected) {
                tracing::warn!("somebody changed our rules; they are put back");
                let loaded = self.loaded.take();
                // What is there is not known any more; connections that were led still are.
                self.load(loaded.map(|loaded| loaded.policy).unwrap_or_default())?;
                self.open_uplink()?;
            } else if let Some(loaded) = &mut self.loaded {
                // Other rules, most likely. If it was one of ours, the next policy is written whole.
                loaded.sure = false;
            }
        }
        if changes.links {
            if let Some(ways) = &self.ways {
                way::open(ways, &self.ruleset, &mut self.netlink)?;
            }
            let gateway = self.ruleset.addressing().prefix.clone();
            if self.is_closed() || self.netlink.link(&gateway)?.is_none() {
                self.settle()?;
            }
            self.shaper.sweep()?;
        }
        Ok(())
    }

    /// The gateway is there and nothing is allowed that no policy allowed before. Idempotent.
    pub fn settle(&mut self) -> Result<(), GuardianError> {
        if self.policy_mark()?.is_none() {
            self.load(Policy::default())?;
        }
        let name = self.ruleset.addressing().prefix.clone();
        let gateway = if let Some(link) = self.netlink.link(&name)? {
            link
        } else {
            self.netlink.add_carrier(&name)?;
            self.found(&name)?
        };
        self.own_addresses(&gateway)?;
        self.netlink.set_up(&gateway)?;
        for (network, length) in self.networks() {
            self.netlink.close_network(network, length)?;
        }
        self.open_uplink()
    }

    /// Executes a command.
    pub fn execute(&mut self, command: Command) -> Reply {
        let done = match command {
            Command::Observe {} => return self.observe().unwrap_or_else(|error| refused(&error)),
            Command::Attach { instance, lease } => self.attach(&instance, lease),
            Command::Detach { lease } => self.detach(lease),
            Command::Apply { policy } => self.apply(policy),
        };
        done.map_or_else(|error| refused(&error), |()| Reply::Done {})
    }

    /// Takes everything away that any guardian of this configuration made.
    pub fn purge(&mut self) -> Result<(), GuardianError> {
        self.shaper.purge()?;
        let openings = nft::openings(&self.ruleset.addressing().prefix)?;
        for link in self.netlink.links()? {
            if self.place(&link.name).is_some() {
                self.netlink.delete(&link.name)?;
            }
        }
        way::remove_others(&Ways::default(), &self.ruleset, &mut self.netlink)?;
        self.netlink
            .delete(&self.ruleset.addressing().prefix.clone())?;
        for (network, length) in self.networks() {
            self.netlink.forget_network(network, length)?;
        }
        for opening in openings {
            opening.close(&self.sysctl, self.ruleset.uplink())?;
        }
        Ok(self.transact(&self.ruleset.removal(), "delete the table")?)
    }

    /// The networks of the applications.
    fn networks(&self) -> [(IpAddr, u8); 2] {
        let addressing = self.ruleset.addressing();
        let ((v4, length4), (v6, length6)) = (addressing.subnet4, addressing.subnet6);
        [(IpAddr::V4(v4), length4), (IpAddr::V6(v6), length6)]
    }

    fn observe(&mut self) -> Result<Reply, GuardianError> {
        let links = self.netlink.links()?;
        let mut places: Vec<LeaseNumber> = links
            .iter()
            .filter(|link| link.up && link.far.is_some())
            .filter_map(|link| self.place(&link.name))
            .collect();
        places.sort_unstable();
        let mark = self.policy_mark()?;
        let policy = mark
            .as_deref()
            // Links to come need the rates and the ways, which only their policy tells: it has to be said again.
            .filter(|mark| self.is_told() || !mark.ends_with(MORE))
            .and_then(|mark| self.ruleset.fingerprint_in(mark));
        Ok(Reply::Observed {
            links: places,
            policy: policy.map(str::to_owned),
            abilities: Abilities {
                bandwidth: self.shaper.is_able(),
                ..self.ruleset.abilities()
            },
        })
    }

    fn attach(&mut self, instance: &InstanceId, lease: Lease) -> Result<(), GuardianError> {
        self.ruleset.check_lease(lease)?;
        let name = self.ruleset.addressing().link(lease.number);
        let namespace = self.namespace(instance)?;
        let there = self.netlink.namespace_number(namespace.as_fd())?;
        let old = self.netlink.link(&name)?;
        let link = match old {
            Some(link) if link.far.is_some() && link.far == there => link,
            wrong => {
                if wrong.is_some() {
                    self.netlink.delete(&name)?;
                }
                self.netlink.add_pair(&name, namespace.as_fd())?;
                self.found(&name)?
            }
        };
        self.prepare(&name)?;
        // Before anything passes.
        self.shaper.follow(lease.number)?;
        // IPv6 drops addresses of a link that is down, and its own link-local one comes with going up.
        self.netlink.set_up(&link)?;
        self.own_addresses(&link)?;
        let addressing = self.ruleset.addressing();
        let (gateway4, gateway6) = (addressing.gateway4, addressing.gateway6);
        self.netlink
            .add_route(&link, IpAddr::V4(lease.v4), IpAddr::V4(gateway4))?;
        self.netlink
            .add_route(&link, IpAddr::V6(lease.v6), IpAddr::V6(gateway6))?;
        Ok(())
    }

    fn detach(&mut self, lease: Lease) -> Result<(), GuardianError> {
        self.ruleset.check_lease(lease)?;
        let name = self.ruleset.addressing().link(lease.number);
        self.netlink.delete(&name)?;
        Ok(self.shaper.follow(lease.number)?)
    }

    fn apply(&mut self, policy: Policy) -> Result<(), GuardianError> {
        // Before the rules, which say that the policy is in force.
        let before = self.shaper.apply(&policy.bandwidth)?;
        let mark = self.ruleset.mark(&policy);
        if let Err(error) = self.load(policy) {
            // What comes after the rules may fail too; then they are in force, and the rates with them.
            if self.policy_mark()?.is_none_or(|there| there != mark) {
                self.shaper.go_back(before);
            }
            return Err(error);
        }
        if self.is_closed() {
            self.open_uplink()?;
        }
        Ok(())
    }

    /// Whether edged has said a policy to this process.
    fn is_told(&self) -> bool {
        self.shaper.is_told() && self.ways.is_some()
    }

    fn policy_mark(&self) -> Result<Option<String>, NftError> {
        nft::policy_mark(&self.ruleset.addressing().prefix)
    }

    /// Whether something that applications need is closed: two or three files, no process.
    fn is_closed(&self) -> bool {
        !Opening::missing(&self.sysctl, self.ruleset.uplink()).is_empty()
    }

    /// Lets packets in by the uplink reach applications, and nothing else: what was closed is remembered and stays
    /// closed for everybody else by a rule that is there first.
    pub(crate) fn open_uplink(&mut self) -> Result<(), GuardianError> {
        let known = nft::openings(&self.ruleset.addressing().prefix)?;
        let uplink = self.ruleset.uplink().map(str::to_owned);
        let uplink = uplink.as_deref();
        self.openings.extend(&known);
        self.openings.extend(Opening::missing(&self.sysctl, uplink));
        if self.openings != known {
            let text = self.ruleset.openings(&self.openings);
            self.transact(&text, "keep the uplink closed")?;
        }
        for opening in &self.openings {
            opening.open(&self.sysctl, uplink)?;
        }
        Ok(())
    }

    /// The settings of a link to an application.
    fn prepare(&self, link: &str) -> Result<(), SysctlError> {
        for (setting, value) in [
            ("ipv4/conf/LINK/forwarding", "1"),
            // Answers for the gateway alone, not for the box's other addresses.
            ("ipv4/conf/LINK/arp_ignore", "1"),
            ("ipv4/conf/LINK/rp_filter", "1"),
            ("ipv4/conf/LINK/accept_redirects", "0"),
            ("ipv4/conf/LINK/send_redirects", "0"),
            // 127.0.0.1:PORT of the box leads to published ports; the rules keep applications from it.
            ("ipv4/conf/LINK/route_localnet", "1"),
            ("ipv6/conf/LINK/accept_ra", "0"),
            ("ipv6/conf/LINK/accept_redirects", "0"),
            // Nobody else is on the link, so nobody is asked whether the address is taken.
            ("ipv6/conf/LINK/accept_dad", "0"),
        ] {
            self.sysctl.set(&setting.replace("LINK", link), value)?;
        }
        if self.sysctl.has_force_forwarding() {
            let setting = format!("ipv6/conf/{link}/force_forwarding");
            self.sysctl.set(&setting, "1")?;
        }
        Ok(())
    }

    fn own_addresses(&mut self, link: &Link) -> Result<(), NetlinkError> {
        // On every link, because the box answers neighbour discovery (and, with arp_ignore, ARP) only for addresses of
        // the link that the question comes by.
        let addressing = self.ruleset.addressing();
        let (gateway4, gateway6) = (addressing.gateway4, addressing.gateway6);
        self.netlink.add_address(link, IpAddr::V4(gateway4))?;
        self.netlink.add_address(link, IpAddr::V6(gateway6))
    }

    fn found(&mut self, name: &str) -> Result<Link, NetlinkError> {
        self.netlink.link(name)?.ok_or_else(|| NetlinkError {
            operation: format!("find the link {name} that was just made"),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn namespace(&self, instance: &InstanceId) -> Result<File, GuardianError> {
        let path = self.netns.join(instance.as_str());
        let open = || {
            let file = File::open(&path)?;
            let (there, here) = (file.metadata()?, std::fs::metadata("/proc/self/ns/net")?);
            Ok((file, there.ino() == here.ino() && there.dev() == here.dev()))
        };
        match open() {
            Ok((file, false)) => Ok(file),
            Ok((_, true)) => Err(GuardianError::HostNamespace(path)),
            Err(source) => Err(GuardianError::Namespace { path, source }),
        }
    }

    /// Which place's link has this name.
    fn place(&self, name: &str) -> Option<LeaseNumber> {
        let addressing = self.ruleset.addressing();
        let digits = name.strip_prefix(&addressing.prefix)?.strip_prefix('v')?;
        let number = LeaseNumber::try_from(digits.parse::<u16>().ok()?).ok()?;
        // "007" is not how we write 7.
        (addressing.link(number) == name).then_some(number)
    }
}

fn refused(error: &GuardianError) -> Reply {
    tracing::warn!(%error, "refused");
    Reply::Refused(error.refusal())
}
