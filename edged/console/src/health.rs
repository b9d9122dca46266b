//! Probes as they are written on a line.

use std::str::FromStr;

use edged_model::{Probe, ProbeKind};

/// Time between two questions, milliseconds: quick enough to see a start, cheap enough for a small box.
const INTERVAL_MS: u32 = 2_000;
/// Time for one answer, milliseconds: an application on the same box that takes longer is not well.
const TIMEOUT_MS: u32 = 1_000;
/// Failures in a row that make the verdict: one lost answer is none.
const FAILURES: u32 = 3;

/// `PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpProbe {
    port: u16,
    path: String,
}

impl FromStr for HttpProbe {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a probe; write PORT/PATH, as in 8080/healthz");
        let (port, path) = text.split_once('/').unwrap_or((text, ""));
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(error)?;
        // The path is put into a request line: what would end or split that line is refused.
        if path.contains(|c: char| c.is_control() || c.is_whitespace() || !c.is_ascii()) {
            return Err(error());
        }
        Ok(Self {
            port,
            path: format!("/{path}"),
        })
    }
}

/// The probe that was asked for, if any; the options exclude each other.
pub(crate) fn probe(
    http: Option<HttpProbe>,
    tcp: Option<u16>,
    command: Option<Vec<String>>,
) -> Option<Probe> {
    let http = http.map(|HttpProbe { port, path }| ProbeKind::Http { port, path });
    let kind = http
        .or(tcp.map(|port| ProbeKind::Tcp { port }))
        .or(command.map(|command| ProbeKind::Exec { command }))?;
    Some(Probe {
        kind,
        interval_ms: INTERVAL_MS,
        timeout_ms: TIMEOUT_MS,
        failures: FAILURES,
    })
}
