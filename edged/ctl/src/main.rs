//! edgectl: the operator's command line, over SSH.
//!
//! It finds out which box is meant ([`contexts`]), proves that it is that box ([`hosts`]) and who asks
//! ([`identity`]), sends the words of the verb and carries bytes ([`session`]). The box parses the verb and writes the
//! answer, so `edgectl VERB` and `ssh admin@BOX VERB` show the same.
//!
//! It refuses to talk to a box whose key it does not know, to ask for a password, and to interpret a verb: the only
//! thing it looks for is whether standard input is wanted, and whether a verb names a file on this machine. Packages are
//! made and signed here ([`package`]), without a box. What a box proves of itself is judged here ([`trust`]), against what
//! was remembered when it was enrolled ([`enrolled`]). An update is waited for from here ([`wait`]), as the box restarts.
//!
//! One task carries input, the main one carries output; the process ends with the verb's exit code, or with 255 where
//! there was no answer, as ssh does.

mod args;
mod contexts;
mod enrolled;
mod error;
mod hosts;
mod identity;
mod input;
mod package;
mod session;
mod target;
mod trust;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, ContextVerb};
use crate::contexts::Contexts;
use crate::error::CtlError;
use crate::package::PackageVerb;
use crate::trust::TrustVerb;
use crate::wait::Waiting;

/// What ssh ends with where the other side did not say anything.
const NO_ANSWER: u8 = 255;

/// What a verb that was not done ends with, as the box has it.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args = Args::parse();
    let code = match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            NO_ANSWER
        }
    };
    // Not by returning: a read of standard input that nobody waits for would keep the process.
    std::process::exit(code.into())
}

fn run(args: Args) -> Result<u8, CtlError> {
    if let Some(verb) = args.context_verb() {
        return change_contexts(verb);
    }
    if let Some(verb) = PackageVerb::of(&args.words) {
        return match verb.perform() {
            Ok(()) => Ok(0),
            Err(error) => {
                eprintln!("error: {error}");
                Ok(FAILED)
            }
        };
    }
    let destination = args.destination(&Contexts::read()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CtlError::Runtime)?;
    let done = if let Some(verb) = TrustVerb::of(&args.words) {
        runtime.block_on(verb.perform(&destination)).map(|()| 0)
    } else if let Some(verb) = Waiting::of(&args.words) {
        runtime.block_on(verb.perform(&destination))
    } else {
        runtime.block_on(session::perform(&destination, args.words))
    };
    match done {
        // The box answered, and its answer is not good enough, or it said itself why there is none.
        Err(error @ (CtlError::Trust(_) | CtlError::Update(_))) => {
            // It may hold the box's words.
            eprintln!("error: {}", edged_evidence::printable(&error.to_string()));
            Ok(FAILED)
        }
        Err(CtlError::Failed(code)) => Ok(code),
        done => done,
    }
}

fn change_contexts(verb: ContextVerb) -> Result<u8, CtlError> {
    let mut contexts = Contexts::read()?;
    match verb {
        ContextVerb::Add { name, context } => contexts.add(name, context),
        ContextVerb::Use { name } => contexts.choose(name)?,
        ContextVerb::Rm { name } => contexts.remove(&name)?,
        ContextVerb::List => {
            print!("{contexts}");
            return Ok(0);
        }
    }
    contexts.write()?;
    Ok(0)
}
