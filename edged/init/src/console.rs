//! What is said to whoever looks at the console, whatever the log level.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says one line. A box without a console is no reason to stop.
pub fn say(line: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("{line}\r\n").as_bytes());
    }
}
