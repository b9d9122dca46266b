//! The floor of releases.

use edged_tpm::{Counter, Tpm, TpmError};

use crate::swtpm::{Line, Swtpm};

/// A counter's password.
const PASSWORD: &[u8] = b"password";
/// Commands after which the floor of the next pair is written and the old pair is still whole.
const LEFT_BEHIND: usize = 5;

/// Makes the counter until the power fails; whether it did.
fn cut(tpm: &mut Tpm<Line>, commands: usize, floor: u64) -> bool {
    tpm.0.commands = commands;
    let made = Counter(tpm).make(floor, PASSWORD);
    tpm.0.commands = usize::MAX;
    match made {
        Ok(()) => false,
        Err(TpmError::Device { .. }) => true,
        Err(error) => panic!("after {commands} commands: {error}"),
    }
}

#[test]
fn a_cut_between_any_two_commands_never_lowers_the_floor() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    assert_eq!(Counter(&mut tpm).floor().unwrap(), None);
    let mut floor = 3;
    for first in 0.. {
        // What an earlier cut left beside a whole pair is below the floor by now, and must not come back.
        Counter(&mut tpm).make(floor, PASSWORD).unwrap();
        cut(&mut tpm, LEFT_BEHIND, floor);
        assert_eq!(Counter(&mut tpm).counted().unwrap(), Some(floor));
        floor = Counter(&mut tpm).raise(floor + 2, PASSWORD).unwrap();
        let was_cut = cut(&mut tpm, first, floor);
        for second in 0.. {
            assert_eq!(Counter(&mut tpm).floor().unwrap(), Some(floor), "{first}");
            // A newer image runs by now.
            let was_cut = cut(&mut tpm, second, floor + 1);
            let after = Counter(&mut tpm).floor().unwrap();
            let expected = if was_cut {
                floor..=floor + 1
            } else {
                floor + 1..=floor + 1
            };
            assert!(
                after.is_some_and(|after| expected.contains(&after)),
                "{first}, {second}: {after:?}"
            );
            floor = after.unwrap();
            if !was_cut {
                break;
            }
        }
        if !was_cut {
            break;
        }
    }
}
