//! An application: loaded over SSH, run, asked for its page.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use board::client::until;
use board::process;
use board_image::Board;
use board_qemu::Guest;

use umec_tests::ground::{Ground, IMAGE, PAGE, is_ready};

/// Port of the box that leads to the application.
pub const PUBLISHED: u16 = 8081;
/// Longest wait for a page: a container starts in a second or two, emulated.
const SOON: Duration = Duration::from_secs(60);

/// `ssh box load < archive`, `ssh box run`.
pub fn an_image_is_loaded_into_the_box_and_runs(
    guest: &Guest,
    ground: &Ground,
) -> anyhow::Result<()> {
    let door = guest.door()?;
    let refused = door.told(&["load"], Some(&ground.archive));
    let refused = refused.err().map(|error| format!("{error:#}"));
    ensure!(
        refused
            .as_deref()
            .is_some_and(|text| text.contains("no key is trusted yet")),
        "a box takes what nobody signed: {refused:?}"
    );
    let loaded = ground.load(&door)?;
    ensure!(loaded.contains("umec-test/page"), "{loaded}");
    let publish = format!("{PUBLISHED}:8080");
    let words = ["run", "--name", "page", "--publish", &publish];
    let options = ["--health-http", "8080/index.html", IMAGE];
    door.told(&[&words[..], &options].concat(), None)?;
    is_ready(&door)
}

/// The page, through the box's own port.
pub fn the_application_in_the_box_serves_its_page(here: u16) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{here}/index.html");
    until(SOON, || {
        let page = process::output(
            Command::new("curl")
                .args(["--silent", "--show-error", "--fail", "--max-time", "10"])
                .args(["--noproxy", "*", &url]),
        )?;
        ensure!(page.contains(PAGE), "{page}");
        Ok(Some(()))
    })
}

/// It is confined as on every node: not root, no new privileges, a filter for system calls.
pub fn the_application_in_the_box_is_confined(guest: &Guest) -> anyhow::Result<()> {
    let words = ["exec", "page", "/bin/busybox", "cat", "/proc/self/status"];
    let status = guest.door()?.told(&words, None)?;
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        ensure!(status.contains(line), "`{line}` is not in: {status}");
    }
    let words = ["exec", "page", "/bin/busybox", "cat", "/proc/self/uid_map"];
    let map = guest.door()?.told(&words, None)?;
    let host = map.split_whitespace().nth(1);
    ensure!(host.is_some_and(|host| host != "0"), "{map}");
    Ok(())
}

/// The kernel has the words that were signed and no other: it shows them to everybody, in a container too.
pub fn the_kernel_of_the_box_has_the_signed_command_line(guest: &Guest) -> anyhow::Result<()> {
    let words = ["exec", "page", "/bin/busybox", "cat", "/proc/cmdline"];
    let line = guest.door()?.told(&words, None)?;
    let signed = Board::QemuAarch64.command_line();
    ensure!(line.trim() == signed, "`{line}` is not `{signed}`");
    Ok(())
}
