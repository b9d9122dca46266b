//! Every bound of the door, with its reason.

use std::time::Duration;

/// Clients at once: a fleet's worth of operators and scripts; each costs up to a few hundred KiB.
pub const CONNECTIONS: usize = 64;
/// Clients at once that have not shown a key; beyond it newcomers are turned away, so a flood of
/// strangers holds little memory and never an operator's place.
pub const STRANGERS: usize = 16;
/// Time to show a key, as a person with a hardware token needs it at most.
pub const LOGIN_TIME: Duration = Duration::from_secs(20);
/// Refused attempts a connection: as sshd has it, for agents that hold several keys.
pub(crate) const ATTEMPTS: usize = 6;
/// Every refusal takes at least this long, so its time tells nothing about the reason.
pub(crate) const REFUSAL_TIME: Duration = Duration::from_millis(100);
/// Channels at once on one connection: what a multiplexing client opens at the same time.
pub const CHANNELS: usize = 8;
/// Bytes of input that wait for a verb before its connection is read no more.
pub const INPUT_HELD: usize = 256 << 10;
/// Bytes a client may send on a channel before it hears from us.
pub(crate) const WINDOW: u32 = 1 << 20;
/// The longest packet; every SSH implementation takes it (RFC 4253, 6.1).
pub(crate) const PACKET: u32 = 32 << 10;
/// Messages russh buffers for a channel's writer before it waits.
pub(crate) const EVENTS: usize = 10;
/// The longest line of a verb: Linux takes no longer single argument either.
pub(crate) const LINE_MAX: usize = 128 << 10;
/// The longest packet of SFTP: 32 KiB of data, as every client sends, and room for what stands in front of it.
pub(crate) const SFTP_PACKET: usize = 64 << 10;
/// The largest upload: an image fills a slot of 96 MiB at most, and its bundle is little larger.
pub(crate) const UPLOAD_MAX: u64 = 128 << 20;
/// Room that an upload leaves on its partition, for the database and the records of applications.
pub(crate) const UPLOAD_SPARE: u64 = 16 << 20;
/// A silent client is asked whether it lives.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// Unanswered questions after which it does not.
pub(crate) const KEEPALIVES: usize = 4;
/// The largest file of operators' keys: some hundred keys; a bigger one is a mistake.
pub(crate) const KEYS_MAX: u64 = 64 << 10;
/// The largest host key file; an ed25519 key has less than a KiB.
pub(crate) const HOST_KEY_MAX: u64 = 16 << 10;
/// Pause after a failed accept, as when descriptors run out: they come back when clients leave.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for running connections to hear of a shutdown.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
/// Time without any traffic, keepalives included, after which a connection is given up.
pub(crate) const IDLE: Duration = Duration::from_secs(600);
