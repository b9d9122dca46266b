//! What the kernel's packet schedulers write and read: attributes that the netlink crates leave to their users. Pure.
//!
//! Numbers are in the byte order of the machine, as in all of rtnetlink(7).

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlaBuffer, NlasIterator};
use netlink_packet_route::tc::{
    TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption,
};

use super::program::Program;
use super::tree::Class;

/// Our trees' root: a number that nobody takes by chance.
pub const ROOT: TcHandle = TcHandle {
    major: 0xed00,
    minor: 0,
};
/// Where filters of packets that come in hang.
pub const INCOMING: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0,
};

/// `TCA_OPTIONS` (`linux/rtnetlink.h`).
const OPTIONS: u16 = 2;

/// `TCA_HTB_PARMS`, `_INIT`, `_DIRECT_QLEN`, `_RATE64`, `_CEIL64` (`linux/pkt_sched.h`, as all of HTB here).
const HTB_PARAMETERS: u16 = 1;
const HTB_INIT: u16 = 2;
const HTB_DIRECT: u16 = 5;
const HTB_RATE64: u16 = 6;
const HTB_CEIL64: u16 = 7;
/// Third version of its interface.
const HTB_VERSION: u32 = 3;
/// A divisor of rates that goes unused, because every class says its quantum.
const HTB_RATE_TO_QUANTUM: u32 = 10;
/// Packets without a rate that may wait for the device, as many as an Ethernet device takes.
const HTB_DIRECT_PACKETS: u32 = 1000;
/// `TC_LINKLAYER_ETHERNET`: packets cost what they are long.
const ETHERNET: u8 = 1;
/// What a class sends at its turn beside others that borrow; ours do not borrow. One full frame.
const QUANTUM: u32 = 1514;
/// Where `struct tc_htb_opt` has the rate (in `struct tc_ratespec`) and the buffer.
const RATE_AT: usize = 8;
const BUFFER_AT: usize = 24;

/// `TCA_BPF_ACT`, `_CLASSID`, `_OPS_LEN`, `_OPS` (`linux/pkt_cls.h`).
const BPF_ACTION: u16 = 1;
const BPF_CLASS: u16 = 3;
const BPF_LENGTH: u16 = 4;
const BPF_CODE: u16 = 5;
/// Length of `struct sock_filter`.
const INSTRUCTION: usize = 8;
/// `TCA_ACT_KIND` and `TCA_ACT_OPTIONS`.
const ACTION_KIND: u16 = 1;
const ACTION_OPTIONS: u16 = 2;
/// `TCA_MIRRED_PARMS` (`linux/tc_act/tc_mirred.h`): a `struct tc_mirred`, which ends with the device.
const MIRRED_PARAMETERS: u16 = 2;
const MIRRED_DEVICE_AT: usize = 24;
/// `TC_ACT_STOLEN`: the packet goes there and not here.
const STOLEN: u32 = 4;
/// `TCA_EGRESS_REDIR`.
const REDIRECT: u32 = 1;
/// `ETH_P_ALL`: the programs look themselves.
const EVERY_PROTOCOL: u16 = 3;

/// The kind of queue that shares rates.
pub const HTB: &str = "htb";
/// The kind of queue that is counted in bytes.
pub const FIFO: &str = "bfifo";
/// The kind of root for packets that come in.
pub const INGRESS: &str = "ingress";
/// The kind of filter.
pub const BPF: &str = "bpf";

/// A message about a device's schedulers.
pub fn message(device: u32, parent: TcHandle, handle: TcHandle) -> TcMessage {
    let header = TcHeader {
        index: i32::try_from(device).unwrap_or_default(),
        parent,
        handle,
        ..TcHeader::default()
    };
    TcMessage::from_parts(header, Vec::new())
}

/// As [`message`], with its kind and options.
pub fn message_of(
    device: u32,
    (parent, handle): (TcHandle, TcHandle),
    kind: &str,
    options: Option<Vec<u8>>,
) -> TcMessage {
    let mut message = message(device, parent, handle);
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    let options = options.map(|bytes| TcAttribute::Other(DefaultNla::new(OPTIONS, bytes)));
    message.attributes.extend(options);
    message
}

/// The class of our tree with a number.
pub fn class_handle(number: u16) -> TcHandle {
    TcHandle {
        major: ROOT.major,
        minor: number,
    }
}

/// The queue in it.
pub fn queue_handle(number: u16) -> TcHandle {
    TcHandle {
        major: number,
        minor: 0,
    }
}

/// Priority and protocol of a filter, as the header has them.
pub fn filter_info(priority: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(EVERY_PROTOCOL.to_be())
}

/// The priority in it.
pub fn filter_priority(info: u32) -> u16 {
    u16::try_from(info >> 16).unwrap_or_default()
}

/// Options of the root: what no filter leads to a class passes at once.
pub fn root_options() -> Vec<u8> {
    let init = [HTB_VERSION, HTB_RATE_TO_QUANTUM, 0, 0, 0];
    nested(&[
        DefaultNla::new(HTB_INIT, numbers(&init)),
        DefaultNla::new(HTB_DIRECT, numbers(&[HTB_DIRECT_PACKETS])),
    ])
}

