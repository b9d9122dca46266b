//! The MEC interfaces: what a request costs, and how long until what was asked for is so.

mod client;
mod load;
mod names;
mod news;
mod rules;
mod seed;

use std::fs;
use std::time::Duration;

use anyhow::Context;

pub use load::SERVER;

use super::Means;
use super::report::{Measure, Row};
use super::sample::{Samples, milliseconds};
use super::scratch::Scratch;
use crate::client::Node;
use client::Client;
use serde_json::Value;

/// Everything, each with a node of its own.
pub fn measures(means: &Means) -> anyhow::Result<Vec<Measure>> {
    Ok(vec![
        load::measure(means).context("load")?,
        news::measure(means).context("notifications")?,
        names::measure(means).context("names")?,
        rules::measure(means).context("rules")?,
    ])
}

/// A node that begins with a seed.
fn node(means: &Means, scratch: &Scratch, seed: &Value) -> anyhow::Result<Node> {
    let file = scratch.path().join("seed.json");
    fs::write(&file, seed.to_string())?;
    Node::start(&means.programs, |command| {
        command.arg("--plain-http").arg("--seed").arg(&file);
    })
}

/// Medians and tails of times in milliseconds.
fn tails(who: &str, times: &[Duration]) -> Vec<Row> {
    let samples: Samples = times.iter().copied().map(milliseconds).collect();
    let mut rows = vec![Row::of(who, "ms", &samples)];
    let worst = samples.percentile(99);
    rows.extend(worst.map(|worst| Row::single("  99 of 100 within", "ms", worst)));
    rows
}
