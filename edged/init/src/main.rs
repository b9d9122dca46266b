//! PID 1 of the signed image's RAM root, and the few steps of start-up that need more than a unit file.
//!
//! As PID 1 ([`start`]): mounts, compressed memory, the read-only root, then systemd in its place. As `umec-init VERB`
//! from a unit of that root: [`data`] opens the data partition, [`names`] tells the C library who resolves names,
//! [`announce`] says on the console that edged is ready, [`certificate`] has the broker read its certificate again,
//! [`guard`] resets a box whose trial nobody ends.
//!
//! Refused: everything that is not as the image says. There is no shell to fall into: PID 1 says one line that starts
//! with `UMEC-INIT-REFUSED: ` and turns the box off; `data` says one that starts with `DATA-REFUSED: ` and leaves the
//! box without its services. A box that was started from slot B starts again instead: A is what is known to be good. Where an
//! image cannot read by which entry it was started, PID 1 takes it for B.

mod announce;
mod certificate;
mod console;
mod data;
mod events;
mod guard;
mod memory;
mod names;
mod release;
mod root;
mod slot;
mod start;
mod tpm;
mod watchdog;

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustix::process::getpid().is_init() {
        start::run();
    }
    let verb = std::env::args().nth(1).unwrap_or_default();
    let done = match verb.as_str() {
        "data" => return data::run(),
        "names" => names::run(),
        "announce" => announce::run(),
        "certificate" => certificate::run(),
        "guard" => guard::run(),
        _ => Err("usage: umec-init data|names|announce|certificate|guard".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("umec-init: {reason}");
            ExitCode::FAILURE
        }
    }
}
