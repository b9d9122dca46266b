//! The socket: given by systemd as standard input, one connection at a time, and an end when nobody comes.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use edged_protocol::slot::{Command, Reply};
use edged_protocol::{FRAME_MAX, Frame, Refusal, decode, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;

/// Without anybody for so long the program ends, and takes no memory; the next connection starts it again.
const IDLE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// A peer that neither asks nor reads for so long is cut off, because nobody else is served meanwhile. edged asks while
/// an update goes on, and leaves then.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `uid` and root until nobody comes any more.
///
/// # Errors
/// Standard input is no listening socket.
pub fn serve(uid: u32, mut answer: impl FnMut(&Command) -> Reply) -> io::Result<()> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    loop {
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut waiting, Some(&IDLE)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let (stream, _) = listener.accept()?;
        let peer = socket_peercred(&stream)?;
        if peer.uid.as_raw() != uid && !peer.uid.is_root() {
            eprintln!("umec-slot: user {} was turned away", peer.uid.as_raw());
            continue;
        }
        // Who goes away in the middle of something is told nothing.
        if let Err(error) = speak(stream, &mut answer) {
            eprintln!("umec-slot: a connection ended: {error}");
        }
    }
}

fn speak(stream: UnixStream, answer: &mut impl FnMut(&Command) -> Reply) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut write = stream.try_clone()?;
    let mut read = BufReader::new(stream);
    let mut line = Vec::new();
    let most = u64::try_from(FRAME_MAX).unwrap_or(u64::MAX);
    loop {
        line.clear();
        if (&mut read).take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let (message, id) = match decode::<Command>(&line) {
            Ok(frame) => (answer(&frame.message), frame.id),
            Err(error) => {
                let sentence = error.to_string();
                (
                    Reply::Refused(Refusal {
                        sentence,
                        transient: false,
                    }),
                    None,
                )
            }
        };
        let bytes = encode(&Frame { message, id }).map_err(io::Error::other)?;
        write.write_all(&bytes)?;
    }
}
