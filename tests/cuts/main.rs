//! A box whose power is taken at random moments, again and again.
//!
//! For: the promise that a cut of the power costs a box nothing that it has acknowledged, whatever it did at that moment.
//! Cuts are drawn from a seed that is printed: `UMEC_CUTS_SEED` draws the same again. A few run by default, 200 in
//! `cargo board test --full`, where `UMEC_CUTS_BEHIND` leaves out what an earlier run has behind it. A cut is SIGKILL to
//! QEMU and to the TPM, or SIGTERM, after which the TPM has written its state in order: what the box's kernel still holds
//! back is lost, what it gave to the disk stays. (Writes that a disk reorders are the subject of
//! edged/slot's own tests, which try every order.)

mod check;
mod cut;
mod draw;
mod first;
mod ledger;
mod update;
mod work;

use std::process::ExitCode;

use umec_tests::case;
use umec_tests::ground::Ground;
use umec_tests::report::Report;

use cut::Campaign;

fn main() -> ExitCode {
    let report = Report::begin("cuts", &["power_cut"]);
    if let Err(error) = lanes(&report) {
        report.broken(
            "everything_that_a_box_for_power_cuts_is_made_of_is_built",
            &error,
        );
    }
    report.end()
}

fn lanes(report: &Report) -> anyhow::Result<()> {
    if report.skips_everything() {
        return Ok(());
    }
    let campaign = Campaign::of_this_run()?;
    let ground = Ground::build()?;
    let releases = update::Releases::build(&ground)?;
    // From here on nothing that a box says leaves this machine.
    board_node::network::enclose()?;
    println!("{campaign}");
    std::thread::scope(|scope| {
        let (ground, releases, campaign) = (&ground, &releases, &campaign);
        // An update takes three starts and more: it has a lane of its own.
        scope.spawn(move || {
            case!(
                report,
                update::a_box_whose_update_meets_a_power_cut_is_the_old_one_or_the_new_one(
                    ground, releases, campaign
                )
            )
        });
        scope.spawn(move || {
            case!(
                report,
                first::a_new_box_survives_every_power_cut_of_its_first_day(ground, campaign)
            );
            case!(
                report,
                work::a_box_at_work_loses_no_acknowledged_change_to_a_power_cut(ground, campaign)
            )
        });
    });
    Ok(())
}
