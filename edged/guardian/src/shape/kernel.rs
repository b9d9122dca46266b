//! What the kernel has, and one action upon it at a time.

use std::collections::BTreeMap;
use std::io;

use edged_model::LeaseNumber;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::tc::{TcHandle, TcMessage};

use super::plan::{Action, Device, Led, Root, Seen};
use super::program::Program;
use super::tree::{Class, Filter, FilterKey, Tree};
use super::wire;
use crate::link::Link;
use crate::netlink::{Netlink, NetlinkError};

/// Packets that may wait in a detour, as many as in an Ethernet device; its own default, 32, is less than one burst.
const DETOUR_PACKETS: u32 = 1000;
/// The priority of the filter that leads to the detour; there is no other.
const LEAD: u16 = 1;
/// No such file or directory (errno(3)): no such scheduler.
const ENOENT: i32 = 2;
/// Invalid argument: what the kernel says of the scheduler of a device that is down and has none.
const EINVAL: i32 = 22;
/// No such device: it went with its application since it was listed, and all that was on it.
const ENODEV: i32 = 19;

/// The packet schedulers of our devices.
pub struct Kernel {
    netlink: Netlink,
    prefix: String,
    /// Numbers of devices, as of the last look.
    devices: BTreeMap<Device, u32>,
}

