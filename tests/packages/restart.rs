//! Packages are there after a crash of edged, and half of one is not.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context, ensure};
use board::client::until;
use serde_json::json;

use crate::desk::{Desk, LATER, sha256};

#[test]
fn a_crash_keeps_what_was_on_boarded_and_undoes_what_was_under_way() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    let content = desk.package("kept", "")?;
    let kept = desk.onboard(&content)?;
    desk.switch(&kept, "DISABLED", 200)?;
    let before = desk.get(&kept)?;
    let mut files = desk.files()?;
    files.sort();

    let half = desk.announce(&sha256(&content))?;
    let mut stream = TcpStream::connect(desk.authority()?)?;
    let head = format!(
        "PUT {half}/package_content HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/zip\r\nContent-Length: {}\r\n\r\n",
        desk.authority()?,
        desk.node.line.token,
        content.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(content.get(..content.len() / 2).context("too short")?)?;
    until(LATER, || {
        let shown = desk.get(&half)?;
        Ok((shown["onboardingState"] == "UPLOADING").then_some(()))
    })?;
    desk.delete(&half, 409)?;
    desk.node.kill("edged")?;

    let after = until(LATER, || Ok(desk.get(&kept).ok())).context("edged is not back")?;
    ensure!(after == before, "{before} became {after}");
    let shown = desk.settled(&half)?;
    ensure!(shown["onboardingState"] == "CREATED", "{shown}");
    let mut left = desk.files()?;
    left.sort();
    ensure!(left == files, "{files:?} became {left:?}");

    // The rest of its life goes on as if nothing had been.
    desk.put(&half, &content)?.expect(202)?;
    let shown = until(LATER, || {
        let shown = desk.get(&half)?;
        Ok((shown["onboardingFailureDetails"]["status"] == json!(409)).then_some(shown))
    })?;
    ensure!(shown["onboardingState"] == "CREATED", "{shown}");
    desk.delete(&half, 204)?;
    desk.delete(&kept, 204)?;
    desk.is_empty()?;
    desk.node.stop()
}
