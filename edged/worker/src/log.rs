//! What a container wrote: lines with a number and a time, in a ring of two files, the older of which is dropped.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use edged_protocol::worker::{LogLine, Stream};
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::place::Place;
use crate::record::now_ms;

/// Longest line; a longer one is cut into several.
const LINE_MAX: usize = 16 << 10;
/// Bytes of one file of the ring: what a person scrolls through, and little enough for a RUN in memory.
const FILE_MAX: u64 = 1 << 20;
/// Bytes of lines in one answer: well within a frame.
const ANSWER_MAX: usize = 500 << 10;
/// Bytes read from a pipe in one turn, so that one loud container does not silence the others.
const TURN: usize = 64 << 10;

/// A container's pipes and the ring that they run into.
#[derive(Debug)]
pub struct Log {
    newest: PathBuf,
    oldest: PathBuf,
    file: File,
    size: u64,
    next: u64,
    pipes: [Pipe; 2],
}

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    fd: OwnedFd,
    partial: Vec<u8>,
}

/// Makes the two pipes of a container. They must exist before it does.
pub fn make_pipes(place: &Place) -> Result<(), Error> {
    for name in ["stdout", "stderr"] {
        let path = place.stream(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .map_err(Error::path("make", &path))?;
    }
    Ok(())
}

impl Log {
    /// Opens the pipes and the ring of a container, and goes on counting where the ring ends.
    pub fn open(place: &Place) -> Result<Self, Error> {
        let pipe = |stream, name| -> Result<Pipe, Error> {
            let path = place.stream(name);
            // For reading and writing: it has no end as long as the worker has it, and breaks for nobody.
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&path, flags, Mode::empty())
                .map_err(Error::path("open", &path))?;
            Ok(Pipe {
                stream,
                fd,
                partial: Vec::new(),
            })
        };
        let pipes = [
            pipe(Stream::Stdout, "stdout")?,
            pipe(Stream::Stderr, "stderr")?,
        ];
        let (newest, oldest) = (place.log(0), place.log(1));
        let last = |path: &Path| lines(path).last().map(|line| line.seq);
        let next = last(&newest).or_else(|| last(&oldest)).unwrap_or(0) + 1;
        let file = open_append(&newest)?;
        let size = file
            .metadata()
            .map_err(Error::path("look at", &newest))?
            .len();
        Ok(Self {
            newest,
            oldest,
            file,
            size,
            next,
            pipes,
        })
    }

    /// The pipes, to wait for.
    pub fn fds(&self) -> impl Iterator<Item = &OwnedFd> {
        self.pipes.iter().map(|pipe| &pipe.fd)
    }

    /// Takes what the pipes hold, one turn of each; the lines that are whole now.
    pub fn read(&mut self) -> Vec<LogLine> {
        let mut fresh = Vec::new();
        for pipe in &mut self.pipes {
            let mut chunk = vec![0; TURN];
            let len = rustix::io::read(&pipe.fd, &mut chunk[..]).unwrap_or(0);
            pipe.partial
                .extend_from_slice(chunk.get(..len).unwrap_or_default());
            while let Some(text) = take_line(&mut pipe.partial) {
                fresh.push((pipe.stream, text));
            }
        }
        self.keep(fresh)
    }

    /// Takes all that is left when nobody writes any more, lines without an end included.
    pub fn finish(&mut self) -> Vec<LogLine> {
        let mut all = Vec::new();
        loop {
            let before: Vec<usize> = self.pipes.iter().map(|pipe| pipe.partial.len()).collect();
            let lines = self.read();
            let after: Vec<usize> = self.pipes.iter().map(|pipe| pipe.partial.len()).collect();
            if lines.is_empty() && before == after {
                break;
            }
            all.extend(lines);
        }
        let rest: Vec<_> = self
            .pipes
            .iter_mut()
            .filter(|pipe| !pipe.partial.is_empty())
            .map(|pipe| (pipe.stream, std::mem::take(&mut pipe.partial)))
            .collect();
        all.extend(self.keep(rest));
        all
    }

    fn keep(&mut self, fresh: Vec<(Stream, Vec<u8>)>) -> Vec<LogLine> {
        let time = now_ms();
        let mut lines = Vec::with_capacity(fresh.len());
        let mut bytes = Vec::new();
        for (stream, text) in fresh {
            let line = LogLine {
                seq: self.next,
                time,
                stream,
                text: String::from_utf8_lossy(&text).into_owned(),
            };
            self.next += 1;
            if serde_json::to_writer(&mut bytes, &line).is_ok() {
                bytes.push(b'\n');
            }
            lines.push(line);
        }
        if !bytes.is_empty()
            && let Err(error) = self.append(&bytes)
        {
            // A full disk costs lines, never the container.
            tracing::warn!(log = %self.newest.display(), %error, "lines are not kept");
        }
        lines
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.size + u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX && self.size > 0 {
            fs::rename(&self.newest, &self.oldest)
                .map_err(Error::path("turn over", &self.newest))?;
            self.file = open_append(&self.newest)?;
            self.size = 0;
        }
        self.file
            .write_all(bytes)
            .map_err(Error::path("write", &self.newest))?;
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Kept lines after a number, oldest first; with `tail` only that many last ones. At most an answer's worth: the
    /// first ones without `tail`, so that the caller can ask again after the last of them.
    pub fn after(&self, after: u64, tail: Option<u32>) -> Vec<LogLine> {
        let mut found: Vec<LogLine> = lines(&self.oldest)
            .chain(lines(&self.newest))
            .filter(|line| line.seq > after)
            .collect();
        if let Some(tail) = tail {
            let surplus = found
                .len()
                .saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
            found.drain(..surplus);
            while size(&found) > ANSWER_MAX {
                found.remove(0);
            }
        }
        let mut room = ANSWER_MAX;
        found
            .into_iter()
            .take_while(|line| {
                let fits = encoded(line) <= room;
                room = room.saturating_sub(encoded(line));
                fits
            })
            .collect()
    }
}

fn size(lines: &[LogLine]) -> usize {
    lines.iter().map(encoded).sum()
}

/// Bytes of a line in a frame.
fn encoded(line: &LogLine) -> usize {
    serde_json::to_vec(line).map_or(usize::MAX, |bytes| bytes.len() + 1)
}

fn open_append(path: &Path) -> Result<File, Error> {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::path("open", path))
}

