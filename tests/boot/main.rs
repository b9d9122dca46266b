//! The real image in QEMU, looked at from outside: its console, its ports, its operator's door.
//!
//! For: the chain from the root of trust to a page that an application serves, and everything that it must refuse.
//! Refuses: to look inside the box. Boxes are dear (a boot takes half a minute), so tests share them, in lanes
//! with one box each: [`good`] has one that is used, cut off and started again; [`refusals`] has one after the other
//! that was tampered with; those of [`again`] do nothing for minutes. That is no order that a test harness knows, so this
//! target has its own ([`umec_tests::report`]).

mod again;
mod application;
mod bundles;
mod commission;
mod console;
mod full;
mod good;
mod outside;
mod ports;
mod power;
mod recovery;
mod refusals;
mod slots;
mod sources;
mod trust;
mod trusted;
mod update;

use std::process::ExitCode;
use std::sync::mpsc;

use umec_tests::ground::Ground;
use umec_tests::report::Report;

fn main() -> ExitCode {
    let report = Report::begin("boot", &["boot", "box", "refused", "update"]);
    if let Err(error) = lanes(&report) {
        report.broken("everything_that_a_box_is_made_of_is_built", &error);
    }
    report.end()
}

fn lanes(report: &Report) -> anyhow::Result<()> {
    if report.skips_everything() {
        return Ok(());
    }
    let ground = Ground::build()?;
    let bundles = update::Bundles::build(&ground)?;
    // From here on nothing that a box says leaves this machine.
    board_node::network::enclose()?;
    // A copy of the good box, switched off with its data sealed.
    let (give, take) = mpsc::channel();
    std::thread::scope(|scope| {
        let (ground, bundles) = (&ground, &bundles);
        scope.spawn(move || good::run(report, ground, &give));
        scope.spawn(move || again::run(report, ground));
        scope.spawn(move || {
            refusals::run(report, ground, &take);
            update::run(report, ground, bundles);
        });
    });
    Ok(())
}
