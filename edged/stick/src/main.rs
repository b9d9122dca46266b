//! `umec-stick`: writes the one bundle on a stick to its standard output, after a line that says what it is.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use edged_disk::Devices;
use edged_protocol::stick::Reply;
use edged_protocol::{Frame, Refusal, encode};
use edged_stick::{Content, find};

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who asked sees that bytes are missing; why is in the journal.
            eprintln!("umec-stick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    // Past the line buffer of standard output, which looks for line ends in whatever it is given.
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut out = BufWriter::with_capacity(PIECE, out);
    match find::bundle(&Devices::of_this_machine()) {
        Ok(mut found) => {
            let file = found.file;
            say(
                &mut out,
                Reply::Bundle {
                    name: file.name.clone(),
                    size: file.size,
                },
            )?;
            io::copy(&mut Content::new(&mut found.volume, &file), &mut out)?;
        }
        Err(error) => say(
            &mut out,
            Reply::Refused(Refusal {
                sentence: error.to_string(),
                transient: false,
            }),
        )?,
    }
    out.flush()
}

fn say(out: &mut impl io::Write, message: Reply) -> io::Result<()> {
    let line = encode(&Frame { message, id: None }).map_err(io::Error::other)?;
    out.write_all(&line)
}
