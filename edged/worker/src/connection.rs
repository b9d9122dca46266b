//! The one connection: lines in, lines out, both bounded, never blocking.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use edged_protocol::worker::{Command, Event, Reply};
use edged_protocol::{FRAME_MAX, Frame, FrameError, decode, encode};

/// Above this many unsent bytes nothing more is read: neither requests nor what execs write.
const FULL: usize = 256 << 10;
/// Above this many unsent bytes the peer is given up: replies and exits are never dropped, so it must be stuck.
const STUCK: usize = 8 << 20;
/// Bytes of one read.
const CHUNK: usize = 64 << 10;

/// A message to the client.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Message {
    /// An answer.
    Reply(Reply),
    /// Something it did not ask for.
    Event(Event),
}

/// The client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// Why the connection ends.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The peer does not read.
    #[error("the peer takes no answers")]
    Stuck,
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The peer does not speak the protocol.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// Takes an accepted socket.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Whether there is something to send.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether so much is unsent that nothing more should be produced.
    pub fn is_full(&self) -> bool {
        self.outgoing.len() > FULL
    }

    /// Reads once what is there; the requests that are whole now, in order.
    pub fn read(&mut self) -> Result<Vec<Frame<Command>>, Ended> {
        let mut chunk = vec![0; CHUNK];
        let len = match rustix::io::read(&self.stream, &mut chunk[..]) {
            Ok(0) => return Err(Ended::Closed),
            Ok(len) => len,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(Ended::Socket(error.into())),
        };
        self.incoming
            .extend_from_slice(chunk.get(..len).unwrap_or_default());
        let mut frames = Vec::new();
        let mut from = 0;
        while let Some(len) = self
            .incoming
            .iter()
            .skip(from)
            .position(|byte| *byte == b'\n')
        {
            frames.push(decode(
                self.incoming.get(from..from + len).unwrap_or_default(),
            )?);
            from += len + 1;
        }
        self.incoming.drain(..from);
        if self.incoming.len() > FRAME_MAX {
            return Err(FrameError::TooLong(self.incoming.len()).into());
        }
        Ok(frames)
    }

    /// Queues a message.
    pub fn send(&mut self, message: Message, id: Option<u64>) -> Result<(), Ended> {
        self.outgoing.extend(encode(&Frame { message, id })?);
        if self.outgoing.len() > STUCK {
            Err(Ended::Stuck)
        } else {
            Ok(())
        }
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) -> Result<(), Ended> {
        while !self.outgoing.is_empty() {
            let sent = rustix::net::send(
                &self.stream,
                &self.outgoing,
                rustix::net::SendFlags::NOSIGNAL,
            );
            match sent {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Ended::Socket(error.into())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn requests_come_out_whole_however_they_arrive() {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(own.into()).unwrap();
        peer.write_all(b"{\"command\":\"observe\",\"data\":{},\"id\":1}\n{\"comm")
            .unwrap();
        assert_eq!(connection.read().unwrap().len(), 1);
        peer.write_all(b"and\":\"observe\",\"data\":{},\"id\":2}\n")
            .unwrap();
        assert_eq!(connection.read().unwrap()[0].id, Some(2));
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(own.into()).unwrap();
        peer.write_all(b"{\"command\":\"format-disk\",\"data\":{}}\n")
            .unwrap();
        assert!(matches!(connection.read(), Err(Ended::Frame(_))));
        drop(peer);
        assert!(matches!(connection.read(), Err(Ended::Closed)));
    }

    #[test]
    fn a_line_that_never_ends_is_cut_off() {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(own.into()).unwrap();
        peer.set_nonblocking(true).unwrap();
        let ended = loop {
            let _ = peer.write(&[b'x'; 8192]);
            if let Err(ended) = connection.read() {
                break ended;
            }
        };
        assert!(matches!(ended, Ended::Frame(FrameError::TooLong(_))));
    }
}
