//! The box that is used: started, commissioned, cut off, started again.

use std::sync::mpsc::Sender;
use std::time::Instant;

use anyhow::{Context, bail};
use board::client::Node;
use board_node::port::free_port;
use board_qemu::{Changes, Folder, Forward, Guest, Outcome, tamper};
use umec_tests::lab::programs;

use crate::{application, commission, console, outside, ports, recovery, slots, trust};
use umec_tests::case;
use umec_tests::ground::Ground;
use umec_tests::report::Report;

/// Runs the lane; a copy of the box goes to the other lane when there is one.
pub fn run(report: &Report, ground: &Ground, give: &Sender<Folder>) {
    if let Err(error) = lane(report, ground, give) {
        report.broken("the_box_boots", &error);
    }
}

fn lane(report: &Report, ground: &Ground, give: &Sender<Folder>) -> anyhow::Result<()> {
    let folder = Folder::open(Some(&ground.folder.path().join("box")))?;
    let (pcrs, here) = first(report, ground, &folder)?;
    let copy = Folder::open(Some(&ground.folder.path().join("copy")))?;
    folder.copy_to(&copy)?;
    // The other lane may have failed and gone.
    let _ = give.send(copy);
    second(report, ground, &folder, &pcrs)?;
    drop(folder);
    third(report, ground, here)
}

/// A fresh box, with what somebody put beside it: an environment of U-Boot and words for systemd-stub.
fn first(
    report: &Report,
    ground: &Ground,
    folder: &Folder,
) -> anyhow::Result<(trust::Registers, u16)> {
    folder.furnish(&ground.parts)?;
    let page = Forward {
        here: free_port()?,
        there: application::PUBLISHED,
    };
    let changes = Changes {
        arguments: [tamper::beside_the_chain(folder)?, ports::monitor()].concat(),
        forwards: vec![page],
        ..Changes::default()
    };
    let guest = boot(ground, folder, &changes)?;
    case!(
        report,
        console::every_stage_of_the_box_boots_in_its_turn(&guest)
    );
    case!(
        report,
        console::the_console_of_the_box_says_development(&guest)
    );
    case!(
        report,
        console::an_environment_and_words_beside_the_chain_do_nothing_to_the_box(&guest)
    );
    // Before anything was published.
    case!(
        report,
        ports::the_box_listens_where_it_was_reviewed_and_nowhere_else(folder)
    );
    case!(
        report,
        commission::a_key_that_the_box_does_not_know_is_refused(&guest)
    );
    case!(
        report,
        commission::a_fresh_box_does_nothing_but_be_commissioned(&guest, ground)
    );
    case!(report, commission::the_box_takes_no_password(&guest));
    let mut recovery = None;
    case!(
        report,
        commission::the_box_is_commissioned_with_openssh(&guest, ground, &mut recovery)
    );
    let recovery = recovery.as_deref();
    case!(
        report,
        recovery::the_recovery_key_of_the_box_is_shown_once(&guest, recovery)
    );
    case!(
        report,
        commission::a_commissioned_box_refuses_the_commissioning_key(&guest, ground)
    );
    case!(
        report,
        commission::the_status_of_the_box_says_what_it_is(&guest)
    );
    let pcrs = trust::registers(&guest)?;
    case!(
        report,
        trust::everything_that_the_box_measured_was_foretold_by_the_build(&guest, ground, &pcrs)
    );
    case!(
        report,
        trust::a_quote_of_the_box_verifies_against_what_the_build_foretold(&guest, ground)
    );
    case!(
        report,
        application::an_image_is_loaded_into_the_box_and_runs(&guest, ground)
    );
    case!(
        report,
        application::the_application_in_the_box_serves_its_page(page.here)
    );
    case!(
        report,
        application::the_application_in_the_box_is_confined(&guest)
    );
    case!(
        report,
        application::the_kernel_of_the_box_has_the_signed_command_line(&guest)
    );
    let line = guest
        .line()?
        .context("the operator's key does not open the box")?;
    case!(report, outside::the_box_answers_for_names(&line));
    case!(report, outside::the_box_answers_over_https(&line));
    case!(report, outside::the_box_answers_over_mqtt(&line));
    case!(
        report,
        ports::the_box_answers_no_usual_question_over_udp(folder)
    );
    guest.machine.cut()?;
    case!(
        report,
        recovery::the_recovery_key_opens_the_data_of_the_box_and_no_other_key_does(
            folder, recovery
        )
    );
    Ok((pcrs, page.here))
}

/// The same box after its power was cut, and after a reboot that its operator asked for.
fn second(
    report: &Report,
    ground: &Ground,
    folder: &Folder,
    pcrs: &trust::Registers,
) -> anyhow::Result<()> {
    tamper::tear_variables(&ground.root, folder)?;
    let guest = boot(ground, folder, &Changes::default())?;
    case!(
        report,
        slots::a_box_with_a_torn_file_of_variables_boots_its_first_image(&guest)
    );
    case!(
        report,
        trust::the_registers_of_the_box_are_the_same_after_its_power_was_cut(&guest, pcrs)
    );
    case!(
        report,
        trust::the_registers_of_the_box_are_the_same_after_a_reboot(&guest, pcrs)
    );
    guest.machine.cut()
}

/// The same box once more, by the command that people use.
fn third(report: &Report, ground: &Ground, here: u16) -> anyhow::Result<()> {
    let folder = ground.folder.path().join("box");
    let forward = format!("{here}:{}", application::PUBLISHED);
    let started = Instant::now();
    let node = Node::boot(&programs()?, |command| {
        command
            .arg("--dir")
            .arg(&folder)
            .args(["--forward", &forward]);
    })?;
    case!(
        report,
        outside::the_state_of_the_box_outlives_its_power(&node.line, here)
    );
    case!(
        report,
        outside::the_broker_of_the_box_takes_a_new_certificate(&node.line, started)
    );
    case!(report, outside::a_box_that_ends_leaves_nothing(node));
    Ok(())
}

/// Starts a box and waits until it serves.
pub fn boot<'a>(
    ground: &Ground,
    folder: &'a Folder,
    changes: &Changes,
) -> anyhow::Result<Guest<'a>> {
    let guest = Guest::start(&ground.root, folder, changes)?;
    match guest.outcome(&|| false)? {
        Outcome::Ready => Ok(guest),
        other => bail!("{other:?}; see {}", folder.console().display()),
    }
}
