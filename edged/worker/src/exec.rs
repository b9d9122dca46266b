//! A command that runs inside a container, seen from the worker: its three pipes and its end.

use std::os::fd::{AsFd, OwnedFd};

use edged_model::ExitCode;
use edged_protocol::worker::{EXEC_WINDOW, Stream};

use crate::Error;
use crate::container::enter;

/// Bytes of one piece of output: with base64 and the frame around it about 64 KiB.
const PIECE: usize = 48 << 10;
/// Input not yet taken by the command; who sends faster is told to wait.
const INPUT_MAX: usize = 1 << 20;

/// Reads that empty a pipe of 64 KiB. A process that the command left behind may go on writing for ever.
const LAST_READS: u8 = 2;

/// A command.
#[derive(Debug)]
pub struct Exec {
    /// Its process, once it is executed.
    pub pid: Option<i32>,
    /// How it ended.
    pub code: Option<ExitCode>,
    input: Option<OwnedFd>,
    pending: Vec<u8>,
    input_ends: bool,
    outputs: Vec<(Stream, OwnedFd)>,
    /// Reads left once the command has ended.
    last_reads: u8,
    /// Pieces that the client can still take.
    window: u32,
}

/// The command's own ends of its pipes.
#[derive(Debug)]
pub struct Ends {
    /// Standard input.
    pub input: OwnedFd,
    /// Standard output.
    pub output: OwnedFd,
    /// Standard error.
    pub error: OwnedFd,
}

impl Exec {
    /// Makes the pipes of a command.
    pub fn new(with_input: bool) -> Result<(Self, Ends), Error> {
        let (input, own_input) = if with_input {
            let (read, write) = enter::pipe()?;
            (read, Some(write))
        } else {
            (enter::null()?, None)
        };
        let (own_output, output) = enter::pipe()?;
        let (own_error, error) = enter::pipe()?;
        for fd in own_input.iter().chain([&own_output, &own_error]) {
            rustix::io::ioctl_fionbio(fd, true).map_err(Error::kernel("set up a pipe"))?;
        }
        let exec = Self {
            pid: None,
            code: None,
            input: own_input,
            pending: Vec::new(),
            input_ends: false,
            last_reads: LAST_READS,
            window: EXEC_WINDOW,
            outputs: vec![(Stream::Stdout, own_output), (Stream::Stderr, own_error)],
        };
        Ok((
            exec,
            Ends {
                input,
                output,
                error,
            },
        ))
    }

    /// The pipe to write to, while there is something to write.
    pub fn wants_write(&self) -> Option<&OwnedFd> {
        self.input.as_ref().filter(|_| !self.pending.is_empty())
    }

    /// The pipes to read from, while the client keeps up.
    pub fn outputs(&self) -> impl Iterator<Item = &OwnedFd> {
        let keeps_up = self.window > 0;
        self.outputs
            .iter()
            .filter(move |_| keeps_up)
            .map(|(_, fd)| fd)
    }

    /// A piece was sent to the client.
    pub fn sent(&mut self) {
        self.window = self.window.saturating_sub(1);
    }

    /// The client has passed pieces on.
    pub fn taken(&mut self, pieces: u32) {
        self.window = self.window.saturating_add(pieces).min(EXEC_WINDOW);
    }

    /// Takes input for the command.
    pub fn feed(&mut self, bytes: &[u8], end: bool) -> Result<(), Error> {
        if self.input.is_none() {
            return Err(Error::Request(
                "this command takes no input; start it with input".to_owned(),
            ));
        }
        if self.pending.len() + bytes.len() > INPUT_MAX {
            return Err(Error::Busy(
                "the command does not take its input fast enough; send it again later".to_owned(),
            ));
        }
        self.pending.extend_from_slice(bytes);
        self.input_ends |= end;
        self.write();
        Ok(())
    }

    /// Writes what the pipe takes; closes it after the last byte.
    pub fn write(&mut self) {
        while let Some(input) = &self.input
            && !self.pending.is_empty()
        {
            match rustix::io::write(input, &self.pending) {
                Ok(len) => drop(self.pending.drain(..len)),
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    // The command closed its input, as `head` does: what else comes is for nobody.
                    self.pending.clear();
                    self.input = None;
                }
            }
        }
        if self.input_ends {
            self.input = None;
        }
    }

    /// One piece of output from each pipe that has some. A pipe at its end is closed.
    pub fn read(&mut self) -> Vec<(Stream, Vec<u8>)> {
        let mut pieces = Vec::new();
        self.outputs.retain(|(stream, fd)| {
            let mut piece = vec![0; PIECE];
            match rustix::io::read(fd.as_fd(), &mut piece[..]) {
                Ok(0) => false,
                Ok(len) => {
                    piece.truncate(len);
                    pieces.push((*stream, piece));
                    true
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
                Err(_) => false,
            }
        });
        pieces
    }

    /// What was in the pipes when the command ended, piece by piece; empty when all of it was read.
    pub fn read_last(&mut self) -> Vec<(Stream, Vec<u8>)> {
        match self.last_reads.checked_sub(1) {
            Some(left) => {
                self.last_reads = left;
                self.read()
            }
            None => Vec::new(),
        }
    }

    /// Ends the command and what it started in its session.
    pub fn kill(&self) {
        if let Some(pid) = self.pid.filter(|_| self.code.is_none()) {
            // The process is the worker's child and not reaped yet, so its number cannot be another's.
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::killpg(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}
