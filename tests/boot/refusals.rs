//! Boxes that were tampered with, and who refuses them.

use std::process::Command;
use std::sync::mpsc::Receiver;

use anyhow::{Context, ensure};
use board::process;
use board_qemu::Folder;
use board_qemu::tamper::{What, refused};
use serde_json::Value;
use umec_tests::lab::programs;

use crate::ground::Ground;
use crate::report::Report;

/// Refused before the kernel runs, each in a box of its own that was never switched on.
const BEFORE: [(What, &str); 14] = [
    (What::Bl2, "a_flipped_bit_in_bl2_is_refused_by_bl1"),
    (What::Bl31, "a_flipped_bit_in_bl31_is_refused_by_bl2"),
    (What::Tee, "a_flipped_bit_in_optee_is_refused_by_bl2"),
    (
        What::Bootloader,
        "a_flipped_bit_in_u_boot_is_refused_by_bl2",
    ),
    (
        What::Kernel,
        "a_flipped_bit_in_the_kernel_is_refused_by_u_boot",
    ),
    (
        What::Initrd,
        "a_flipped_bit_in_the_initrd_is_refused_by_u_boot",
    ),
    (What::Edged, "a_flipped_bit_in_edged_is_refused_by_u_boot"),
    (
        What::Cmdline,
        "a_flipped_bit_in_the_command_line_is_refused_by_u_boot",
    ),
    (What::Unsigned, "an_unsigned_image_is_refused_by_u_boot"),
    (What::Foreign, "somebody_else_s_image_is_refused_by_u_boot"),
    (What::Revoked, "a_revoked_image_is_refused_by_u_boot"),
    (
        What::Env,
        "commands_in_a_saved_environment_are_refused_with_the_image",
    ),
    (
        What::DirectKernel,
        "a_kernel_given_by_hand_is_refused_with_the_image",
    ),
    (
        What::Credential,
        "a_credential_that_nobody_signed_is_refused_by_umec_init",
    ),
];
/// The data does not unseal; each in a copy of a box that has sealed its data.
const SEALED: [(What, &str); 3] = [
    (
        What::Dtb,
        "with_a_flipped_bit_in_the_device_tree_the_data_is_refused",
    ),
    (
        What::Data,
        "a_flipped_bit_in_the_sealed_key_of_the_data_is_refused",
    ),
    (What::Tpm, "with_another_tpm_the_data_is_refused"),
];

/// Runs the lane.
pub fn run(report: &Report, ground: &Ground, sealed: &Receiver<Folder>) {
    for (what, name) in BEFORE {
        report.case(name, || case(ground, what, None));
    }
    report.case("the_command_says_who_refused_the_box", || command(ground));
    if !SEALED.iter().any(|(_, name)| report.wants(name)) {
        return;
    }
    let origin = sealed.recv().ok();
    for (what, name) in SEALED {
        report.case(name, || {
            let origin = origin.as_ref().context("no good box has sealed its data")?;
            case(ground, what, Some(origin))
        });
    }
}

fn case(ground: &Ground, what: What, origin: Option<&Folder>) -> anyhow::Result<()> {
    let victim = Folder::open(None)?;
    if let Some(origin) = origin {
        origin.copy_to(&victim)?;
    }
    victim.furnish(&ground.parts)?;
    let changes = what.apply(&ground.cache, &ground.root, &ground.parts, &victim)?;
    refused(what, &ground.root, &victim, &changes, &|| false).map(drop)
}

/// `cargo board qemu --tamper kernel`.
fn command(ground: &Ground) -> anyhow::Result<()> {
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
