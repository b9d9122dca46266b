//! Randomness from the kernel.

use base64::Engine as _;
use edged_protocol::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a secret: 192 bits, in 32 characters that need no escaping anywhere.
const SECRET_BYTES: usize = 24;

/// A fresh secret of URL-safe characters; `None` when the kernel gives no randomness.
pub fn secret() -> Option<Secret> {
    let mut bytes = [0_u8; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Secret::new(
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes),
    ))
}

/// A number below `bound` (0 for 0), for jitter.
pub fn below(bound: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness there is no jitter, and nothing else is wrong.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}
