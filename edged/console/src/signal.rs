//! Signals by name or number (signal(7), the same on x86-64 and aarch64).

use std::str::FromStr;

/// Signals that ask a program to stop or to take notice; the rest is written as a number.
const NAMES: [(&str, i32); 8] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("WINCH", 28),
];

/// The highest signal number, SIGRTMAX.
const LAST: i32 = 64;

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// Its number.
    pub(crate) fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number)
            .or_else(|| text.parse().ok().filter(|number| (1..=LAST).contains(number)))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a signal; write SIGTERM, SIGINT, SIGQUIT, SIGHUP or a number from 1 to {LAST}"))
    }
}
