//! One message in, at most one message out: the fast path, then the slow path, then the upstreams.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::answer::{Transport, Verdict, answer};
use crate::counters::add;
use crate::directory::Directory;
use crate::forward::Forwarder;
use crate::query::{Parsed, parse};
use crate::unusual::{Judged, judge};

/// What to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send what was written.
    Send,
    /// Ask the upstreams.
    Forward,
    /// Nothing.
    Ignore,
}

/// The answers, shared by all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Responder {
    pub(crate) directory: Directory,
    forwarder: Arc<Forwarder>,
}

impl Responder {
    pub(crate) fn new(directory: Directory, upstreams: Vec<SocketAddr>) -> Self {
        Self {
            directory,
            forwarder: Arc::new(Forwarder::new(upstreams)),
        }
    }

    /// Answers from the table into `out`. Never waits for anything outside this process.
    pub(crate) async fn respond(
        &self,
        packet: &[u8],
        source: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Next {
        let counters = self.directory.counters();
        add(&counters.queries);
        match parse(packet) {
            Parsed::Plain(query) => {
                let verdict = self
                    .directory
                    .with_table(|table| answer(table, &query, source.ip(), transport, out));
                match verdict {
                    Verdict::Answered => Next::Send,
                    Verdict::Refused => {
                        add(&counters.refused);
                        Next::Send
                    }
                    Verdict::Forward => Next::Forward,
                }
            }
            Parsed::Unusual => {
                add(&counters.unusual);
                self.respond_unusual(packet, source, transport, out).await
            }
            Parsed::Ignored => {
                add(&counters.ignored);
                Next::Ignore
            }
        }
    }

    async fn respond_unusual(
        &self,
        packet: &[u8],
        source: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Next {
        let counters = self.directory.counters();
        match judge(&self.directory.table(), packet, source, transport).await {
            Judged::Answered(bytes) => *out = bytes,
            Judged::Refused(bytes) => {
                add(&counters.refused);
                *out = bytes;
            }
            Judged::Forward => return Next::Forward,
            Judged::Ignored => {
                add(&counters.ignored);
                return Next::Ignore;
            }
        }
        Next::Send
    }

    /// Asks the upstreams; `None` if there is nothing to send.
    pub(crate) async fn forward(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let counters = self.directory.counters();
        add(&counters.forwarded);
        let forwarded = self.forwarder.ask(packet, transport).await;
        if !forwarded.answered {
            add(&counters.forward_failed);
        }
        forwarded.reply
    }
}
