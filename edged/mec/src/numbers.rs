//! What became of notifications, as Prometheus text.

use std::fmt::Write as _;

use edged_notify::Counts;

/// Every number of the deliverer.
pub fn text(counts: &Counts) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "sent_total",
            "counter",
            "Notifications that were taken.",
            counts.sent,
        ),
        (
            "failed_total",
            "counter",
            "Attempts that failed.",
            counts.failed,
        ),
        (
            "dropped_total",
            "counter",
            "Notifications given up.",
            counts.dropped,
        ),
        ("queued", "gauge", "Notifications that wait.", counts.queued),
    ] {
        let name = format!("edged_notifications_{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
    text
}
