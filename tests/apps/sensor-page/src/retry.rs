//! How often to ask again.

use std::time::Duration;

/// First pause: a platform that restarts is back in a fraction of a second.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause: a person who waits for a page to fill looks this often.
const LONGEST: Duration = Duration::from_secs(10);

/// A pause that doubles until something succeeds.
pub struct Pause(Duration);

impl Pause {
    /// The first pause.
    pub fn new() -> Self {
        Self(FIRST)
    }

    /// Waits, and longer the next time.
    pub fn wait(&mut self) {
        std::thread::sleep(self.0);
        self.0 = LONGEST.min(self.0 * 2);
    }

    /// Something succeeded.
    pub fn reset(&mut self) {
        self.0 = FIRST;
    }
}
