//! The mark of the box's volume.

use std::io::{Read as _, Write as _};

use edged_tpm::{Command, Counter, Mark, Volume};

use crate::swtpm::Swtpm;

fn marks() -> [Mark; 2] {
    ["first", "second"].map(|words| Mark::of(words).unwrap())
}

#[test]
fn a_box_knows_the_volume_that_it_has_made_last() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    let mut volume = Volume(&mut tpm);
    let [own, other] = marks();
    assert_eq!(volume.known().unwrap(), None, "it has none yet");
    volume.remember(&own).unwrap();
    assert_eq!(volume.known().unwrap(), Some(own));
    volume.remember(&other).unwrap();
    assert_eq!(volume.known().unwrap(), Some(other));
}

#[test]
fn a_box_that_knows_its_volume_never_forgets_it() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    let [first, next] = marks();
    let mut known = first;
    Volume(&mut tpm).remember(&first).unwrap();
    for cut in 0.. {
        tpm.0.commands = cut;
        let done = Volume(&mut tpm).remember(&next).is_ok();
        tpm.0.commands = usize::MAX;
        known = Volume(&mut tpm).known().unwrap().unwrap();
        assert!(known == first || known == next, "cut after {cut}");
        if done {
            break;
        }
    }
    assert_eq!(known, next);
}

#[test]
fn a_mark_is_taken_up_again_where_the_power_failed_before_the_first_one_was_written() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    let [own, _] = marks();
    // The write that finds nothing, and the definition.
    tpm.0.commands = 2;
    Volume(&mut tpm).remember(&own).unwrap_err();
    tpm.0.commands = usize::MAX;
    let mut volume = Volume(&mut tpm);
    assert_eq!(volume.known().unwrap(), None);
    volume.remember(&own).unwrap();
    assert_eq!(volume.known().unwrap(), Some(own));
}

/// `TPM2_HierarchyChangeAuth` by the owner (part 3, 24.8): edged speaks for it, and an edged that was taken too.
const OWNER_CLOSES: [u8; 33] = [
    0x80, 0x02, 0, 0, 0, 33, 0, 0, 0x01, 0x29, 0x40, 0, 0, 0x01, 0, 0, 0, 9, 0x40, 0, 0, 0x09, 0,
    0, 0, 0, 0, 0, 4, b'm', b'i', b'n', b'e',
];

#[test]
fn a_password_of_the_owner_does_not_keep_a_box_from_starting() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    let [own, _] = marks();
    Volume(&mut tpm).remember(&own).unwrap();
    Counter(&mut tpm).make(4, b"password").unwrap();
    tpm.0.write_all(&OWNER_CLOSES).unwrap();
    let mut answer = [0; 64];
    let length = tpm.0.read(&mut answer).unwrap();
    assert_eq!(answer[..length].get(6..10), Some([0; 4].as_slice()));
    assert_eq!(Volume(&mut tpm).known().unwrap(), Some(own));
    assert_eq!(Counter(&mut tpm).floor().unwrap(), Some(4));
    // Only PID 1 speaks for the platform.
    tpm.run(&Command::close_platform()).unwrap();
    Volume(&mut tpm).known().unwrap_err();
}

#[test]
fn nobody_writes_a_mark_once_the_platform_is_closed() {
    let swtpm = Swtpm::new();
    let mut tpm = swtpm.tpm();
    let [own, other] = marks();
    Volume(&mut tpm).remember(&own).unwrap();
    tpm.run(&Command::close_platform()).unwrap();
    Volume(&mut tpm).remember(&other).unwrap_err();
    assert_eq!(Volume(&mut tpm).known().unwrap(), Some(own));
}

#[test]
fn words_that_are_too_long_are_no_mark() {
    assert!(Mark::of(&"x".repeat(256)).is_some());
    assert!(Mark::of(&"x".repeat(257)).is_none());
}
