//! HTTP/1.1 as far as these tests need it: one request a connection, and every byte of it in the test's hands.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Longest wait for an answer: debug builds on two busy cores are slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query, as they are sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("Content-Type", "application/json")
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// Sends it to HOST:PORT. A `Content-Length` among the headers is sent in place of the true one.
    pub fn send(&self, authority: &str) -> anyhow::Result<Answer> {
        let what = || format!("{} {:.200}", self.method, self.target);
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        let writes = ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
        if !self.has("Content-Length") && (writes || !self.body.is_empty()) {
            write!(head, "Content-Length: {}\r\n", self.body.len())?;
        }
        head += "\r\n";
        let mut stream = TcpStream::connect(authority).with_context(what)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        // A server that refuses early closes while we write; its answer is what counts.
        let sent = stream.write_all(&[head.as_bytes(), &self.body].concat());
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        if bytes.is_empty() {
            sent.and(read.map(drop)).with_context(what)?;
        }
        Answer::parse(&bytes).with_context(what)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let end = find(bytes, b"\r\n\r\n").context("the answer has no head")?;
        let (head, rest) = bytes.split_at(end);
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut answer = Self {
            status: status.context("no status")?.parse()?,
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: rest.get(4..).unwrap_or_default().to_vec(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunk(&answer.body)?;
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse()?;
            ensure!(
                answer.body.len() == length,
                "{length} bytes were announced and {} came",
                answer.body.len()
            );
        }
        Ok(answer)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| self.shown())
    }

    /// For messages: the status and the beginning of the body.
    pub fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {:.300}", self.status, body)
    }

    /// The answer, where it has this status.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        ensure!(
            self.status == status,
            "{status} was expected: {}",
            self.shown()
        );
        Ok(self)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn unchunk(mut bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(bytes, b"\r\n").context("a chunk without a size")?;
        let (size, rest) = bytes.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?.trim(), 16)?;
        let rest = rest.get(2..).unwrap_or_default();
        body.extend_from_slice(rest.get(..size).context("a chunk was cut off")?);
        if size == 0 {
            return Ok(body);
        }
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
}

#[test]
fn a_chunked_answer_is_read_whole() -> anyhow::Result<()> {
    let text =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(Answer::parse(text)?.body, b"abcde");
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    assert!(Answer::parse(cut).is_err(), "a cut answer is taken");
    Ok(())
}
