//! The application's page, read with curl.

use std::process::Command;

use anyhow::ensure;
use serde_json::Value;

use super::{NAME, PORT};
use crate::process;

/// Where the page is.
pub struct Page {
    url: String,
    /// How curl finds it; empty where it needs no help.
    resolve: Option<String>,
    /// Seconds that an answer may take.
    longest: &'static str,
}

impl Page {
    /// By its name, which is at this address.
    pub fn by_name(address: &str) -> Self {
        Self {
            url: format!("http://{NAME}:{PORT}"),
            resolve: Some(format!("{NAME}:{PORT}:{address}")),
            longest: "2",
        }
    }

    /// At a port of this machine that leads to an emulated one.
    pub fn forwarded(port: u16) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            resolve: None,
            longest: "10",
        }
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail"]);
        curl.args(["--max-time", self.longest, "--noproxy", "*"]);
        if let Some(resolve) = &self.resolve {
            curl.args(["--resolve", resolve]);
        }
        process::output(curl.arg(format!("{}{path}", self.url)))
    }

    /// Reads the page and sees to it that it is the application's.
    pub fn look(&self) -> anyhow::Result<()> {
        let html = self.get("/")?;
        ensure!(
            html.contains("<title>Sensor readings"),
            "not the page: {html}"
        );
        Ok(())
    }

    /// What it knows of the sensors.
    pub fn readings(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get("/api/readings")?)?)
    }
}

/// What a sensor said last.
pub fn value<'a>(readings: &'a Value, topic: &str) -> Option<&'a str> {
    readings
        .get("readings")?
        .get(topic)?
        .get("value")
        .and_then(Value::as_str)
}
