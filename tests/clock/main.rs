//! A clock that jumps: a box without a battery starts in 1970 or in an old year, and NTP sets it hours later.
//!
//! The real clock cannot be set in a test, so libfaketime moves the wall clock of every process of one node; the
//! monotonic clock stays.

mod callback;
mod certificates;
mod clock;

use anyhow::ensure;
use board::client::until;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON, fetch};

use crate::clock::Clock;

#[test]
fn applications_outlive_ten_years_forth_and_back() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let lab = Lab::start_with(|command| clock.faked(command))?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    lab.run("before", &["--health-http", "8080/"], &web)?;
    let init = lab.init_of("before")?;
    for (name, to) in [("forth", "+3650d"), ("back", "-3650d"), ("home", "+0")] {
        clock.jump(to)?;
        // Newer brokers measure by a clock that libfaketime moves as well, and close every connection: the node has to
        // be whole again by itself.
        until(SOON, || {
            let shown = lab.node.verb(&["status", "-o", "json"])?;
            let shown: serde_json::Value = serde_json::from_str(&shown)?;
            let shown = shown.to_string();
            ensure!(
                shown.contains("\"ok\":true") && !shown.contains("\"ok\":false"),
                "after a jump to {to}: {shown}"
            );
            Ok(Some(()))
        })?;
        lab.run(name, &["--health-http", "8080/"], &web)?;
        lab.get(name, 8080, "/")?;
        lab.get("before", 8080, "/")?;
        let https = fetch_ready(&lab);
        ensure!(https.is_ok(), "after a jump to {to}: {https:?}");
    }
    ensure!(
        lab.init_of("before")? == init,
        "the first application was started again"
    );
    let made: serde_json::Value = lab.inspect("forth")?;
    let created = made
        .get("created")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    ensure!(
        created > now + 300_000_000,
        "edged's clock did not jump: created {created}, now {now}"
    );
    lab.node.stop()
}

fn fetch_ready(lab: &Lab) -> anyhow::Result<String> {
    let base = lab.node.line.http.as_deref().unwrap_or_default();
    fetch(&format!("{base}/readyz"))
}
