//! Somebody who is called back, and two who might as well not be there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

/// Longest wait for a notification that has to come.
pub const SOON: Duration = Duration::from_secs(20);

/// A notification and when all of it was here.
#[derive(Debug)]
pub struct Heard {
    pub at: Instant,
    pub body: Value,
}

/// A server on loopback that answers every notification with 204.
#[derive(Debug)]
pub struct Listener {
    /// Where it is.
    pub uri: String,
    heard: Receiver<Heard>,
}

impl Listener {
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let uri = format!("http://{}/heard", listener.local_addr()?);
        let (tell, heard) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                thread::spawn(move || converse(stream, &tell));
            }
        });
        Ok(Self { uri, heard })
    }

    /// The next notification.
    pub fn next(&self) -> anyhow::Result<Heard> {
        self.heard
            .recv_timeout(SOON)
            .with_context(|| format!("{} heard nothing for {SOON:?}", self.uri))
    }

    /// What has come and was not taken.
    pub fn rest(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }
}

/// Requests on one connection, until the other side has had enough.
fn converse(stream: TcpStream, tell: &Sender<Heard>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let at = Instant::now();
        answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        let body = serde_json::from_slice(&body)?;
        tell.send(Heard { at, body })?;
    }
}

/// A callback whose connections are refused.
pub fn refusing() -> anyhow::Result<String> {
    // The port was free a moment ago, and nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("http://{address}/refused"))
}

/// A callback that takes connections and never says a word, as long as the listener is kept.
pub fn hanging() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let uri = format!("http://{}/hanging", listener.local_addr()?);
    Ok((listener, uri))
}
