//! What a person sees while steps are made: one line a step when it ends, on standard error, and on a terminal one line
//! with all that are at work.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the times of running steps are written anew on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// Width of the column of names.
const NAME: usize = 24;
/// Goes to the beginning of the line and empties it (ECMA-48, EL).
const CLEAR: &str = "\r\x1b[K";

/// A step that runs. Dropped without [`Running::made`], it is shown as failed.
#[derive(Debug)]
pub struct Running {
    number: u64,
    name: String,
    begun: Instant,
    made: bool,
}

/// Shows that a step begins.
pub fn begin(name: &str) -> Running {
    let begun = Instant::now();
    let mut desk = desk();
    let number = desk.next;
    desk.next += 1;
    if std::io::stderr().is_terminal() {
        desk.rows.push(Row {
            number,
            name: name.to_owned(),
            begun,
            note: String::new(),
        });
        if !desk.painted {
            desk.painted = true;
            std::thread::spawn(paint);
        }
        CHANGED.notify_all();
    } else {
        eprintln!("  {name:<NAME$} ...");
    }
    Running {
        number,
        name: name.to_owned(),
        begun,
        made: false,
    }
}

impl Running {
    /// Shows a word about how far it is (on a terminal alone: a log needs the end, not the way).
    pub fn note(&self, text: &str) {
        let mut desk = desk();
        if let Some(row) = desk.rows.iter_mut().find(|row| row.number == self.number) {
            text.clone_into(&mut row.note);
            CHANGED.notify_all();
        }
    }

    /// Shows that the step is done.
    pub fn made(mut self) {
        self.made = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut desk = desk();
        desk.rows.retain(|row| row.number != self.number);
        let clear = if desk.painted { CLEAR } else { "" };
        let seconds = self.begun.elapsed().as_secs_f32();
        let end = if self.made { "done in" } else { "FAILED after" };
        eprintln!("{clear}  {:<NAME$} {end} {seconds:.1} s", self.name);
        CHANGED.notify_all();
    }
}

/// Steps that are at work.
struct Desk {
    next: u64,
    rows: Vec<Row>,
    /// Whether a thread paints them.
    painted: bool,
}

struct Row {
    number: u64,
    name: String,
    begun: Instant,
    note: String,
}

static DESK: Mutex<Desk> = Mutex::new(Desk {
    next: 0,
    rows: Vec::new(),
    painted: false,
});
static CHANGED: Condvar = Condvar::new();

fn desk() -> MutexGuard<'static, Desk> {
    // Rows are whole whatever became of who wrote them.
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Paints until nothing is at work. The lock is held while it writes, so that no line gets into another.
fn paint() {
    let mut desk = desk();
    while !desk.rows.is_empty() {
        eprint!("{CLEAR}{}", line(&desk.rows));
        let _ = std::io::stderr().flush();
        desk = CHANGED
            .wait_timeout(desk, TICK)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    desk.painted = false;
}

fn line(rows: &[Row]) -> String {
    if let [row] = rows {
        let seconds = row.begun.elapsed().as_secs();
        return format!("  {:<NAME$} {seconds:>4} s  {}", row.name, row.note);
    }
    let mut line = String::new();
    for row in rows {
        let before = if line.is_empty() { "  " } else { ", " };
        let _ = write!(
            line,
            "{before}{} {} s",
            row.name,
            row.begun.elapsed().as_secs()
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row {
            number: 0,
            name: name.to_owned(),
            begun: Instant::now(),
            note: "12 of 40".to_owned(),
        }
    }

    #[test]
    fn one_step_shows_how_far_it_is_and_more_show_their_times() {
        assert!(line(&[row("kernel")]).ends_with("0 s  12 of 40"));
        assert_eq!(
            line(&[row("kernel"), row("tf-a")]),
            "  kernel 0 s, tf-a 0 s"
        );
    }
}