/// Options of a class.
pub fn class_options(class: &Class) -> Vec<u8> {
    // Cells and their overhead are of other link layers.
    let mut rate = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    let small = u32::try_from(class.rate).unwrap_or(u32::MAX);
    rate.extend(small.to_ne_bytes());
    let mut parameters = [rate.clone(), rate].concat();
    parameters.extend(numbers(&[class.buffer, class.buffer, QUANTUM, 0, 0]));
    let mut options = vec![DefaultNla::new(HTB_PARAMETERS, parameters)];
    if class.rate >= u64::from(u32::MAX) {
        let rate = class.rate.to_ne_bytes().to_vec();
        options.push(DefaultNla::new(HTB_RATE64, rate.clone()));
        options.push(DefaultNla::new(HTB_CEIL64, rate));
    }
    nested(&options)
}

/// Options of a queue counted in bytes (`struct tc_fifo_qopt`).
pub fn queue_options(class: &Class) -> Vec<u8> {
    numbers(&[class.queue])
}

/// Options of a filter that leads to a class.
pub fn class_filter(class: u16, program: &Program) -> Vec<u8> {
    let handle = u32::from(class_handle(class));
    let class = DefaultNla::new(BPF_CLASS, numbers(&[handle]));
    nested(&[code(program).as_slice(), &[class]].concat())
}

/// Options of a filter that leads to another device.
pub fn device_filter(device: u32, program: &Program) -> Vec<u8> {
    let parameters = numbers(&[0, 0, STOLEN, 0, 0, REDIRECT, device]);
    let mirred = nested(&[
        DefaultNla::new(ACTION_KIND, b"mirred\0".to_vec()),
        DefaultNla::new(
            ACTION_OPTIONS | NLA_F_NESTED,
            nested(&[DefaultNla::new(MIRRED_PARAMETERS, parameters)]),
        ),
    ]);
    // The first action, and the only one.
    let actions = nested(&[DefaultNla::new(1 | NLA_F_NESTED, mirred)]);
    let action = DefaultNla::new(BPF_ACTION | NLA_F_NESTED, actions);
    nested(&[code(program).as_slice(), &[action]].concat())
}

fn code(program: &Program) -> [DefaultNla; 2] {
    let length = u16::try_from(program.0.len() / INSTRUCTION).unwrap_or(u16::MAX);
    [
        DefaultNla::new(BPF_LENGTH, length.to_ne_bytes().to_vec()),
        DefaultNla::new(BPF_CODE, program.0.clone()),
    ]
}

/// The kind that a message tells.
pub fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| {
        if let TcAttribute::Kind(kind) = attribute {
            Some(kind.as_str())
        } else {
            None
        }
    })
}

/// The rate in bytes a second and the buffer in ticks of a class of HTB.
pub fn class_of(message: &TcMessage) -> Option<(u64, u32)> {
    let options = options(message)?;
    let parameters = within(&options, HTB_PARAMETERS)?;
    let rate = match within(&options, HTB_RATE64) {
        Some(rate) => u64::from_ne_bytes(rate.try_into().ok()?),
        None => number(&parameters, RATE_AT)?.into(),
    };
    Some((rate, number(&parameters, BUFFER_AT)?))
}

/// The bytes that a queue takes.
pub fn queue_of(message: &TcMessage) -> Option<u32> {
    number(&options(message)?, 0)
}

/// Where a filter leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leads {
    /// The class.
    pub class: Option<TcHandle>,
    /// The device.
    pub device: Option<u32>,
    /// Which packets.
    pub program: Program,
}

/// What a filter of ours does.
pub fn filter_of(message: &TcMessage) -> Option<Leads> {
    let mut leads = Leads {
        class: None,
        device: None,
        program: Program(Vec::new()),
    };
    let lists = message.attributes.iter().filter_map(|attribute| {
        if let TcAttribute::Options(options) = attribute {
            Some(options)
        } else {
            None
        }
    });
    for option in lists.flatten() {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ClassId(class)) => leads.class = Some(*class),
            TcOption::Bpf(TcFilterBpfOption::Other(other)) => match raw(other) {
                (BPF_CODE, code) => leads.program = Program(code),
                (BPF_ACTION, actions) => {
                    let device = within(&actions, 1)
                        .and_then(|action| within(&action, ACTION_OPTIONS))
                        .and_then(|options| within(&options, MIRRED_PARAMETERS))
                        .and_then(|parameters| number(&parameters, MIRRED_DEVICE_AT));
                    leads.device = device;
                }
                _ => {}
            },
            _ => {}
        }
    }
    (!leads.program.0.is_empty()).then_some(leads)
}

/// The options of a kind that the crate does not know: their bytes.
fn options(message: &TcMessage) -> Option<Vec<u8>> {
    message.attributes.iter().find_map(|attribute| {
        let TcAttribute::Options(options) = attribute else {
            return None;
        };
        match options.as_slice() {
            [TcOption::Other(other)] => Some(raw(other).1),
            _ => None,
        }
    })
}

/// Kind and value of an attribute.
fn raw(attribute: &DefaultNla) -> (u16, Vec<u8>) {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    let buffer = NlaBuffer::new(bytes.as_slice());
    (buffer.kind(), buffer.value().to_vec())
}

/// The value of an attribute among others.
fn within(bytes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let attributes = NlasIterator::new(bytes).flatten();
    let mut found = attributes.filter(|attribute| attribute.kind() == kind);
    found.next().map(|attribute| attribute.value().to_vec())
}

fn nested(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
