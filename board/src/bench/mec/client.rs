//! Requests on one connection that stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::client::Node;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client with the token for everything.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    token: String,
    /// Where the node serves plain HTTP.
    pub address: SocketAddr,
}

/// An answer of the status that was wanted.
#[derive(Debug, Default)]
pub struct Answer {
    /// `Location`, without scheme and host.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to a node.
    pub fn new(node: &Node) -> anyhow::Result<Self> {
        let http = node.line.http.as_deref().context("no plain HTTP")?;
        let address = http.trim_start_matches("http://").parse()?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            reader: BufReader::new(stream),
            token: node.line.token.clone(),
            address,
        })
    }

    /// The header that lets it in.
    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Sends a request and wants this status.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (host, authorization) = (self.address, self.authorization());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes())?;
        let (code, answer) = self.answer()?;
        let shown = String::from_utf8_lossy(&answer.body);
        ensure!(code == status, "{method} {path}: {code} {shown:.300}");
        Ok(answer)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(
            self.reader.read_line(&mut line)? > 0,
            "the node has hung up"
        );
        Ok(line.trim_end().to_owned())
    }

    fn answer(&mut self) -> anyhow::Result<(u16, Answer)> {
        let first = self.line()?;
        let code = first.split(' ').nth(1).context("no status")?.parse()?;
        let (mut answer, mut length) = (Answer::default(), 0);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse()?;
            } else if name.eq_ignore_ascii_case("location") {
                let path = value.splitn(4, '/').nth(3).context("no path in Location")?;
                answer.location = Some(format!("/{path}"));
            }
        }
        answer.body = vec![0; length];
        self.reader.read_exact(&mut answer.body)?;
        Ok((code, answer))
    }
}