/// The lines of a file of the ring; one that a kill cut short is skipped.
fn lines(path: &Path) -> impl Iterator<Item = LogLine> {
    File::open(path)
        .ok()
        .into_iter()
        .flat_map(|file| BufReader::new(file).lines().map_while(Result::ok))
        .filter_map(|line| serde_json::from_str(&line).ok())
}

/// The next whole line without its newline, or a piece of one that is too long.
fn take_line(partial: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = partial
        .iter()
        .take(LINE_MAX)
        .position(|byte| *byte == b'\n');
    match end {
        Some(end) => {
            let mut line: Vec<u8> = partial.drain(..=end).collect();
            line.pop();
            Some(line)
        }
        None if partial.len() >= LINE_MAX => Some(partial.drain(..LINE_MAX).collect()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        let node = edged_config::Node {
            site: "edge".to_owned(),
            state: dir.join("state"),
            run: dir.to_owned(),
            uid: 0,
            cgroup: "/x".to_owned(),
        };
        let place = Place::of(&node, &"a".parse().unwrap());
        fs::create_dir_all(&place.dir).unwrap();
        make_pipes(&place).unwrap();
        place
    }

    fn write(log: &Log, stream: usize, bytes: &[u8]) {
        rustix::io::write(log.fds().nth(stream).unwrap(), bytes).unwrap();
    }

    #[test]
    fn lines_are_numbered_across_streams_and_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let mut log = Log::open(&place).unwrap();
        write(&log, 0, b"one\ntwo");
        write(&log, 1, b"err\n");
        let seen: Vec<_> = log
            .read()
            .into_iter()
            .map(|line| (line.seq, line.stream, line.text))
            .collect();
        assert_eq!(
            seen,
            [
                (1, Stream::Stdout, "one".to_owned()),
                (2, Stream::Stderr, "err".to_owned())
            ]
        );
        assert_eq!(log.finish()[0].text, "two");
        drop(log);
        let mut log = Log::open(&place).unwrap();
        write(&log, 0, b"four\n");
        assert_eq!(log.read()[0].seq, 4);
        assert_eq!(log.after(2, None).len(), 2);
        assert_eq!(log.after(0, Some(1))[0].text, "four");
    }

    #[test]
    fn the_ring_and_every_answer_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let mut log = Log::open(&place).unwrap();
        for _ in 0..60 {
            write(&log, 0, &vec![b'x'; 60_000]);
            log.read();
        }
        let on_disk =
            fs::metadata(place.log(0)).unwrap().len() + fs::metadata(place.log(1)).unwrap().len();
        assert!(on_disk <= 2 * FILE_MAX, "{on_disk}");
        let mut after = 0;
        let mut seen = 0;
        loop {
            let answer = log.after(after, None);
            assert!(size(&answer) <= ANSWER_MAX);
            let Some(last) = answer.last() else { break };
            assert!(answer.iter().all(|line| line.text.len() <= LINE_MAX));
            after = last.seq;
            seen += answer.len();
        }
        assert!(seen > 60);
        assert!(size(&log.after(0, Some(10_000))) <= ANSWER_MAX);
    }
}
