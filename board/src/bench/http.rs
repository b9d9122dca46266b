//! One GET, and how long until it is answered with 200.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::bail;

/// Pause between two tries: short beside what is measured, long enough not to take a core.
const PACE: Duration = Duration::from_micros(500);
/// Longest wait for a connection: nobody there yet is answered at once, no route yet perhaps never.
const CONNECT: Duration = Duration::from_millis(20);
/// Longest wait for an answer that has been asked for.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest wait at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a 200.
pub fn until_ok(address: SocketAddr, path: &str) -> anyhow::Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = status(address, path);
        let now = Instant::now();
        match answer {
            Ok(200) => return Ok(now),
            Ok(_) | Err(_) if now < deadline => std::thread::sleep(PACE),
            Ok(other) => bail!("http://{address}{path} answers {other}"),
            Err(error) => bail!("http://{address}{path}: {error}"),
        }
    }
}

fn status(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // `HTTP/1.1 200`
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let text = std::str::from_utf8(&line).unwrap_or_default();
    let code = text.rsplit(' ').next().and_then(|code| code.parse().ok());
    code.ok_or_else(|| std::io::Error::other(format!("not HTTP: {text:?}")))
}
