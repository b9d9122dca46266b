//! The page: `/`, `/api/readings` and `/healthz`, one connection at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context;

use crate::readings::Readings;

/// Slow clients are cut off, because there is one place.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest request head: browsers send one or two KiB.
const HEAD_MAX: u64 = 16 << 10;

const INDEX: &str = include_str!("index.html");

/// Serves for ever; returns only when the port cannot be had.
pub fn serve(port: u16, readings: &Readings) -> anyhow::Result<()> {
    // `::` takes IPv4 too; a kernel without IPv6 has only 0.0.0.0.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .with_context(|| format!("cannot listen on port {port}"))?;
    println!("serving on port {port}");
    for stream in listener.incoming().flatten() {
        // A client that goes away in the middle is its own business.
        let _ = answer(stream, readings);
    }
    Ok(())
}

fn answer(mut stream: TcpStream, readings: &Readings) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new((&stream).take(HEAD_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head is read to its end, or closing would reset the connection under the answer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (method, target) = (words.next(), words.next());
    let path = target.and_then(|target| target.split('?').next());
    let (status, media_type, body) = match (method, path) {
        (Some("GET" | "HEAD"), Some("/")) => {
            ("200 OK", "text/html; charset=utf-8", INDEX.to_owned())
        }
        (Some("GET" | "HEAD"), Some("/api/readings")) => {
            ("200 OK", "application/json", readings.to_json().to_string())
        }
        (Some("GET" | "HEAD"), Some("/healthz")) => ("200 OK", "text/plain", "ok\n".to_owned()),
        (Some("GET" | "HEAD"), _) => ("404 Not Found", "text/plain", "no such page\n".to_owned()),
        _ => (
            "405 Method Not Allowed",
            "text/plain",
            "only GET\n".to_owned(),
        ),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )?;
    if method != Some("HEAD") {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}
