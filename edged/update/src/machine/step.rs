//! The next state and the next action.

use super::{ATTEMPTS, Action, Health, Last, Outcome, Slot, State, Update, Wish, World};
use crate::{Before, Release};

/// Starts of the box to leave an image that was given up: one may be cut off while B is still armed.
const RESTARTS: u8 = 2;
/// Why it did not stay, where the firmware said so and nobody else.
const REFUSED: &str = "the firmware refused it once it was to start by itself";

/// What to record, and then to do. With [`Action::Wait`] and another state it is asked again at once.
pub fn step(state: &State, world: &World) -> (State, Action) {
    let stay = |action| (state.clone(), action);
    let new = |update: &Update| update.release == world.slots.release;
    match state {
        State::Idle { last } => idle(state, last.as_ref(), world),
        State::Staged { update, before } => {
            if let Some(why) = given_up(world, Action::Write) {
                give_up(update, why, world)
            } else if world.slots.running == Slot::B {
                give_up(update, "the image in A does not start any more", world)
            } else if world.written {
                let (update, before) = (update.clone(), before.clone());
                (State::Written { update, before }, Action::Wait)
            } else {
                stay(Action::Write)
            }
        }
        State::Written { update, before } => match given_up(world, Action::Arm) {
            // The firmware has refused A, and this start is the trial already.
            _ if new(update) => attempt(update, before, 1, world),
            Some(why) => give_up(update, why, world),
            None => attempt(update, before, 1, world),
        },
        State::Trying {
            update,
            before,
            attempt,
            boot,
        } => match (new(update), world.slots.running) {
            (true, Slot::A) => settling(update, None),
            (true, Slot::B) => stay(match trial(world) {
                Ok(action) => action,
                Err(why) => return give_up(update, &why, world),
            }),
            (false, Slot::B) => give_up(update, REFUSED, world),
            (false, Slot::A) if *boot == world.boot => match given_up(world, Action::Arm) {
                Some(why) => give_up(update, why, world),
                None if world.slots.armed => stay(world.or_wait(Action::Restart)),
                None => stay(Action::Arm),
            },
            (false, Slot::A) => back(state, update, before, *attempt, world),
        },
        State::RollingBack {
            update,
            why,
            restarts,
            boot,
        } => {
            if new(update) {
                leave(state, update, (why, *restarts, boot == &world.boot), world)
            } else {
                let outcome = Outcome::RolledBack { why: why.clone() };
                roll_back(state, update, outcome, world)
            }
        }
        State::Settling { update, .. } if !new(update) => give_up(update, REFUSED, world),
        State::Settling { update, kept } => settle(state, update, kept.as_deref(), world),
    }
}

/// Nothing is under way.
fn idle(state: &State, last: Option<&Last>, world: &World) -> (State, Action) {
    let stay = |action| (state.clone(), action);
    if world.slots.running == Slot::A {
        let left_over = world.slots.trial || world.slots.armed;
        return stay(if left_over {
            world.or_wait(Action::Disarm)
        } else {
            Action::Wait
        });
    }
    if world.slots.trial {
        let update = Update {
            release: world.slots.release,
            version: String::new(),
            from: Release::default(),
        };
        return give_up(&update, "there is no record of this trial", world);
    }
    // A was refused. What runs repairs it, unless it is what was rolled back.
    let good = last.is_none_or(|last| match last.outcome {
        Outcome::Confirmed | Outcome::Kept { .. } => true,
        Outcome::RolledBack { .. } => last.update.release != world.slots.release,
    });
    stay(if good && !world.mirrored {
        world.or_wait(Action::Mirror(Slot::B))
    } else {
        Action::Wait
    })
}

/// Why an update does not go on: an operator, or an action that was refused.
fn given_up(world: &World, action: Action) -> Option<&str> {
    if world.wish == Some(Wish::RollBack) {
        return Some("an operator has rolled it back");
    }
    world.refusal(action)
}

fn give_up(update: &Update, why: &str, world: &World) -> (State, Action) {
    let state = State::RollingBack {
        update: update.clone(),
        why: why.to_owned(),
        restarts: 1,
        boot: world.boot.clone(),
    };
    (state, Action::Wait)
}

