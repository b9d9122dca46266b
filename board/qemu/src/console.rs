//! What a box says on its serial line: into a file, and to whoever waits for a line.
//!
//! A thread reads for as long as QEMU writes, so that the box never waits for us. It remembers the last lines alone;
//! whoever waits begins at the first of them and misses none unless the box says [`LINES`] of them meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Lines that are remembered: five times what a boot with all its units says.
const LINES: usize = 4096;
/// Bytes of a line that are remembered; a longer one counts as several.
const LINE: usize = 1024;
/// Bytes of the file: a box that is reset for ever must not fill the disk.
const FILE: u64 = 16 << 20;
/// Bytes read at a time.
const BLOCK: usize = 4096;
/// How often somebody who waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(100);

/// A line of the console.
#[derive(Debug, Clone)]
pub struct Line {
    /// Time since power-on.
    pub at: Duration,
    /// Without colours and other control characters.
    pub text: String,
}

/// How waiting ended.
#[derive(Debug, Clone)]
pub enum Heard<T> {
    /// The line came.
    Line(T),
    /// QEMU has ended.
    End,
    /// It did not come in time.
    Late,
    /// Whoever waits was told to stop.
    Stopped,
}

/// The serial line of a running box.
#[derive(Debug)]
pub struct Console {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<Line>,
    /// Lines that were forgotten.
    forgotten: u64,
    open: Vec<u8>,
    ended: bool,
}

impl Said {
    fn end_line(&mut self, at: Duration) {
        let text = plain(&String::from_utf8_lossy(&self.open));
        self.open.clear();
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(Line { at, text });
    }

    fn take(&mut self, bytes: &[u8], at: Duration) {
        for byte in bytes {
            if *byte == b'\n' || self.open.len() == LINE {
                self.end_line(at);
            }
            if *byte != b'\n' && *byte != b'\r' {
                self.open.push(*byte);
            }
        }
    }
}

impl Shared {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text without control sequences (ECMA-48: ESC, a bracket, parameters, a letter) and control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            if letters.next() == Some('[') {
                letters.by_ref().find(|it| ('@'..='~').contains(it));
            }
        } else if !letter.is_control() {
            plain.push(letter);
        }
    }
    plain
}

impl Console {
    /// Reads `from` until it ends; everything goes into `file` as it is.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn listen(from: impl Read + Send + 'static, file: &Path) -> anyhow::Result<Self> {
        let log = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let reader = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || read(from, log, &theirs))
            .context("cannot start a thread")?;
        Ok(Self {
            shared,
            reader: Some(reader),
        })
    }

    /// Waits for the first line, from the first that is remembered, for which `look` has an answer.
    pub fn wait<T>(
        &self,
        longest: Duration,
        stop: &dyn Fn() -> bool,
        mut look: impl FnMut(&Line) -> Option<T>,
    ) -> Heard<T> {
        let deadline = Instant::now() + longest;
        let mut next = 0;
        let mut said = self.shared.said();
        loop {
            let seen = next.max(said.forgotten) - said.forgotten;
            let seen = usize::try_from(seen).unwrap_or(usize::MAX);
            if let Some(answer) = said.lines.iter().skip(seen).find_map(&mut look) {
                return Heard::Line(answer);
            }
            next = said.forgotten + u64::try_from(said.lines.len()).unwrap_or(u64::MAX);
            if said.ended {
                return Heard::End;
            }
            if stop() {
                return Heard::Stopped;
            }
            if Instant::now() > deadline {
                return Heard::Late;
            }
            said = self
                .shared
                .news
                .wait_timeout(said, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The lines that are remembered.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.said().lines.iter().cloned().collect()
    }

    /// The last of them, for a message.
    pub fn last(&self, count: usize) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(count);
        let texts = lines.iter().skip(skipped).map(|line| line.text.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Waits until everything that QEMU wrote is in the file. QEMU has ended.
    pub fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The thread does not panic; if it did, the file is short and that is all.
            let _ = reader.join();
        }
    }
}

fn read(mut from: impl Read, mut log: File, shared: &Shared) {
    let begun = Instant::now();
    let mut block = [0; BLOCK];
    let mut room = FILE;
    while let Ok(size @ 1..) = from.read(&mut block) {
        let bytes = block.get(..size).unwrap_or_default();
        let length = u64::try_from(size).unwrap_or(u64::MAX);
        // A full disk must not stop the box; the lines are still heard.
        if length <= room {
            let _ = log.write_all(bytes);
            room -= length;
        } else if room > 0 {
            let _ = log.write_all(b"\n(the box says more than this file may hold)\n");
            room = 0;
        }
        shared.said().take(bytes, begun.elapsed());
        shared.news.notify_all();
    }
    let mut said = shared.said();
    if !said.open.is_empty() {
        said.end_line(begun.elapsed());
    }
    said.ended = true;
    drop(said);
    shared.news.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn heard(text: &str, what: &str) -> Heard<String> {
        let folder = tempfile::tempdir().unwrap();
        let bytes = text.as_bytes().to_vec();
        let console =
            Console::listen(std::io::Cursor::new(bytes), &folder.path().join("log")).unwrap();
        console.wait(SOON, &|| false, |line| {
            line.text.contains(what).then(|| line.text.clone())
        })
    }

    #[test]
    fn a_line_that_came_before_anybody_waited_is_heard() {
        assert!(
            matches!(heard("a\r\n\u{1b}[0;32mb c\u{1b}[0m\r\nd", "b"), Heard::Line(text) if text == "b c")
        );
        assert!(matches!(
            heard("a\nlast without an end", "last"),
            Heard::Line(_)
        ));
        assert!(matches!(heard("a\nb\n", "c"), Heard::End));
    }

    #[test]
    fn only_the_last_lines_are_remembered_and_a_long_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let text = "x".repeat(LINE + 1) + "\n" + &"line\n".repeat(2 * LINES);
        let file = folder.path().join("log");
        let mut console =
            Console::listen(std::io::Cursor::new(text.clone().into_bytes()), &file).unwrap();
        console.finish();
        assert_eq!(console.lines().len(), LINES);
        assert!(console.lines().iter().all(|line| line.text == "line"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), text);
    }

    #[test]
    fn the_file_ends_at_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let endless = std::io::repeat(b'x').take(FILE + 10_000);
        let mut console = Console::listen(endless, &file).unwrap();
        console.finish();
        assert!(std::fs::metadata(file).unwrap().len() < FILE + 100);
    }
}
