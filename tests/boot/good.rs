//! The box that is used: started, commissioned, cut off, started again.

use std::sync::mpsc::Sender;

use anyhow::{Context, bail};
use board::client::Node;
use board_node::port::free_port;
use board_qemu::{Changes, Folder, Forward, Guest, Outcome, tamper};
use umec_tests::lab::programs;

use crate::ground::Ground;
use crate::report::Report;
use crate::{application, commission, console, outside, trust};

/// Runs the lane; a copy of the box goes to the other lane when there is one.
pub fn run(report: &Report, ground: &Ground, give: &Sender<Folder>) {
    if let Err(error) = lane(report, ground, give) {
        report.case("the_box_boots", || Err(error));
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
    let mut held = Vec::new();
    let mut forward = |there| {
        anyhow::Ok(Forward {
            here: free_port(&mut held)?,
            there,
        })
    };
    let page = forward(application::PUBLISHED)?;
    let closed = outside::CLOSED
        .into_iter()
        .map(&mut forward)
        .collect::<anyhow::Result<Vec<_>>>()?;
    drop(held);
    let changes = Changes {
        arguments: tamper::beside_the_chain(folder)?,
        forwards: [vec![page], closed.clone()].concat(),
        ..Changes::default()
    };
    let guest = boot(ground, folder, &changes)?;
    let case = |name, test: &dyn Fn() -> anyhow::Result<()>| report.case(name, test);
    case("every_stage_of_the_box_boots_in_its_turn", &|| {
        console::stages(&guest)
    });
    case("the_kernel_of_the_box_knows_that_it_was_verified", &|| {
        console::trusted(&guest)
    });
    case("the_console_of_the_box_says_development", &|| {
        console::development(&guest)
    });
    case(
        "an_environment_and_words_beside_the_chain_do_nothing_to_the_box",
        &|| console::not_bypassed(&guest),
    );
    case("a_key_that_the_box_does_not_know_is_refused", &|| {
        commission::unknown_key_is_refused(&guest)
    });
    case("a_fresh_box_does_nothing_but_be_commissioned", &|| {
        commission::other_verbs_are_refused(&guest, ground)
    });
    case("the_box_takes_no_password", &|| {
        commission::no_password_is_taken(&guest)
    });
    case("the_box_is_commissioned_with_openssh", &|| {
        commission::with_openssh(&guest, ground)
    });
    case("a_commissioned_box_refuses_the_commissioning_key", &|| {
        commission::commissioner_is_refused_then(&guest, ground)
    });
    case("the_status_of_the_box_says_what_it_is", &|| {
        commission::status_says_what_it_is(&guest)
    });
    let pcrs = trust::registers(&guest)?;
    case(
        "everything_that_the_box_measured_was_foretold_by_the_build",
        &|| trust::is_as_foretold(&guest, ground, &pcrs),
    );
    case("an_image_is_loaded_into_the_box_and_runs", &|| {
        application::is_loaded_and_runs(&guest, ground)
    });
    case("the_application_in_the_box_serves_its_page", &|| {
        application::serves(page.here)
    });
    case("the_application_in_the_box_is_confined", &|| {
        application::is_confined(&guest)
    });
    let line = guest
        .line()?
        .context("the operator's key does not open the box")?;
    case("the_box_answers_for_names", &|| outside::dns_answers(&line));
    case("the_box_answers_over_https", &|| {
        outside::https_answers(&line)
    });
    case("the_box_answers_over_mqtt", &|| {
        outside::mqtt_answers(&line)
    });
    case("nothing_else_of_the_box_listens", &|| {
        outside::nothing_else_listens(&closed)
    });
    guest.machine.cut()?;
    Ok((pcrs, page.here))
}

/// The same box after its power was cut.
fn second(
    report: &Report,
    ground: &Ground,
    folder: &Folder,
    pcrs: &trust::Registers,
) -> anyhow::Result<()> {
    let guest = boot(ground, folder, &Changes::default())?;
    report.case(
        "the_registers_of_the_box_are_the_same_in_the_next_boot",
        || trust::is_the_same_again(pcrs, &trust::registers(&guest)?),
    );
    guest.machine.cut()
}

/// The same box once more, by the command that people use.
fn third(report: &Report, ground: &Ground, here: u16) -> anyhow::Result<()> {
    let folder = ground.folder.path().join("box");
    let forward = format!("{here}:{}", application::PUBLISHED);
    let node = Node::boot(&programs()?, |command| {
        command
            .arg("--dir")
            .arg(&folder)
            .args(["--forward", &forward]);
    })?;
    let line = node.line.clone();
    report.case("the_state_of_the_box_outlives_its_power", || {
        application::serves(here)?;
        outside::dns_answers(&line)?;
        outside::mqtt_remembers(&line)
    });
    report.case("a_box_that_ends_leaves_nothing", || {
        node.stop()?;
        outside::nothing_is_left(&line)
    });
    Ok(())
}

fn boot<'a>(ground: &Ground, folder: &'a Folder, changes: &Changes) -> anyhow::Result<Guest<'a>> {
    let guest = Guest::start(&ground.root, folder, changes)?;
    match guest.outcome(&|| false)? {
        Outcome::Ready => Ok(guest),
        other => bail!("{other:?}; see {}", folder.console().display()),
    }
}
