//! Wishes and kills in a random order; whatever it was, the node settles, and an empty one is empty.

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::Value;
use umec_tests::lab::{Lab, SOON, full};

use crate::facets::{EVERY_FACET, Empty, web, whole};

/// Steps in CI, and in a whole campaign.
const STEPS: (u32, u32) = (40, 400);
/// The order of the steps; another one is another campaign.
const SEED: u64 = 0x1d87_2b41;
/// Lines of each log that are repeated when it did not settle.
const LAST_LINES: usize = 60;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const PROCESSES: [&str; 4] = ["edged", "worker", "guardian", "broker"];

/// xorshift64 (Marsaglia, 2003): a repeatable order is all that is asked of it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let index = self.below(all.len());
        all.get(index).copied().unwrap_or_default()
    }
}

#[test]
fn a_node_settles_after_any_wishes_and_kills() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    let empty = Empty::after_first(&lab, &image)?;
    let mut dice = Dice(SEED);
    let mut done = Vec::new();
    for _ in 0..(if full() { STEPS.1 } else { STEPS.0 }) {
        let name = dice.one_of(&NAMES);
        let words = match dice.below(4) {
            0 => vec!["stop", "--time", "0", name],
            1 => vec!["start", name],
            2 => vec!["rm", "--force", name],
            _ => [
                &["run", "--detach", "--name", name][..],
                &EVERY_FACET,
                &[&image],
            ]
            .concat(),
        };
        let killed = dice.one_of(&PROCESSES);
        done.push(format!("{} while {killed} is killed", words.join(" ")));
        let mut wish = lab
            .node
            .edgectl(&words)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        // Some kills come while the wish is carried out, some after it is promised.
        if dice.below(2) == 0 {
            wish.wait()?;
        }
        lab.node.kill(killed)?;
        let answered = until(SOON, || Ok(wish.try_wait()?));
        answered.with_context(|| trouble(&lab, &done))?;
    }
    settled(&lab).with_context(|| trouble(&lab, &done))?;
    for name in NAMES {
        if state(&lab, name)?.as_deref() == Some("ready") {
            whole(&lab, name).with_context(|| trouble(&lab, &done))?;
        }
        let _ = lab.node.verb(&["rm", "--force", name]);
    }
    empty.again(&lab).with_context(|| trouble(&lab, &done))
}

/// What was done, and what the processes say about it.
fn trouble(lab: &Lab, done: &[String]) -> String {
    let mut told = done.join("\n");
    for process in PROCESSES {
        let log = lab.node.line.dir.join(format!("log/{process}.log"));
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        told.push_str(&["\n---", process, "\n", &last.join("\n")].concat());
    }
    told
}

fn state(lab: &Lab, name: &str) -> anyhow::Result<Option<String>> {
    let listed: Value = serde_json::from_str(&lab.node.verb(&["ps", "-o", "json"])?)?;
    let mut all = listed.as_array().context("no list")?.iter();
    let app = all.find(|app| app.get("name").and_then(Value::as_str) == Some(name));
    Ok(app.and_then(|app| Some(app.get("state")?.as_str()?.to_owned())))
}

fn settled(lab: &Lab) -> anyhow::Result<()> {
    until(SOON, || {
        for name in NAMES {
            let now = state(lab, name)?;
            let over = matches!(now.as_deref(), None | Some("ready" | "stopped"));
            ensure!(over, "{}", lab.inspect(name)?);
        }
        Ok(Some(()))
    })
}
