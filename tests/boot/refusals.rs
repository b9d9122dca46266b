//! Boxes that were tampered with, and who refuses them.

use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, ensure};
use board::process;
use board_qemu::tamper::{What, empty_data, refused};
use board_qemu::{Changes, Folder, Guest, Heard, Outcome, READY, Stage};
use serde_json::Value;
use umec_tests::lab::programs;

use crate::good::boot;
use crate::{power, slots, trusted};
use umec_tests::case;
use umec_tests::ground::Ground;
use umec_tests::report::Report;

/// From its data to serving, a good box takes less than 10 s on this machine when nothing else runs, and was seen to take
/// 35 s when much else did.
const SERVED: Duration = Duration::from_secs(40);

/// Runs the lane.
pub fn run(report: &Report, ground: &Ground, sealed: &Receiver<Folder>) {
    case!(report, a_flipped_bit_in_bl2_is_refused_by_bl1(ground));
    case!(report, a_flipped_bit_in_bl31_is_refused_by_bl2(ground));
    case!(report, a_flipped_bit_in_optee_is_refused_by_bl2(ground));
    case!(report, a_flipped_bit_in_u_boot_is_refused_by_bl2(ground));
    case!(
        report,
        a_flipped_bit_in_the_kernel_is_refused_by_u_boot(ground)
    );
    case!(
        report,
        a_flipped_bit_in_the_initrd_is_refused_by_u_boot(ground)
    );
    case!(report, a_flipped_bit_in_edged_is_refused_by_u_boot(ground));
    case!(
        report,
        a_flipped_bit_in_the_command_line_is_refused_by_u_boot(ground)
    );
    case!(report, an_unsigned_image_is_refused_by_u_boot(ground));
    case!(
        report,
        an_image_of_somebody_else_is_refused_by_u_boot(ground)
    );
    case!(report, a_revoked_image_is_refused_by_u_boot(ground));
    case!(
        report,
        commands_in_a_saved_environment_are_refused_with_the_image(ground)
    );
    case!(
        report,
        a_kernel_given_by_hand_is_refused_with_the_image(ground)
    );
    case!(
        report,
        another_boot_method_is_refused_with_the_image(ground)
    );
    case!(
        report,
        keys_in_the_file_of_variables_are_refused_with_the_image(ground)
    );
    case!(
        report,
        a_credential_that_nobody_signed_is_refused_by_umec_init(ground)
    );
    case!(
        report,
        a_credential_for_every_image_is_refused_by_umec_init(ground)
    );
    case!(
        report,
        an_extension_that_nobody_signed_is_refused_by_umec_init(ground)
    );
    case!(report, the_command_says_who_refused_the_box(ground));
    case!(
        report,
        trusted::a_trusted_application_signed_by_the_key_in_op_tees_source_is_refused_in_the_box(
            ground
        )
    );
    // The other lane's box is asked for all its ports meanwhile.
    case!(
        report,
        power::a_new_box_that_loses_its_power_as_soon_as_it_is_ready_starts_again_and_is_commissioned(
            ground
        )
    );
    case!(
        report,
        a_volume_that_its_tpm_opens_and_the_box_did_not_make_is_refused(ground)
    );
    // Each of the others is a copy of a box that has sealed its data.
    let good = sealed.recv().ok();
    let good = good.as_ref();
    case!(
        report,
        with_a_flipped_bit_in_the_device_tree_the_data_is_refused(ground, good)
    );
    case!(
        report,
        with_a_flipped_bit_in_its_sealed_key_the_data_is_refused(ground, good)
    );
    case!(report, with_another_tpm_the_data_is_refused(ground, good));
    case!(report, without_its_data_the_box_serves_nobody(ground, good));
    case!(
        report,
        slots::a_box_whose_disk_takes_no_writes_does_not_try_its_second_image(ground)
    );
    case!(
        report,
        slots::a_box_whose_first_image_is_broken_boots_the_second_as_it_was_signed(ground, good)
    );
}

/// A box of its own, never switched on before.
fn fresh(ground: &Ground, what: What) -> anyhow::Result<()> {
    start(ground, what, &Folder::open(None)?)
}

/// A copy of the box that has sealed its data.
pub fn copy(good: Option<&Folder>) -> anyhow::Result<Folder> {
    let copy = Folder::open(None)?;
    let good = good.context("no good box has sealed its data")?;
    good.copy_to(&copy)?;
    Ok(copy)
}

fn copied(ground: &Ground, good: Option<&Folder>, what: What) -> anyhow::Result<()> {
    start(ground, what, &copy(good)?)
}

fn start(ground: &Ground, what: What, victim: &Folder) -> anyhow::Result<()> {
    victim.furnish(&ground.parts)?;
    let changes = what.apply(&ground.cache, &ground.root, &ground.parts, victim)?;
    refused(what, &ground.root, victim, &changes, &|| false).map(drop)
}

fn a_flipped_bit_in_bl2_is_refused_by_bl1(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Bl2)
}

fn a_flipped_bit_in_bl31_is_refused_by_bl2(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Bl31)
}

