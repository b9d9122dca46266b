//! How many cuts there are, and how one is made.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::Context;
use board::check::FULL;
use board_qemu::{BOOT, Guest, Heard, Power};

use crate::draw::Draw;

/// Names the seed of a campaign that is to be drawn again.
const SEED: &str = "UMEC_CUTS_SEED";
/// The seed where nobody names one: a test that fails for one person has to fail for the next.
const USUAL: u64 = 5;
/// Names how many cuts of each kind an earlier run of the same seed has behind it, as `50,61,24`: a whole campaign takes an
/// hour and a half of an idle machine with two cores, and may be run in pieces.
const BEHIND: &str = "UMEC_CUTS_BEHIND";
/// Cuts of new boxes, of boxes at work and of updates, by default and in a whole campaign: some 25, 35 and 150 s each.
const FEW: [u32; 3] = [2, 2, 3];
const ALL: [u32; 3] = [65, 100, 35];

/// One run of the campaign.
#[derive(Debug)]
pub struct Campaign {
    /// Whence all is drawn.
    pub seed: u64,
    /// Numbers of the cuts of boxes on their first day.
    pub first: RangeInclusive<u32>,
    /// Of a box at work.
    pub work: RangeInclusive<u32>,
    /// Of boxes that are updated.
    pub update: RangeInclusive<u32>,
}

impl Campaign {
    /// As the environment says.
    pub fn of_this_run() -> anyhow::Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(text) => text
                .parse()
                .with_context(|| format!("{SEED} is no number: {text}"))?,
            Err(_) => USUAL,
        };
        let [first, work, update] = if std::env::var_os(FULL).is_some() {
            ALL
        } else {
            FEW
        };
        let [first_behind, work_behind, update_behind] = behind()?;
        Ok(Self {
            seed,
            first: first_behind + 1..=first,
            work: work_behind + 1..=work,
            update: update_behind + 1..=update,
        })
    }
}

fn behind() -> anyhow::Result<[u32; 3]> {
    let Ok(text) = std::env::var(BEHIND) else {
        return Ok([0; 3]);
    };
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .with_context(|| format!("{BEHIND} is no three numbers, as 50,61,24: {text}"))
}

impl fmt::Display for Campaign {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "power cuts: {:?} on a first day, {:?} at work, {:?} in updates; {SEED}={}",
            self.first, self.work, self.update, self.seed
        )
    }
}

/// When the power goes.
#[derive(Debug, Clone)]
pub enum Moment {
    /// So long after the work began.
    After(Duration),
    /// At words of the console, and a little later.
    At(&'static str, Duration),
}

impl Moment {
    /// Every second one aims at words, where there are some: so much later, at most.
    pub fn draw(draw: &mut Draw, longest: Duration, aims: &[(&'static str, Duration)]) -> Self {
        match draw.one_of(aims).copied() {
            Some((words, later)) if !draw.once_in(2) => Self::At(words, draw.time(later)),
            _ => Self::After(draw.time(longest)),
        }
    }

    /// Waits for it. `false`: the words never came.
    pub fn wait(&self, guest: &Guest) -> bool {
        let console = &guest.machine.console;
        match self {
            // This is a length of time, not a state: nothing can be waited for.
            Self::After(time) => std::thread::sleep(*time),
            Self::At(words, later) => {
                let heard = console.wait(BOOT, &|| false, |line| {
                    line.text.contains(words).then_some(())
                });
                if !matches!(heard, Heard::Line(())) {
                    return false;
                }
                std::thread::sleep(*later);
            }
        }
        true
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => write!(formatter, "after {} ms", time.as_millis()),
            Self::At(words, later) => {
                write!(formatter, "{} ms after `{words}`", later.as_millis())
            }
        }
    }
}

/// Takes the power: at once, or in every fourth case so that the TPM ends in order. Whoever speaks with the box finds its
/// connection broken.
pub fn take_power(guest: &Guest, draw: &mut Draw) -> anyhow::Result<()> {
    let how = if draw.once_in(4) {
        Power::Orderly
    } else {
        Power::Torn
    };
    guest.machine.take_power(how)
}

/// Where cuts fell, for the report.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<String, u32>);

impl Tally {
    /// One more.
    pub fn add(&mut self, place: impl Into<String>) {
        *self.0.entry(place.into()).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self
            .0
            .iter()
            .map(|(place, count)| format!("{place}: {count}"))
            .collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// Runs the cuts of a lane, and goes on after one that failed.
pub fn each(
    lane: &str,
    numbers: &RangeInclusive<u32>,
    mut cut: impl FnMut(u32) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    let last = numbers.end();
    for number in numbers.clone() {
        match cut(number) {
            Ok(place) => {
                eprintln!("    {lane} {number}/{last}: {place}");
                tally.add(place.split(':').next().unwrap_or_default());
            }
            Err(error) => {
                eprintln!("    {lane} {number}/{last}: FAILED: {error:#}");
                failed.push(number);
            }
        }
    }
    println!(
        "{lane}: cuts {numbers:?} in {} s, {} failed; {tally}",
        begun.elapsed().as_secs(),
        failed.len()
    );
    anyhow::ensure!(failed.is_empty(), "cuts of {lane} that failed: {failed:?}");
    Ok(())
}
