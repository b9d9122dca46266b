//! The state machine on a box that is all in memory, whose power may go between any two things that stay.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use edged_update::{
    ATTEMPTS, Action, Before, BootId, Failure, Health, Last, Outcome, Release, Slot, Slots, State,
    Update, Wish, World, step,
};
use proptest::prelude::*;

const OLD: u64 = 4;
const NEW: u64 = 5;
/// Starts of the box after which an update that has not ended never will: three trials, the way there, back and out of an
/// image that was given up, and one more for each cut.
const STARTS: usize = 16;

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Old,
    New,
    Torn,
}

/// How a start of the new image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Healthy,
    Sick,
    /// It hangs, panics, or the guard resets it.
    Dies,
    /// The firmware does not take it from B.
    Refused,
}

/// The power is gone.
#[derive(Debug)]
struct Cut;

/// Everything that stays, and the power that does not.
#[derive(Debug, Clone)]
struct Machine {
    a: Content,
    b: Content,
    armed: bool,
    trial: bool,
    floor: Option<u64>,
    state: State,
    staged: bool,
    starts: Vec<Start>,
    power: Vec<usize>,
    boots: usize,
    armings: u8,
    refuse: Vec<Action>,
    wish: Option<Wish>,
}

impl Machine {
    fn staged() -> Self {
        Self {
            a: Content::Old,
            b: Content::Old,
            armed: false,
            trial: false,
            floor: Some(OLD),
            state: State::Staged {
                update: update(),
                before: before(),
            },
            staged: true,
            starts: Vec::new(),
            power: Vec::new(),
            boots: 0,
            armings: 0,
            refuse: Vec::new(),
            wish: None,
        }
    }

