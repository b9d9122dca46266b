use std::cell::RefCell;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::staged::Staged;
use crate::tests::{Fake, SIZE, content, furnished};

/// The release that runs before the update, and the one in the bundle.
const OLD: u64 = 4;
const NEW: u64 = 5;

/// A bundle with image 2; none when it was tampered with.
#[derive(Clone)]
struct Given(Rc<RefCell<Option<Vec<u8>>>>);

impl Bundles for Given {
    fn open(&self, newer_than: u64, _: u64) -> Result<Staged, String> {
        if newer_than >= NEW {
            return Err(format!("release {NEW} is not newer than {newer_than}"));
        }
        let bytes = self.0.borrow().clone().ok_or("the signature is wrong")?;
        let good = content(2, SIZE);
        let sha256 = Sha256::digest(&good)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>();
        Ok(Staged {
            image: Image {
                size: SIZE,
                sha256: sha256.concat(),
            },
            release: NEW,
            bytes: Box::new(io::Cursor::new(bytes)),
        })
    }
}

#[derive(Clone)]
struct Chip(Rc<RefCell<Option<u64>>>);

impl Counts for Chip {
    fn floor(&mut self) -> Result<Option<u64>, String> {
        Ok(*self.0.borrow())
    }

    fn raise(&mut self, to: u64) -> Result<u64, String> {
        let mut floor = self.0.borrow_mut();
        let now = floor
            .ok_or("this box has no TPM that could count releases")?
            .max(to);
        *floor = Some(now);
        Ok(now)
    }
}

struct Held {
    fake: Fake,
    folder: TempDir,
    bundle: Given,
    chip: Chip,
}

impl Held {
    fn new() -> Self {
        Self {
            fake: furnished(),
            folder: tempfile::tempdir().unwrap(),
            bundle: Given(Rc::new(RefCell::new(Some(content(2, SIZE))))),
            chip: Chip(Rc::new(RefCell::new(Some(OLD)))),
        }
    }

    /// A start; what was said in /run is gone.
    fn start(&self, booted: Slot, release: u64) -> Keeper<&Fake, Given, Chip> {
        let confirmed = self.folder.path().join("confirmed");
        let _ = fs::remove_file(&confirmed);
        let boot = Boot {
            booted,
            release,
            trial: self.trial(),
            confirmed,
        };
        let slots = Slots::open(&self.fake).unwrap();
        Keeper::new(slots, self.bundle.clone(), self.chip.clone(), boot)
    }

    fn trial(&self) -> PathBuf {
        self.folder.path().join("trial")
    }
}

fn refused(reply: Reply) -> String {
    match reply {
        Reply::Refused(refusal) => refusal.sentence,
        other => panic!("{other:?}"),
    }
}

