//! The door: an SSH server that takes keys and verbs, nothing else.
//!
//! [`SshServer::bind`] opens the listeners with a [`HostKey`]; [`SshServer::run`] serves a
//! [`edged_console::Platform`] until told to stop. A session's `exec` line goes to the console as it is; its
//! standard input streams in, its output streams out, and its exit code comes back.
//!
//! It refuses to be a login service: public keys only, no password, no shell (a shell request prints the verbs), no
//! program behind a terminal (one is granted because clients insist: it turns line ends and hears Ctrl-C), no forwarding of ports, sockets, agents or X11, no
//! environment, no subsystem but [`sftp`], by which an operator puts down one file. An unknown key, a wrong user name and an unreadable key file all look the same.
//!
//! Tasks: one that accepts, one a connection (inside russh), one a running verb, owned by its connection: when the
//! client goes, its verbs are dropped. Input waits in a queue a channel; while one holds more than
//! [`INPUT_HELD`] bytes its connection is not read, so TCP makes the client wait. Output waits for the client's window.
//!
//! Invariants: at most [`CONNECTIONS`] clients, at most [`STRANGERS`] that have not shown a key, each for at most
//! [`LOGIN_TIME`]; whoever came by a certificate is gone when it ends; the private host key is readable by its owner alone.

mod algorithms;
mod bounds;
mod certificate;
mod config;
mod connection;
mod cooked;
mod error;
mod host_certificate;
mod host_key;
mod intake;
mod operators;
mod server;
mod sftp;

pub use bounds::{CHANNELS, CONNECTIONS, INPUT_HELD, LOGIN_TIME, STRANGERS};
pub use certificate::{CertificateError, LIFE_MAX, certify_operator};
pub use config::{Commissioning, SshConfig};
pub use error::SshError;
pub use host_certificate::known_hosts_line;
pub use host_key::HostKey;
pub use operators::{Operator, read_keys};
pub use server::SshServer;
