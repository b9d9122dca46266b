//! Figures as a table for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

use super::machine::Machine;
use super::sample::{Outcome, Samples};

/// Everything of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// Load averages after the last measure.
    pub load_after: String,
    /// What was measured.
    pub measures: Vec<Measure>,
}

/// One kind of work, by us and by others.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// What was done.
    pub work: String,
    /// What we want to reach.
    pub aim: String,
    /// Figures.
    pub rows: Vec<Row>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// One line of figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Who did it, or which part of it.
    pub who: String,
    /// Of `median` and `p95`.
    pub unit: &'static str,
    /// The middle.
    pub median: Option<f64>,
    /// What 95 of 100 do not exceed.
    pub p95: Option<f64>,
    /// How many samples.
    pub count: usize,
    /// Our median divided by this one.
    pub ours_to_this: Option<f64>,
    /// Why there is no figure.
    pub missing: Option<String>,
}

impl Row {
    /// Figures without a comparison.
    pub fn of(who: impl Into<String>, unit: &'static str, samples: &Samples) -> Self {
        Self {
            who: who.into(),
            unit,
            median: samples.median(),
            p95: samples.percentile(95),
            count: samples.count(),
            ours_to_this: None,
            missing: None,
        }
    }

    /// One figure.
    pub fn single(who: impl Into<String>, unit: &'static str, value: f64) -> Self {
        let samples = std::iter::once(value).collect();
        Self {
            p95: None,
            ..Self::of(who, unit, &samples)
        }
    }

    /// A reason instead of a figure.
    pub fn missing(who: impl Into<String>, unit: &'static str, reason: impl Into<String>) -> Self {
        Self {
            missing: Some(reason.into()),
            ..Self::of(who, unit, &Samples::default())
        }
    }

    /// The same with our median beside it.
    pub fn beside(mut self, ours: Option<f64>) -> Self {
        self.ours_to_this = ours
            .zip(self.median)
            .filter(|(_, theirs)| *theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs);
        self
    }
}

/// Rows of contenders, the first of which is us.
pub fn rows(unit: &'static str, outcomes: Vec<Outcome>) -> Vec<Row> {
    let mut ours = None;
    let mut rows = Vec::new();
    for (who, outcome) in outcomes {
        let row = match outcome {
            Ok(samples) => Row::of(who, unit, &samples),
            Err(reason) => Row::missing(who, unit, reason),
        };
        if rows.is_empty() {
            ours = row.median;
            rows.push(row);
        } else {
            rows.push(row.beside(ours));
        }
    }
    rows
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "{}", machine.date)?;
        writeln!(
            f,
            "{} cores of {}, {} MiB, {}, kernel {}",
            machine.cores, machine.cpu, machine.memory_mib, machine.system, machine.kernel
        )?;
        writeln!(
            f,
            "load before {}, after {}",
            machine.load_before, self.load_after
        )?;
        for measure in &self.measures {
            write!(f, "\n{measure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; aim: {}", self.work, self.aim)?;
        let wide = self.rows.iter().map(|row| row.who.chars().count()).max();
        let wide = wide.unwrap_or_default().max(3);
        writeln!(
            f,
            "  {:<wide$}  {:>10}  {:>10}  {:<9}  {:>5}  {:>11}",
            "who", "median", "p95", "unit", "n", "ours/theirs"
        )?;
        for row in &self.rows {
            if let Some(reason) = &row.missing {
                writeln!(f, "  {:<wide$}  not measured: {reason}", row.who)?;
                continue;
            }
            writeln!(
                f,
                "  {:<wide$}  {:>10}  {:>10}  {:<9}  {:>5}  {:>11}",
                row.who,
                figure(row.median),
                figure(row.p95),
                row.unit,
                row.count,
                figure(row.ours_to_this)
            )?;
        }
        for note in &self.notes {
            writeln!(f, "  - {note}")?;
        }
        Ok(())
    }
}

/// Three digits that say something.
fn figure(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_compares_with_the_first_and_says_why_something_is_missing() {
        let ours: Samples = [2.0, 2.0, 4.0].into_iter().collect();
        let theirs: Samples = [4.0].into_iter().collect();
        let outcomes = vec![
            ("ours".to_owned(), Ok(ours)),
            ("theirs".to_owned(), Ok(theirs)),
            ("other".to_owned(), Err("not here".to_owned())),
        ];
        let measure = Measure {
            work: "work".to_owned(),
            aim: "1 ms".to_owned(),
            rows: rows("ms", outcomes),
            notes: Vec::new(),
        };
        let shown = measure.to_string();
        let line = |who: &str| {
            shown
                .lines()
                .find(|line| line.trim_start().starts_with(who))
        };
        assert!(line("theirs").unwrap().ends_with("0.500"), "{shown}");
        assert!(line("other").unwrap().ends_with("not here"), "{shown}");
    }
}