impl Kernel {
    pub fn open(prefix: &str) -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
            prefix: prefix.to_owned(),
            devices: BTreeMap::new(),
        })
    }

    /// What is there, at one place or at all.
    pub fn look(
        &mut self,
        only: Option<LeaseNumber>,
    ) -> Result<BTreeMap<LeaseNumber, Seen>, NetlinkError> {
        self.devices.clear();
        let mut seen: BTreeMap<LeaseNumber, Seen> = BTreeMap::new();
        for (device, link) in self.ours()? {
            let (Device::Link(place) | Device::Detour(place)) = device;
            if only.is_some_and(|only| only != place) {
                continue;
            }
            let Some(root) = unless_gone(self.root(&link))? else {
                continue;
            };
            self.devices.insert(device, link.index);
            let seen = seen.entry(place).or_default();
            match device {
                Device::Link(_) => seen.link = Some(root),
                Device::Detour(_) => {
                    (seen.detour, seen.detour_up) = (Some(root), link.up);
                }
            }
        }
        for (place, seen) in &mut seen {
            if seen.link.is_some() {
                seen.led = unless_gone(self.led(*place))?.unwrap_or(Led::Straight);
            }
        }
        Ok(seen)
    }

    /// Places whose link went and whose detour did not.
    pub fn left(&mut self) -> Result<Vec<LeaseNumber>, NetlinkError> {
        let ours = self.ours()?;
        let detours = ours.keys().filter_map(|device| match device {
            Device::Detour(place) => Some(*place),
            Device::Link(_) => None,
        });
        Ok(detours
            .filter(|place| !ours.contains_key(&Device::Link(*place)))
            .collect())
    }

    fn ours(&mut self) -> Result<BTreeMap<Device, Link>, NetlinkError> {
        let links = self.netlink.links()?.into_iter();
        Ok(links
            .filter_map(|link| Some((self.device(&link.name)?, link)))
            .collect())
    }

    fn name(&self, device: Device) -> String {
        match device {
            Device::Link(place) => format!("{}v{}", self.prefix, place.get()),
            Device::Detour(place) => format!("{}i{}", self.prefix, place.get()),
        }
    }

    fn device(&self, name: &str) -> Option<Device> {
        let rest = name.strip_prefix(&self.prefix)?;
        let place = |digits: &str| LeaseNumber::try_from(digits.parse::<u16>().ok()?).ok();
        let device = match rest.split_at_checked(1)? {
            ("v", digits) => Device::Link(place(digits)?),
            ("i", digits) => Device::Detour(place(digits)?),
            _ => return None,
        };
        // "007" is not how we write 7.
        (self.name(device) == name).then_some(device)
    }

    /// The scheduler at a place of a device, or none.
    fn scheduler(&mut self, index: u32, at: TcHandle) -> Result<Option<TcMessage>, NetlinkError> {
        let question = wire::message(index, at, TcHandle::UNSPEC);
        let question = RouteNetlinkMessage::GetQueueDiscipline(question);
        // The kernel answers by news, and tells them to whoever asks only if they say so.
        match self
            .netlink
            .ask(question, NLM_F_ECHO, "look for a packet scheduler")
        {
            Ok(answers) => Ok(answers.into_iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewQueueDiscipline(message) => Some(message),
                _ => None,
            })),
            Err(error) if matches!(error.source.raw_os_error(), Some(ENOENT | EINVAL)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn root(&mut self, link: &Link) -> Result<Root, NetlinkError> {
        let root = self.scheduler(link.index, TcHandle::ROOT)?;
        let ours = root.is_some_and(|root| {
            wire::kind(&root) == Some(wire::HTB) && root.header.handle == wire::ROOT
        });
        if !ours {
            return Ok(Root::Plain);
        }
        let mut tree = Tree::default();
        let question = wire::message(link.index, TcHandle::UNSPEC, TcHandle::UNSPEC);
        let question = RouteNetlinkMessage::GetTrafficClass(question);
        for answer in self.netlink.dump(question, "list the rates of a link")? {
            if let RouteNetlinkMessage::NewTrafficClass(message) = answer
                && let Some((rate, buffer)) = wire::class_of(&message)
            {
                let handle = message.header.handle;
                let queue = self.scheduler(link.index, handle)?;
                let queue = queue.filter(|queue| wire::kind(queue) == Some(wire::FIFO));
                let class = Class {
                    rate,
                    buffer,
                    // A queue that is not as ours differs from every wish.
                    queue: queue.as_ref().and_then(wire::queue_of).unwrap_or_default(),
                };
                tree.classes.insert(handle.minor, class);
            }
        }
        for (key, leads) in self.filters(link.index, wire::ROOT)? {
            let filter = Filter {
                class: leads.class.unwrap_or_default().minor,
                program: leads.program,
            };
            tree.filters.insert(key, filter);
        }
        Ok(Root::Tree(tree))
    }

    fn filters(
        &mut self,
        index: u32,
        at: TcHandle,
    ) -> Result<Vec<(FilterKey, wire::Leads)>, NetlinkError> {
        let question = wire::message(index, at, TcHandle::UNSPEC);
        let question = RouteNetlinkMessage::GetTrafficFilter(question);
        let answers = self.netlink.dump(question, "list the filters of a link")?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewTrafficFilter(message) => {
                    let priority = wire::filter_priority(message.header.info);
                    let key = (priority, u32::from(message.header.handle));
                    Some((key, wire::filter_of(&message)?))
                }
                _ => None,
            })
            .collect())
    }

    fn led(&mut self, place: LeaseNumber) -> Result<Led, NetlinkError> {
        let Some(&link) = self.devices.get(&Device::Link(place)) else {
            return Ok(Led::Straight);
        };
        let incoming = self.scheduler(link, TcHandle::INGRESS)?;
        if incoming.is_none_or(|incoming| wire::kind(&incoming) != Some(wire::INGRESS)) {
            return Ok(Led::Straight);
        }
        let filters = self.filters(link, wire::INCOMING)?;
        let detour = self.devices.get(&Device::Detour(place)).copied();
        let led = matches!(filters.as_slice(), [((LEAD, 1), leads)]
            if leads.device.is_some() && leads.device == detour && leads.program == Program::always());
        Ok(if led { Led::Detour } else { Led::Elsewhere })
    }

    /// Does one thing.
    pub fn perform(&mut self, action: &Action) -> Result<(), NetlinkError> {
        match action {
            Action::MakeDetour(place) => {
                let name = self.name(Device::Detour(*place));
                let index = self.make_detour(&name)?;
                self.devices.insert(Device::Detour(*place), index);
                Ok(())
            }
            Action::RemoveDetour(place) => {
                let name = self.name(Device::Detour(*place));
                self.netlink.delete(&name)
            }
            Action::Lead(place) => {
                let link = self.index(Device::Link(*place))?;
                let detour = self.index(Device::Detour(*place))?;
                self.lead(link, detour)
            }
            Action::Straighten(place) => {
                let link = self.index(Device::Link(*place))?;
                let message = wire::message(link, TcHandle::INGRESS, wire::INCOMING);
                self.take(
                    RouteNetlinkMessage::DelQueueDiscipline(message),
                    "let the packets from an application go straight",
                )
            }
            Action::Plant(device) => {
                let index = self.index(*device)?;
                self.plant(index)
            }
            Action::Uproot(device) => {
                let message = wire::message(self.index(*device)?, TcHandle::ROOT, wire::ROOT);
                let message = RouteNetlinkMessage::DelQueueDiscipline(message);
                self.take(message, "take the rates off a link")
            }
            Action::SetClass(device, number, class) => {
                let index = self.index(*device)?;
                self.set_class(index, *number, class)
            }
            Action::RemoveClass(device, number) => {
                let handle = wire::class_handle(*number);
                let message = wire::message(self.index(*device)?, TcHandle::UNSPEC, handle);
                let message = RouteNetlinkMessage::DelTrafficClass(message);
                self.take(message, "take a rate off a link")
            }
            Action::SetFilter(device, key, filter) => {
                let index = self.index(*device)?;
                let options = wire::class_filter(filter.class, &filter.program);
                self.set_filter(index, wire::ROOT, *key, options)
            }
            Action::RemoveFilter(device, (priority, number)) => {
                let handle = TcHandle::from(*number);
                let mut message =
                    wire::message_of(self.index(*device)?, (wire::ROOT, handle), wire::BPF, None);
                message.header.info = wire::filter_info(*priority);
                let message = RouteNetlinkMessage::DelTrafficFilter(message);
                self.take(message, "take a filter off a link")
            }
        }
    }

    /// Whether the kernel does all that is asked of it here: tried on a device of its own, which goes again.
    pub fn try_out(&mut self) -> Result<(), NetlinkError> {
        // No place has the number 0.
        let name = format!("{}i0", self.prefix);
        let tried = self.try_with(&name);
        self.netlink.delete(&name)?;
        tried
    }

    fn try_with(&mut self, name: &str) -> Result<(), NetlinkError> {
        let index = self.make_detour(name)?;
        self.plant(index)?;
        let class = Class {
            rate: 1_000_000,
            buffer: 1_000_000,
            queue: 1_000_000,
        };
        self.set_class(index, 1, &class)?;
        let options = wire::class_filter(1, &Program::always());
        self.set_filter(index, wire::ROOT, (1, 1), options)?;
        self.lead(index, index)
    }

    fn make_detour(&mut self, name: &str) -> Result<u32, NetlinkError> {
        // One that is there was left half made.
        self.netlink.delete(name)?;
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::TxQueueLen(DETOUR_PACKETS),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]),
        ];
        let operation = format!("make the device {name} (ifb)");
        let message = RouteNetlinkMessage::NewLink(message);
        self.tell(message, NLM_F_CREATE | NLM_F_EXCL, &operation)?;
        let link = self.netlink.link(name)?.ok_or_else(|| NetlinkError {
            operation: format!("find the device {name} that was just made"),
            source: io::ErrorKind::NotFound.into(),
        })?;
        self.without_addresses(&link)?;
        self.netlink.set_up(&link)?;
        Ok(link.index)
    }

    /// Nobody is to speak over it, not even the kernel about IPv6 neighbours.
    fn without_addresses(&mut self, link: &Link) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message
            .attributes
            .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
                vec![mode],
            )]));
        let operation = format!("keep addresses from the device {}", link.name);
        self.tell(RouteNetlinkMessage::SetLink(message), 0, &operation)
    }

    fn plant(&mut self, index: u32) -> Result<(), NetlinkError> {
        let options = Some(wire::root_options());
        let at = (TcHandle::ROOT, wire::ROOT);
        let message = wire::message_of(index, at, wire::HTB, options);
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        let operation = "prepare a link for rates";
        self.tell(message, NLM_F_CREATE | NLM_F_REPLACE, operation)
    }

    fn set_class(&mut self, index: u32, number: u16, class: &Class) -> Result<(), NetlinkError> {
        let handle = wire::class_handle(number);
        let at = (TcHandle::ROOT, handle);
        let message = wire::message_of(index, at, wire::HTB, Some(wire::class_options(class)));
        let message = RouteNetlinkMessage::NewTrafficClass(message);
        self.tell(message, NLM_F_CREATE, "set a rate of a link")?;
        let at = (handle, wire::queue_handle(number));
        let message = wire::message_of(index, at, wire::FIFO, Some(wire::queue_options(class)));
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        let operation = "set the queue of a rate of a link";
        self.tell(message, NLM_F_CREATE | NLM_F_REPLACE, operation)
    }

    fn set_filter(
        &mut self,
        index: u32,
        at: TcHandle,
        (priority, number): FilterKey,
        options: Vec<u8>,
    ) -> Result<(), NetlinkError> {
        let at = (at, TcHandle::from(number));
        let mut message = wire::message_of(index, at, wire::BPF, Some(options));
        message.header.info = wire::filter_info(priority);
        let message = RouteNetlinkMessage::NewTrafficFilter(message);
        self.tell(
            message,
            NLM_F_CREATE | NLM_F_REPLACE,
            "set a filter of a link",
        )
    }

    fn lead(&mut self, link: u32, detour: u32) -> Result<(), NetlinkError> {
        let at = (TcHandle::INGRESS, wire::INCOMING);
        let message = wire::message_of(link, at, wire::INGRESS, None);
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        let operation = "look at the packets from an application";
        self.tell(message, NLM_F_CREATE | NLM_F_REPLACE, operation)?;
        let options = wire::device_filter(detour, &Program::always());
        self.set_filter(link, wire::INCOMING, (LEAD, 1), options)
    }

    fn index(&self, device: Device) -> Result<u32, NetlinkError> {
        self.devices
            .get(&device)
            .copied()
            .ok_or_else(|| NetlinkError {
                operation: format!("find the device {}", self.name(device)),
                source: io::ErrorKind::NotFound.into(),
            })
    }

    fn tell(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: &str,
    ) -> Result<(), NetlinkError> {
        self.netlink.ask(message, flags, operation).map(drop)
    }

    /// Takes something away. With its device it has gone already.
    fn take(&mut self, message: RouteNetlinkMessage, operation: &str) -> Result<(), NetlinkError> {
        unless_gone(self.tell(message, 0, operation)).map(drop)
    }
}

/// `None` where the device went meanwhile: what an application had goes with it, whenever that is.
fn unless_gone<T>(asked: Result<T, NetlinkError>) -> Result<Option<T>, NetlinkError> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.source.raw_os_error() == Some(ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}
