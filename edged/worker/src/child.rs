//! Work in a forked child: the worker stays responsive, and what libcontainer does to its caller dies with the child.
//!
//! The worker is single-threaded, so a forked child may do anything; nothing is executed anew, which saves the start
//! of a program. The child keeps only the descriptors it is given, dies with the worker, and reports one line of JSON.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edged_model::ExitCode;
use edged_protocol::Refusal;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid};
use rustix::pipe::PipeFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Longest report: a process id, or one sentence.
const REPORT_MAX: u64 = 64 << 10;

/// Whether this process is a helper.
static IS_HELPER: AtomicBool = AtomicBool::new(false);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Report<T> {
    Done(T),
    Refused(Refusal),
}

/// A child at work.
#[derive(Debug)]
pub struct Helper {
    /// Its process.
    pub pid: Pid,
    /// When it is given up.
    pub deadline: Instant,
    report: OwnedFd,
}

impl Helper {
    /// Forks a child that does the work with no other descriptors than `keep` and the standard three.
    pub fn fork<T: Serialize>(
        limit: Duration,
        keep: &[BorrowedFd<'_>],
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let (report, sink) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(Error::kernel("make a pipe"))?;
        let worker = nix::unistd::getpid();
        // SAFETY: this process has a single thread, so the child may call anything.
        match unsafe { nix::unistd::fork() }.map_err(Error::kernel("fork"))? {
            ForkResult::Parent { child } => {
                rustix::io::ioctl_fionbio(&report, true).map_err(Error::kernel("set up a pipe"))?;
                Ok(Self {
                    pid: child,
                    report,
                    deadline: Instant::now() + limit,
                })
            }
            ForkResult::Child => {
                let mut kept: Vec<RawFd> =
                    keep.iter().map(rustix::fd::AsRawFd::as_raw_fd).collect();
                kept.push(sink.as_raw_fd());
                let code = run(worker, &kept, sink, work);
                // SAFETY: _exit runs nothing of the worker's.
                unsafe { libc::_exit(code) }
            }
        }
    }

    /// Ends a child that takes too long. Its end is seen like any other.
    pub fn give_up(&mut self) {
        // Not twice a turn: the next look is due when it should long be gone.
        self.deadline += Duration::from_secs(1);
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
    }

    /// What came of it, once the child has ended, and how it did. The pipe may be open elsewhere still (a container
    /// that waits for its start is a child of the child), so its end is not waited for: a report always fits the pipe.
    pub fn outcome<T: DeserializeOwned>(self, end: ExitCode) -> Result<T, Refusal> {
        let mut said = Vec::new();
        let _ = io::Read::take(ReadFd(&self.report), REPORT_MAX).read_to_end(&mut said);
        match serde_json::from_slice::<Report<T>>(&said) {
            Ok(Report::Done(value)) => Ok(value),
            Ok(Report::Refused(refusal)) => Err(refusal),
            // Where a panic ends the process (the builds for boxes), nobody is left to say so.
            Err(_) if end == ExitCode::Signal(libc::SIGABRT) => Err(Error::panicked().into()),
            Err(_) => Err(Error::Busy(format!(
                "the worker's helper process ended without a word ({end}); see the worker's log"
            ))
            .into()),
        }
    }
}

struct ReadFd<'a>(&'a OwnedFd);

impl io::Read for ReadFd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

fn run<T: Serialize>(
    worker: Pid,
    kept: &[RawFd],
    sink: OwnedFd,
    work: impl FnOnce() -> Result<T, Error>,
) -> i32 {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if nix::unistd::getppid() != worker {
        return 1;
    }
    IS_HELPER.store(true, Ordering::Relaxed);
    let _ = SigSet::empty().thread_set_mask();
    // Rust ignores it, and what is ignored stays ignored in every program executed from here.
    // SAFETY: no handler is involved.
    let _ =
        unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    close_all_but(kept);
    let _log = log_apart();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::panicked()));
    let failed = result.is_err();
    tell(sink, result);
    i32::from(failed)
}

/// libcontainer says why something failed in its log alone, and logs from inside the container as well, where standard
/// error is the application's: so the log of a helper has a descriptor of its own, closed with the last exec.
fn log_apart() -> Option<tracing::subscriber::DefaultGuard> {
    let stderr = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).ok()?;
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(std::sync::Mutex::new(std::fs::File::from(stderr)))
        .finish();
    Some(tracing::subscriber::set_default(subscriber))
}

fn tell<T: Serialize>(sink: OwnedFd, result: Result<T, Error>) {
    let report = match result {
        Ok(value) => Report::Done(value),
        Err(error) => Report::Refused(error.into()),
    };
    if let Ok(line) = serde_json::to_vec(&report) {
        let _ = std::fs::File::from(sink).write_all(&line);
    }
}

/// Whether the calling process is a helper and not the worker.
pub fn is_helper() -> bool {
    IS_HELPER.load(Ordering::Relaxed)
}

/// Closes every descriptor from 3 up that is not kept.
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = from.max(fd + 1);
    }
    close_range(from, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: this is a freshly forked child that never drops what the worker owned: it ends with _exit or exec.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a helper that wrote `said` and came to this end.
    fn outcome(said: &[u8], end: ExitCode) -> Result<i32, Refusal> {
        let (report, sink) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&sink, said).unwrap();
        drop(sink);
        let helper = Helper {
            pid: Pid::from_raw(1),
            deadline: Instant::now(),
            report,
        };
        helper.outcome(end)
    }

    #[test]
    fn a_panic_is_told_alike_whether_it_unwinds_or_ends_the_process() {
        let unwound: Refusal = Error::panicked().into();
        let aborted = outcome(b"", ExitCode::Signal(libc::SIGABRT)).unwrap_err();
        assert_eq!(aborted, unwound);
        assert!(aborted.sentence.contains("panicked"), "{aborted}");
        assert!(aborted.transient);
    }

    #[test]
    fn an_end_without_a_word_names_itself_and_a_word_counts_more_than_the_end() {
        let killed = outcome(b"", ExitCode::Signal(libc::SIGKILL)).unwrap_err();
        assert!(killed.sentence.contains("without a word"), "{killed}");
        assert!(!killed.sentence.contains("panicked"), "{killed}");
        let done = outcome(br#"{"done":7}"#, ExitCode::Signal(libc::SIGABRT));
        assert_eq!(done, Ok(7));
    }
}