/// An attempt is recorded; the step that finds it recorded arms B.
fn attempt(update: &Update, before: &Before, number: u8, world: &World) -> (State, Action) {
    let state = State::Trying {
        update: update.clone(),
        before: before.clone(),
        attempt: number,
        boot: world.boot.clone(),
    };
    (state, Action::Wait)
}

/// In the new image, before it is confirmed: what to do, or why it is given up.
fn trial(world: &World) -> Result<Action, String> {
    if let Some(why) = given_up(world, Action::Exchange) {
        return Err(why.to_owned());
    }
    match &world.health {
        Health::Good => Ok(Action::Exchange),
        Health::Fresh if world.wish == Some(Wish::Confirm) => Ok(Action::Exchange),
        Health::Fresh | Health::Missing(_) => Ok(Action::Wait),
        Health::Overdue(why) => Err(why.clone()),
    }
}

/// In the old image, after an attempt that has said nothing.
fn back(
    state: &State,
    update: &Update,
    before: &Before,
    number: u8,
    world: &World,
) -> (State, Action) {
    if let Some(why) = given_up(world, Action::Arm) {
        return give_up(update, why, world);
    }
    if number >= ATTEMPTS {
        let why = format!("{number} trials ended without a word: a hang, a panic, or the power");
        return give_up(update, &why, world);
    }
    match &world.health {
        Health::Good => attempt(update, before, number + 1, world),
        Health::Fresh | Health::Missing(_) => (state.clone(), Action::Wait),
        Health::Overdue(why) => {
            let why = format!("the box does not get well without it either: {why}");
            give_up(update, &why, world)
        }
    }
}

/// In an image that was given up: the box is started anew, and where it comes back here, nothing else starts.
fn leave(
    state: &State,
    update: &Update,
    (why, restarts, same): (&str, u8, bool),
    world: &World,
) -> (State, Action) {
    if world.slots.running == Slot::A {
        return settling(update, Some(why));
    }
    if same {
        // The mark of the trial stays: as long as it is there, PID 1's guard resets a box that does not start anew by itself.
        let disarm = world.slots.armed && world.refusal(Action::Disarm).is_none();
        let restart = world.or_wait(Action::Restart);
        return (state.clone(), if disarm { Action::Disarm } else { restart });
    }
    if restarts >= RESTARTS {
        return settling(update, Some(why));
    }
    let state = State::RollingBack {
        update: update.clone(),
        why: why.to_owned(),
        restarts: restarts + 1,
        boot: world.boot.clone(),
    };
    (state, Action::Wait)
}

fn settling(update: &Update, kept: Option<&str>) -> (State, Action) {
    let state = State::Settling {
        update: update.clone(),
        kept: kept.map(str::to_owned),
    };
    (state, Action::Wait)
}

/// The new image starts by itself: its copy, then the counter. Without a copy the counter stays, or an old B would not
/// start where A does not either.
fn settle(state: &State, update: &Update, kept: Option<&str>, world: &World) -> (State, Action) {
    let stay = |action| (state.clone(), world.or_wait(action));
    let slots = world.slots;
    if !world.disarmed && world.refusal(Action::Disarm).is_none() {
        return stay(Action::Disarm);
    }
    if !world.mirrored {
        return stay(Action::Mirror(slots.running));
    }
    if slots.floor.is_some_and(|floor| floor < update.release) {
        return stay(Action::Raise);
    }
    let outcome = kept.map_or(Outcome::Confirmed, |why| Outcome::Kept {
        why: why.to_owned(),
    });
    end(update, outcome, world)
}

/// The old image stays: nothing armed, both slots alike.
fn roll_back(state: &State, update: &Update, outcome: Outcome, world: &World) -> (State, Action) {
    if !world.disarmed && world.refusal(Action::Disarm).is_none() {
        return (state.clone(), Action::Disarm);
    }
    let mirror = Action::Mirror(world.slots.running);
    if !world.mirrored && world.refusal(mirror).is_none() {
        return (state.clone(), mirror);
    }
    end(update, outcome, world)
}

fn end(update: &Update, outcome: Outcome, world: &World) -> (State, Action) {
    let last = Some(Last {
        update: update.clone(),
        outcome,
        at: world.now,
    });
    (State::Idle { last }, Action::Remove)
}