    /// Something that stays: the power may go just before it.
    fn stays(&mut self) -> Result<(), Cut> {
        match self.power.first_mut() {
            Some(0) => {
                self.power.remove(0);
                Err(Cut)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What the firmware starts: as U-Boot, which deletes `BootNext` first, then goes by the order A, B.
    fn firmware(&mut self, start: Start) -> Result<(Slot, Content), Cut> {
        let takes = |content| content != Content::Torn;
        if self.armed {
            self.stays()?;
            self.armed = false;
            if takes(self.b) && start != Start::Refused {
                return Ok((Slot::B, self.b));
            }
        }
        if takes(self.a) {
            return Ok((Slot::A, self.a));
        }
        assert!(takes(self.b), "nothing starts: {self:?}");
        Ok((Slot::B, self.b))
    }

    /// Whether umec-slot does it, by where what runs lies; it looks at the bundle too, which is right here.
    fn slot_does(&self, action: Action, booted: Slot, running: Slot) -> bool {
        match action {
            Action::Write | Action::Arm => running == Slot::A,
            Action::Exchange => booted == Slot::B,
            Action::Mirror(from) => from == running,
            Action::Raise => running == Slot::A || self.a == self.b,
            Action::Disarm | Action::Restart | Action::Remove | Action::Wait => true,
        }
    }

    /// One start, until the power goes, the box starts anew, or nothing is left to do (true).
    #[allow(clippy::too_many_lines)] // One arm an action.
    fn start(&mut self) -> Result<bool, Cut> {
        let start = self
            .starts
            .get(self.boots)
            .copied()
            .unwrap_or(Start::Healthy);
        self.boots += 1;
        let boot = BootId::new(self.boots.to_string());
        let (booted, content) = self.firmware(start)?;
        let new = content == Content::New;
        if new && start == Start::Dies {
            return Ok(false);
        }
        let mut running = booted;
        let (mut written, mut mirrored, mut disarmed, mut looks) = (false, false, false, 0);
        let mut failed: Vec<Failure> = Vec::new();
        loop {
            let health = match looks {
                0 => Health::Missing("web".to_owned()),
                _ if new && start == Start::Sick => Health::Overdue("web".to_owned()),
                1 => Health::Fresh,
                _ => Health::Good,
            };
            let world = World {
                now: 7,
                boot: boot.clone(),
                slots: Slots {
                    running,
                    release: Release::new(if new { NEW } else { OLD }),
                    armed: self.armed,
                    trial: self.trial && booted == Slot::B,
                    floor: self.floor.map(Release::new),
                },
                health,
                wish: self.wish,
                written,
                disarmed,
                mirrored,
                failed: failed.clone(),
            };
            let (state, action) = step(&self.state, &world);
            let same = state == self.state;
            if !same {
                self.stays()?;
                self.state = state;
            }
            if self.refuse.contains(&action) {
                assert!(failed.len() < 8, "{action:?} is asked for again and again");
                let why = "it was refused".to_owned();
                failed.push(Failure { action, why });
                continue;
            }
            assert!(
                self.slot_does(action, booted, running),
                "umec-slot refuses {action:?}: {self:?}"
            );
            match action {
                Action::Write => {
                    self.write(Slot::B, Content::New)?;
                    (written, mirrored) = (true, false);
                }
                Action::Arm => {
                    assert_eq!(self.b, Content::New);
                    self.stays()?;
                    self.trial = true;
                    self.stays()?;
                    self.armed = true;
                    self.armings += 1;
                    disarmed = false;
                }
                Action::Disarm => {
                    self.stays()?;
                    self.armed = false;
                    self.stays()?;
                    self.trial = false;
                    disarmed = true;
                }
                Action::Exchange => {
                    assert!(new && running == Slot::B);
                    self.stays()?;
                    std::mem::swap(&mut self.a, &mut self.b);
                    running = Slot::A;
                    self.stays()?;
                    self.trial = false;
                }
                Action::Mirror(from) => {
                    let to = if from == Slot::A { Slot::B } else { Slot::A };
                    self.write(to, content)?;
                    mirrored = true;
                }
                Action::Raise => {
                    assert!(new && self.a == Content::New && self.b == Content::New);
                    self.stays()?;
                    self.floor = Some(NEW);
                }
                Action::Restart => return Ok(false),
                Action::Remove => {
                    self.stays()?;
                    self.staged = false;
                }
                Action::Wait if !same => {}
                Action::Wait => {
                    looks += 1;
                    if looks > 4 || matches!(self.state, State::Idle { .. }) {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn write(&mut self, slot: Slot, content: Content) -> Result<(), Cut> {
        let place = |machine: &mut Self, content| match slot {
            Slot::A => machine.a = content,
            Slot::B => machine.b = content,
        };
        self.stays()?;
        place(self, Content::Torn);
        self.stays()?;
        place(self, content);
        Ok(())
    }

    /// Starts it until nothing is left to do.
    fn run(mut self) -> Self {
        for _ in 0..STARTS {
            if let Ok(true) = self.start() {
                return self;
            }
        }
        panic!("it never ends: {self:?}");
    }

    fn outcome(&self) -> &Outcome {
        match &self.state {
            State::Idle {
                last: Some(Last { outcome, .. }),
            } => outcome,
            other => panic!("it ended as {other:?}"),
        }
    }

    fn why(&self) -> &str {
        match self.outcome() {
            Outcome::RolledBack { why } | Outcome::Kept { why } => why,
            Outcome::Confirmed => panic!("it was confirmed"),
        }
    }

    /// Whether the end is one that may be: both slots alike, what runs is what it says.
    fn is_whole(&self) {
        let content = match self.outcome() {
            Outcome::Confirmed | Outcome::Kept { .. } => Content::New,
            Outcome::RolledBack { .. } => Content::Old,
        };
        assert_eq!((self.a, self.b), (content, content), "{self:?}");
        assert!(!self.armed && !self.trial, "{self:?}");
        let floor = if content == Content::New { NEW } else { OLD };
        assert_eq!(self.floor, Some(floor), "{self:?}");
        assert!(self.armings <= ATTEMPTS, "{self:?}");
    }
}

/// How a box was that had a broker.
fn before() -> Before {
    Before {
        parts: ["broker".to_owned()].into(),
        ..Before::default()
    }
}

fn update() -> Update {
    Update {
        release: Release::new(NEW),
        version: "0.1.0".to_owned(),
        from: Release::new(OLD),
    }
}

#[test]
fn a_healthy_image_is_confirmed_at_its_first_trial() {
    let ended = Machine::staged().run();
    assert_eq!(ended.outcome(), &Outcome::Confirmed);
    ended.is_whole();
    assert_eq!((ended.boots, ended.armings, ended.staged), (2, 1, false));
}

#[test]
fn an_image_that_says_it_is_sick_is_not_tried_again() {
    let mut machine = Machine::staged();
    machine.starts = vec![Start::Sick; STARTS];
    let ended = machine.run();
    assert_eq!(ended.why(), "web");
    ended.is_whole();
    assert_eq!(ended.armings, 1);
}

#[test]
fn an_image_that_dies_is_given_up_after_three_trials() {
    for start in [Start::Dies, Start::Refused] {
        let mut machine = Machine::staged();
        machine.starts = vec![start; STARTS];
        let ended = machine.run();
        assert!(ended.why().starts_with("3 trials"), "{}", ended.why());
        ended.is_whole();
        assert_eq!(ended.armings, 3);
    }
}

#[test]
fn an_image_that_died_twice_and_lives_then_is_confirmed() {
    let mut machine = Machine::staged();
    machine.starts = vec![Start::Healthy, Start::Dies, Start::Healthy, Start::Dies];
    let ended = machine.run();
    assert_eq!(ended.outcome(), &Outcome::Confirmed);
    assert_eq!(ended.armings, 3);
}

#[test]
fn an_image_that_the_firmware_refuses_after_the_commit_is_rolled_back() {
    let mut seen = 0;
    for power in 0..40 {
        let mut machine = Machine::staged();
        machine.power = vec![power];
        while machine.start().is_ok_and(|ended| !ended) {}
        if (machine.a, machine.b) == (Content::New, Content::Old) {
            seen += 1;
            machine.a = Content::Torn;
            let ended = machine.run();
            assert!(ended.why().starts_with("the firmware refused it"));
            ended.is_whole();
        }
    }
    assert!(
        seen > 2,
        "the power never went between the commit and the copy"
    );
}

#[test]
fn a_rollback_is_heard_in_every_state_before_the_commit() {
    for power in 0..40 {
        let mut machine = Machine::staged();
        machine.power = vec![power];
        let _ = machine.start();
        machine.power.clear();
        machine.wish = Some(Wish::RollBack);
        let before = machine.state.clone();
        let ended = machine.run();
        ended.is_whole();
        if !matches!(before, State::Settling { .. } | State::Idle { .. }) {
            assert_eq!(ended.why(), "an operator has rolled it back", "{before:?}");
        }
    }
}

#[test]
fn what_umec_slot_refuses_ends_the_update_and_says_why() {
    for action in [Action::Write, Action::Arm, Action::Exchange] {
        let mut machine = Machine::staged();
        machine.refuse = vec![action];
        let ended = machine.run();
        assert_eq!(ended.why(), "it was refused", "{action:?}");
        ended.is_whole();
    }
}

#[test]
fn the_counter_stays_where_the_copy_fails_and_the_update_goes_on_later() {
    let mut machine = Machine::staged();
    machine.refuse = vec![Action::Mirror(Slot::A)];
    let ended = machine.run();
    assert!(
        matches!(ended.state, State::Settling { .. }),
        "{:?}",
        ended.state
    );
    assert_eq!((ended.a, ended.floor), (Content::New, Some(OLD)));
    let mut later = ended;
    later.refuse.clear();
    let ended = later.run();
    assert_eq!(ended.outcome(), &Outcome::Confirmed);
    ended.is_whole();
}

#[test]
fn an_image_in_a_that_rots_is_repaired_by_what_runs_from_b() {
    let mut machine = Machine::staged();
    machine.state = State::default();
    machine.a = Content::Torn;
    let ended = machine.run();
    assert_eq!((ended.a, ended.b), (Content::Old, Content::Old));
}

#[test]
fn a_trial_without_a_record_goes_back_to_what_was_good() {
    let mut machine = Machine::staged();
    machine.state = State::default();
    machine.b = Content::New;
    (machine.armed, machine.trial) = (true, true);
    let ended = machine.run();
    assert_eq!(ended.why(), "there is no record of this trial");
    assert_eq!((ended.a, ended.b), (Content::Old, Content::Old));
}

#[test]
fn a_sick_image_is_kept_where_nothing_else_starts() {
    let mut machine = Machine::staged();
    machine.starts = vec![Start::Sick; STARTS];
    assert!(!machine.start().unwrap());
    machine.a = Content::Torn;
    let ended = machine.run();
    assert_eq!(
        ended.outcome(),
        &Outcome::Kept {
            why: "web".to_owned()
        }
    );
    ended.is_whole();
}

#[test]
fn how_the_box_was_when_the_bundle_came_is_what_every_trial_is_measured_by() {
    for power in 0..40 {
        let mut machine = Machine::staged();
        machine.power = vec![power];
        while machine.start().is_ok_and(|ended| !ended) {
            let measured = machine.state.before();
            assert!(measured.is_none_or(|it| *it == before()), "{machine:?}");
        }
        let measured = machine.state.before();
        assert!(measured.is_none_or(|it| *it == before()), "{machine:?}");
    }
}

#[test]
fn a_record_that_does_not_say_yet_how_the_box_was_is_read() {
    let record = r#"{"state": "staged", "update": {"release": 5, "version": "0.1.0", "from": 4}}"#;
    let staged = State::Staged {
        update: update(),
        before: Before::default(),
    };
    assert_eq!(serde_json::from_str::<State>(record).unwrap(), staged);
}

#[test]
fn a_state_is_shown_as_it_is() {
    let state = State::Trying {
        update: update(),
        before: Before::default(),
        attempt: 2,
        boot: BootId::new("x"),
    };
    assert_eq!(state.to_string(), "trial 2 of 3");
}

fn a_start() -> impl Strategy<Value = Start> {
    prop_oneof![
        4 => Just(Start::Healthy),
        2 => Just(Start::Sick),
        2 => Just(Start::Dies),
        1 => Just(Start::Refused),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn from_every_record_a_chain_of_boots_ends_confirmed_or_rolled_back(
        starts in proptest::collection::vec(a_start(), 0..STARTS),
        // Where the power goes, counted in things that stay since the last time.
        power in proptest::collection::vec(0usize..24, 0..4),
        wish in prop_oneof![8 => Just(None), 1 => Just(Some(Wish::Confirm)), 1 => Just(Some(Wish::RollBack))],
        floor in prop_oneof![4 => Just(true), 1 => Just(false)],
    ) {
        let mut machine = Machine::staged();
        (machine.starts, machine.power, machine.wish) = (starts, power, wish);
        if !floor {
            machine.floor = None;
        }
        let mut ended = machine.run();
        if !floor {
            prop_assert_eq!(ended.floor, None);
            ended.floor = Some(if ended.a == Content::New { NEW } else { OLD });
        }
        ended.is_whole();
    }

    #[test]
    fn a_healthy_image_is_confirmed_wherever_the_power_goes(
        power in proptest::collection::vec(0usize..24, 0..3),
    ) {
        let mut machine = Machine::staged();
        machine.power = power;
        let ended = machine.run();
        // Three cuts may be three trials without a word; two are not.
        prop_assert_eq!(ended.outcome(), &Outcome::Confirmed);
        ended.is_whole();
    }
}
