//! Samples of one work, and contenders that take turns.

use std::time::Duration;

/// What was measured, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    /// Takes one more.
    pub fn add(&mut self, value: f64) {
        let at = self.sorted.partition_point(|other| *other <= value);
        self.sorted.insert(at, value);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The value that a part of all samples, in hundredths, does not exceed; the nearest that was measured.
    pub fn percentile(&self, hundredths: usize) -> Option<f64> {
        let last = self.sorted.len().checked_sub(1)?;
        let rank = (self.sorted.len() * hundredths).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1).min(last)).copied()
    }

    /// The middle.
    pub fn median(&self) -> Option<f64> {
        self.percentile(50)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut samples = Self::default();
        values.into_iter().for_each(|value| samples.add(value));
        samples
    }
}

/// Milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One who does the work.
pub struct Contender<'a> {
    /// Its name in the table.
    pub name: String,
    /// Does the work once and says what it took.
    pub work: Box<dyn FnMut() -> anyhow::Result<f64> + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender.
    pub fn new(name: impl Into<String>, work: impl FnMut() -> anyhow::Result<f64> + 'a) -> Self {
        Self {
            name: name.into(),
            work: Box::new(work),
        }
    }
}

/// What came of a contender: samples, or why there are none.
pub type Outcome = (String, Result<Samples, String>);

/// Lets every contender work once a round, after one round that is not counted. One that fails is out; the rest go on.
pub fn by_turns(rounds: u32, contenders: Vec<Contender<'_>>) -> Vec<Outcome> {
    let mut lanes: Vec<_> = contenders
        .into_iter()
        .map(|contender| (contender, Ok(Samples::default())))
        .collect();
    for round in 0..=rounds {
        for (contender, outcome) in &mut lanes {
            let Ok(samples) = outcome else { continue };
            match (contender.work)() {
                Ok(value) if round > 0 => samples.add(value),
                Ok(_) => {}
                Err(error) => *outcome = Err(format!("{error:#}")),
            }
        }
    }
    lanes
        .into_iter()
        .map(|(contender, outcome)| (contender.name, outcome))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples: Samples = (1..=20).rev().map(f64::from).collect();
        assert_eq!(samples.median(), Some(10.0));
        assert_eq!(samples.percentile(95), Some(19.0));
        assert_eq!(samples.percentile(100), Some(20.0));
        assert_eq!(Samples::default().median(), None);
    }

    #[test]
    fn contenders_take_turns_and_one_that_fails_is_out() {
        let turns = std::cell::RefCell::new(String::new());
        let outcomes = by_turns(
            2,
            vec![
                Contender::new("a", || {
                    turns.borrow_mut().push('a');
                    Ok(1.0)
                }),
                Contender::new("b", || {
                    turns.borrow_mut().push('b');
                    anyhow::bail!("not here")
                }),
            ],
        );
        assert_eq!(*turns.borrow(), "abaa");
        let (_, ours) = outcomes.first().unwrap();
        assert_eq!(ours.as_ref().unwrap().count(), 2);
        let (_, peer) = outcomes.last().unwrap();
        assert_eq!(peer.as_ref().unwrap_err(), "not here");
    }
}