fn a_flipped_bit_in_optee_is_refused_by_bl2(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Tee)
}

fn a_flipped_bit_in_u_boot_is_refused_by_bl2(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Bootloader)
}

fn a_flipped_bit_in_the_kernel_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Kernel)
}

fn a_flipped_bit_in_the_initrd_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Initrd)
}

fn a_flipped_bit_in_edged_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Edged)
}

fn a_flipped_bit_in_the_command_line_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Cmdline)
}

fn an_unsigned_image_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Unsigned)
}

fn an_image_of_somebody_else_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Foreign)
}

fn a_revoked_image_is_refused_by_u_boot(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Revoked)
}

fn commands_in_a_saved_environment_are_refused_with_the_image(
    ground: &Ground,
) -> anyhow::Result<()> {
    fresh(ground, What::Env)
}

fn a_kernel_given_by_hand_is_refused_with_the_image(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::DirectKernel)
}

fn another_boot_method_is_refused_with_the_image(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::BootMethod)
}

fn keys_in_the_file_of_variables_are_refused_with_the_image(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Variables)
}

fn a_credential_for_every_image_is_refused_by_umec_init(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::GlobalCredential)
}

fn an_extension_that_nobody_signed_is_refused_by_umec_init(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Extension)
}

fn a_credential_that_nobody_signed_is_refused_by_umec_init(ground: &Ground) -> anyhow::Result<()> {
    fresh(ground, What::Credential)
}

fn with_a_flipped_bit_in_the_device_tree_the_data_is_refused(
    ground: &Ground,
    good: Option<&Folder>,
) -> anyhow::Result<()> {
    copied(ground, good, What::Dtb)
}

fn with_a_flipped_bit_in_its_sealed_key_the_data_is_refused(
    ground: &Ground,
    good: Option<&Folder>,
) -> anyhow::Result<()> {
    copied(ground, good, What::Data)
}

fn with_another_tpm_the_data_is_refused(
    ground: &Ground,
    good: Option<&Folder>,
) -> anyhow::Result<()> {
    copied(ground, good, What::Tpm)
}

/// A thief may have the box's TPM seal the key of a volume of his own, with himself as its operator. Here it is an earlier
/// volume of the same box: the TPM and the signed software open it, and it is not the one that the box has made last.
fn a_volume_that_its_tpm_opens_and_the_box_did_not_make_is_refused(
    ground: &Ground,
) -> anyhow::Result<()> {
    let (folder, earlier) = (Folder::open(None)?, Folder::open(None)?);
    folder.furnish(&ground.parts)?;
    let nothing = Changes::default();
    boot(ground, &folder, &nothing)?.machine.cut()?;
    folder.copy_to(&earlier)?;
    empty_data(&folder.disk())?;
    boot(ground, &folder, &nothing)?.machine.cut()?;
    boot(ground, &folder, &nothing)?.machine.cut()?;
    std::fs::rename(earlier.disk(), folder.disk())?;
    let guest = Guest::start(&ground.root, &folder, &nothing)?;
    let outcome = guest.outcome(&|| false)?;
    let lines = guest.machine.console.lines();
    let told = lines.iter().any(|line| {
        line.text
            .contains("is not the volume that this box has made")
    });
    ensure!(
        matches!(outcome, Outcome::Refused(Stage::Data)) && told,
        "{outcome:?}"
    );
    Ok(())
}

/// Where the TPM is another one, edged does not start over on an empty disk either, where whoever holds the key of the
/// image could commission the box once more.
fn without_its_data_the_box_serves_nobody(
    ground: &Ground,
    good: Option<&Folder>,
) -> anyhow::Result<()> {
    let victim = copy(good)?;
    let changes = What::Tpm.apply(&ground.cache, &ground.root, &ground.parts, &victim)?;
    let guest = Guest::start(&ground.root, &victim, &changes)?;
    let outcome = guest.outcome(&|| false)?;
    ensure!(
        matches!(outcome, Outcome::Refused(Stage::Data)),
        "{outcome:?}"
    );
    let heard = guest.machine.console.wait(SERVED, &|| false, |line| {
        line.text.contains(READY).then_some(())
    });
    ensure!(
        matches!(heard, Heard::Late | Heard::End),
        "it serves without its data"
    );
    Ok(())
}

/// `cargo board qemu --tamper kernel`.
fn the_command_says_who_refused_the_box(ground: &Ground) -> anyhow::Result<()> {
    let folder = ground.folder.path().join("command");
    let mut command = Command::new(programs()?.join("board"));
    command.args(["qemu", "--tamper", "kernel", "--dir"]);
    let text = process::output(command.arg(&folder))?;
    let line: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let console = line.get("console").and_then(Value::as_str);
    let console = std::fs::read_to_string(console.context("no console is named")?)?;
    ensure!(
        line.get("ready") == Some(&Value::Bool(false))
            && line.get("refused_by") == Some(&Value::from("U-Boot"))
            && console.contains("EFI-BOOT-REFUSED"),
        "{line}"
    );
    Ok(())
}
