//! What a person sees while steps are made: one line a step, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the time of a running step is written anew on a terminal.
const TICK: Duration = Duration::from_secs(1);
/// Width of the column of names.
const NAME: usize = 24;

/// A step that runs. Dropped without [`Running::made`], it is shown as failed.
#[derive(Debug)]
pub struct Running {
    name: String,
    begun: Instant,
    notes: Option<Sender<String>>,
    painter: Option<JoinHandle<()>>,
    made: bool,
}

/// Shows that a step begins.
pub fn begin(name: &str) -> Running {
    let (notes, received) = mpsc::channel::<String>();
    let terminal = std::io::stderr().is_terminal();
    if !terminal {
        eprintln!("  {name:<NAME$} ...");
    }
    let (begun, shown) = (Instant::now(), name.to_owned());
    let painter = terminal.then(|| {
        std::thread::spawn(move || {
            let mut note = String::new();
            loop {
                let seconds = begun.elapsed().as_secs();
                eprint!("\r\x1b[K  {shown:<NAME$} {seconds:>4} s  {note}");
                let _ = std::io::stderr().flush();
                match received.recv_timeout(TICK) {
                    Ok(text) => note = text,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            eprint!("\r\x1b[K");
        })
    });
    Running {
        name: name.to_owned(),
        begun,
        notes: Some(notes),
        painter,
        made: false,
    }
}

impl Running {
    /// Shows a word about how far it is (on a terminal alone: a log needs the end, not the way).
    pub fn note(&self, text: &str) {
        if let (Some(notes), true) = (&self.notes, self.painter.is_some()) {
            let _ = notes.send(text.to_owned());
        }
    }

    /// Shows that the step is done.
    pub fn made(mut self) {
        self.made = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.notes.take());
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
        let seconds = self.begun.elapsed().as_secs_f32();
        let end = if self.made { "done in" } else { "FAILED after" };
        eprintln!("  {:<NAME$} {end} {seconds:.1} s", self.name);
    }
}
