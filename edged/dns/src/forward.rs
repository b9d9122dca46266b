//! Questions for names of others: asked of the configured upstreams, one after the other, never resolved here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use crate::answer::{PAYLOAD_MAX, Transport};

/// How long one upstream has for one question. A client asks again after 5 s, so two upstreams have their chance.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How many questions may be under way: each holds a socket, and edged has descriptors for other things too.
const UNDER_WAY_MAX: usize = 128;

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
enum UpstreamError {
    #[error("no answer from upstream {0} within 2 s")]
    Silent(SocketAddr),
    #[error("cannot reach upstream {upstream}: {source}")]
    Unreachable {
        upstream: SocketAddr,
        source: io::Error,
    },
    #[error("upstream {upstream} sent what is no DNS message: {source}")]
    Encoding {
        upstream: SocketAddr,
        source: hickory_proto::ProtoError,
    },
    #[error("upstream {0} answered another question over tcp")]
    Mismatch(SocketAddr),
}

/// The upstreams and how much may be asked of them at once.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Vec<SocketAddr>,
    slots: Semaphore,
}

/// What became of a forwarded question.
pub(crate) struct Forwarded {
    /// The message for the client; `None` if its question could not be read.
    pub(crate) reply: Option<Vec<u8>>,
    /// Whether an upstream answered.
    pub(crate) answered: bool,
}

impl Forwarder {
    pub(crate) fn new(upstreams: Vec<SocketAddr>) -> Self {
        Self {
            upstreams,
            slots: Semaphore::new(UNDER_WAY_MAX),
        }
    }

    /// Asks the upstreams in their order; without an answer the client gets SERVFAIL, at once if too much is under
    /// way.
    pub(crate) async fn ask(&self, packet: &[u8], transport: Transport) -> Forwarded {
        let Ok(request) = Message::from_vec(packet) else {
            return Forwarded {
                reply: None,
                answered: false,
            };
        };
        let mut best = None;
        if let Ok(_slot) = self.slots.try_acquire() {
            for upstream in &self.upstreams {
                match exchange(*upstream, &request).await {
                    Ok(response) => {
                        // An upstream that will not or cannot say is outdone by one that does.
                        let settled = !matches!(
                            response.metadata.response_code,
                            ResponseCode::ServFail | ResponseCode::Refused
                        );
                        best = Some(response);
                        if settled {
                            break;
                        }
                    }
                    Err(error) => debug!(%error, "forwarding"),
                }
            }
        }
        let answered = best.is_some();
        Forwarded {
            reply: encode(&reply(&request, best), &request, transport),
            answered,
        }
    }
}

/// The client's view of an upstream's response, or of there being none.
fn reply(request: &Message, response: Option<Message>) -> Message {
    let mut reply = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.queries.clone_from(&request.queries);
    if let Some(response) = response {
        reply.metadata.response_code = response.metadata.response_code;
        reply.answers = response.answers;
        reply.authorities = response.authorities;
        reply.additionals = response.additionals;
    }
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_MAX)
            .set_dnssec_ok(asked.flags().dnssec_ok);
        reply.set_edns(edns);
    }
    reply
}

/// Encodes for the client; what does not fit is left out whole and marked as truncated.
fn encode(reply: &Message, request: &Message, transport: Transport) -> Option<Vec<u8>> {
    let limit = transport.limit(request.edns.as_ref().map(Edns::max_payload));
    let bytes = emit(reply, limit)?;
    let truncated = bytes.get(2).is_some_and(|flags| flags & 0x02 != 0);
    if truncated {
        emit(&reply.truncate(), limit)
    } else {
        Some(bytes)
    }
}

fn emit(message: &Message, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::from(PAYLOAD_MAX));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(u16::try_from(limit).unwrap_or(u16::MAX));
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// Asks one upstream over UDP, and over TCP if the answer did not fit.
async fn exchange(upstream: SocketAddr, request: &Message) -> Result<Message, UpstreamError> {
    // The library draws the id at random; a fresh socket a question gives a random port too (RFC 5452).
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.metadata.checking_disabled = request.metadata.checking_disabled;
    question.queries.clone_from(&request.queries);
    let mut edns = Edns::new();
    let dnssec_ok = request
        .edns
        .as_ref()
        .is_some_and(|edns| edns.flags().dnssec_ok);
    edns.set_max_payload(PAYLOAD_MAX).set_dnssec_ok(dnssec_ok);
    question.set_edns(edns);
    let encoded = question
        .to_vec()
        .map_err(|source| UpstreamError::Encoding { upstream, source })?;

    let unreachable = |source| UpstreamError::Unreachable { upstream, source };
    let silent = |_| UpstreamError::Silent(upstream);
    let response = timeout(ATTEMPT, over_udp(upstream, &question, &encoded))
        .await
        .map_err(silent)?;
    let response = response.map_err(unreachable)?;
    if !response.metadata.truncation {
        return Ok(response);
    }
    let bytes = timeout(ATTEMPT, over_tcp(upstream, &encoded))
        .await
        .map_err(silent)?
        .map_err(unreachable)?;
    match Message::from_vec(&bytes) {
        Ok(response) if answers(&response, &question) => Ok(response),
        Ok(_) => Err(UpstreamError::Mismatch(upstream)),
        Err(source) => Err(UpstreamError::Encoding {
            upstream,
            source: source.into(),
        }),
    }
}

/// Waits for a datagram that answers the question; what does not is somebody's guess and is dropped.
async fn over_udp(upstream: SocketAddr, question: &Message, encoded: &[u8]) -> io::Result<Message> {
    let any: IpAddr = if upstream.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(upstream).await?;
    socket.send(encoded).await?;
    let mut packet = vec![0; PAYLOAD_MAX.into()];
    loop {
        let length = socket.recv(&mut packet).await?;
        let Some(Ok(response)) = packet.get(..length).map(Message::from_vec) else {
            continue;
        };
        if answers(&response, question) {
            return Ok(response);
        }
    }
}

async fn over_tcp(upstream: SocketAddr, encoded: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let length = u16::try_from(encoded.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), encoded].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; length.into()];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// Whether this is the answer to that question: the same id, and the question repeated in the same case.
fn answers(response: &Message, question: &Message) -> bool {
    let same = |(one, other): (&hickory_proto::op::Query, &hickory_proto::op::Query)| {
        one.name.eq_case(&other.name)
            && one.query_type == other.query_type
            && one.query_class == other.query_class
    };
    response.metadata.message_type == MessageType::Response
        && response.metadata.id == question.metadata.id
        && response.queries.len() == question.queries.len()
        && response.queries.iter().zip(&question.queries).all(same)
}