fn look(keeper: &mut Keeper<&Fake, Given, Chip>) -> View {
    match keeper.answer(&Command::Look {}) {
        Reply::Looked(view) => view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_goes_from_written_to_raised_and_every_command_may_be_given_twice() {
    let held = Held::new();
    let mut keeper = held.start(Slot::A, OLD);
    for _ in 0..2 {
        assert!(
            matches!(keeper.answer(&Command::Write {}), Reply::Hashed(image) if image.size == SIZE)
        );
        assert!(!look(&mut keeper).trial);
    }
    for _ in 0..2 {
        assert_eq!(keeper.answer(&Command::Arm {}), Reply::Done {});
        assert!(look(&mut keeper).armed && look(&mut keeper).trial);
    }
    // The firmware starts B once.
    Slots::open(&held.fake).unwrap().set_next(None).unwrap();
    let mut keeper = held.start(Slot::B, NEW);
    assert_eq!(
        (look(&mut keeper).booted, look(&mut keeper).running),
        (Slot::B, Slot::B)
    );
    for _ in 0..2 {
        assert_eq!(keeper.answer(&Command::Exchange {}), Reply::Done {});
        let view = look(&mut keeper);
        assert_eq!(
            (view.booted, view.running, view.trial),
            (Slot::B, Slot::A, false)
        );
    }
    for _ in 0..2 {
        assert!(matches!(
            keeper.answer(&Command::Mirror { from: Slot::A }),
            Reply::Hashed(_)
        ));
        assert_eq!(
            keeper.answer(&Command::Raise {}),
            Reply::Raised { floor: NEW }
        );
    }
    let slots = Slots::open(&held.fake).unwrap();
    assert_eq!(slots.hash(Slot::A).unwrap(), slots.hash(Slot::B).unwrap());
}

#[test]
fn what_was_not_signed_or_is_not_newer_reaches_no_slot() {
    let held = Held::new();
    let before = Slots::open(&held.fake).unwrap().hash(Slot::B).unwrap();
    let mut keeper = held.start(Slot::A, NEW);
    assert!(refused(keeper.answer(&Command::Write {})).contains("not newer"));
    // The counter knows of a newer one than what runs.
    *held.chip.0.borrow_mut() = Some(NEW);
    let mut keeper = held.start(Slot::A, OLD);
    assert!(refused(keeper.answer(&Command::Write {})).contains("not newer"));
    *held.chip.0.borrow_mut() = Some(OLD);
    *held.bundle.0.borrow_mut() = None;
    for command in [Command::Write {}, Command::Arm {}] {
        assert!(refused(keeper.answer(&command)).contains("signature"));
    }
    assert_eq!(
        Slots::open(&held.fake).unwrap().hash(Slot::B).unwrap(),
        before
    );
}

#[test]
fn a_bundle_that_changes_after_it_was_verified_is_neither_armed_nor_exchanged() {
    let held = Held::new();
    let mut keeper = held.start(Slot::A, OLD);
    *held.bundle.0.borrow_mut() = Some(content(3, SIZE));
    assert!(refused(keeper.answer(&Command::Write {})).contains("does not hold what was written"));
    assert!(refused(keeper.answer(&Command::Arm {})).contains("write it first"));
    assert!(!look(&mut keeper).armed && !held.trial().exists());
    let mut keeper = held.start(Slot::B, NEW);
    assert!(refused(keeper.answer(&Command::Exchange {})).contains("write it first"));
}

#[test]
fn a_trial_overwrites_neither_slot_and_the_old_image_confirms_nothing() {
    let held = Held::new();
    held.start(Slot::A, OLD).answer(&Command::Write {});
    let mut keeper = held.start(Slot::B, NEW);
    for command in [
        Command::Write {},
        Command::Arm {},
        Command::Raise {},
        Command::Mirror { from: Slot::A },
    ] {
        refused(keeper.answer(&command));
    }
    let mut keeper = held.start(Slot::A, OLD);
    assert!(refused(keeper.answer(&Command::Exchange {})).contains("was not started"));
    // Another release runs in B than the bundle has.
    let mut keeper = held.start(Slot::B, OLD);
    assert!(refused(keeper.answer(&Command::Exchange {})).contains("release 4 runs"));
}

#[test]
fn what_runs_from_b_is_counted_once_a_holds_it_too_and_not_before() {
    let held = Held::new();
    held.start(Slot::A, OLD).answer(&Command::Write {});
    let mut keeper = held.start(Slot::B, NEW);
    assert!(refused(keeper.answer(&Command::Raise {})).contains("slot A holds another image"));
    assert_eq!(*held.chip.0.borrow(), Some(OLD));
    keeper.answer(&Command::Mirror { from: Slot::B });
    assert_eq!(
        keeper.answer(&Command::Raise {}),
        Reply::Raised { floor: NEW }
    );
}

#[test]
fn who_is_stopped_between_the_exchange_and_its_mark_finds_it_done() {
    let held = Held::new();
    let mut keeper = held.start(Slot::A, OLD);
    keeper.answer(&Command::Write {});
    keeper.answer(&Command::Arm {});
    Slots::open(&held.fake).unwrap().exchange().unwrap();
    let mut keeper = held.start(Slot::B, NEW);
    assert_eq!(keeper.answer(&Command::Exchange {}), Reply::Done {});
    let view = look(&mut keeper);
    assert_eq!((view.running, view.trial), (Slot::A, false));
    let new = Slots::open(&held.fake).unwrap().hash(Slot::A).unwrap();
    assert_eq!(new.sha256, held.bundle.open(OLD, 0).unwrap().image.sha256);
}

#[test]
fn disarming_leaves_nothing_of_a_trial() {
    let held = Held::new();
    let mut keeper = held.start(Slot::A, OLD);
    keeper.answer(&Command::Write {});
    keeper.answer(&Command::Arm {});
    for _ in 0..2 {
        assert_eq!(keeper.answer(&Command::Disarm {}), Reply::Done {});
        let view = look(&mut keeper);
        assert!(!view.armed && !view.trial);
    }
}
