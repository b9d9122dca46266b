//! Receivers of notifications: they tell what arrived, and answer as their script says.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{PATIENCE, Value};

/// What is done with a request.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// The head of an answer, without a body.
    Status(&'static str),
    /// These bytes, and then nothing, with the connection open.
    Stall(&'static str),
    /// These bytes, and then the end.
    Cut(&'static str),
    /// A body without end.
    Endless,
}

pub(super) const HANG: Answer = Answer::Stall("");
pub(super) const TAKEN: Answer = Answer::Status("204 No Content");

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Counts connections from 0.
    pub(super) connection: usize,
    pub(super) head: String,
    pub(super) body: Value,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    ended: mpsc::UnboundedReceiver<usize>,
}

impl Receiver {
    /// Answers the first requests as the script says, and all later ones as its last line says.
    pub(super) async fn new(script: &'static [Answer]) -> Self {
        Self::speaking(script, None).await
    }

    pub(super) async fn speaking(
        script: &'static [Answer],
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, arrived) = mpsc::unbounded_channel();
        let (end, ended) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let line = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, end) = (tell.clone(), end.clone());
                let (line, tls) = (line.clone(), tls.clone());
                tokio::spawn(async move {
                    let serving = Serving {
                        connection,
                        script,
                        line,
                        tell,
                    };
                    match tls {
                        None => serving.serve(stream).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serving.serve(stream).await,
                            Err(_) => None,
                        },
                    };
                    let _ = end.send(connection);
                });
            }
        });
        Self {
            address,
            arrived,
            ended,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub(super) async fn next(&mut self) -> Arrived {
        let next = tokio::time::timeout(PATIENCE, self.arrived.recv()).await;
        next.expect("nothing arrives").unwrap()
    }

    /// Waits for the end of a connection; which.
    pub(super) async fn ended(&mut self) -> usize {
        let ended = tokio::time::timeout(PATIENCE, self.ended.recv()).await;
        ended.expect("no connection ends").unwrap()
    }

    /// The numbers of the next notifications.
    pub(super) async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.push(self.next().await.body["n"].as_u64().unwrap());
        }
        numbers
    }
}

struct Serving {
    connection: usize,
    script: &'static [Answer],
    line: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    tell: mpsc::UnboundedSender<Arrived>,
}

impl Serving {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().unwrap())
            });
            let mut body = vec![0; length?];
            stream.read_exact(&mut body).await.ok()?;
            let line = self.line.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let answer = self.script[line.min(self.script.len() - 1)];
            let _ = self.tell.send(Arrived {
                connection: self.connection,
                head,
                body: serde_json::from_slice(&body).unwrap(),
            });
            match answer {
                Answer::Status(status) => {
                    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    let text = text.replace("204 No Content\r\ncontent-length: 0", "204 Taken");
                    stream.write_all(text.as_bytes()).await.ok()?;
                }
                Answer::Stall(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    // Until the other side has had enough.
                    return stream
                        .read_to_string(&mut String::new())
                        .await
                        .map(drop)
                        .ok();
                }
                Answer::Cut(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    return stream.shutdown().await.ok();
                }
                Answer::Endless => {
                    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                    stream.write_all(head.as_bytes()).await.ok()?;
                    loop {
                        stream.write_all(b"4\r\nmore\r\n").await.ok()?;
                    }
                }
            }
        }
    }
}
