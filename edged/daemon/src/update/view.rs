//! Updates as the operator reads them.

use edged_console::{EndedView, Finding, FindingState, ReleaseView, UpdateView};
use edged_protocol::slot::{Slot, Slots};
use edged_update::{Last, Outcome, State, Update};

use super::error::ELSEWHERE;
use super::keeper::Seen;

/// A machine whose software comes another way.
pub(super) fn elsewhere() -> UpdateView {
    let finding = Finding::new("updates", FindingState::Off, ELSEWHERE);
    off(finding.todo("update this machine as it was installed"))
}

/// A box that cannot be updated, and should be.
pub(super) fn broken(why: &str) -> UpdateView {
    off(Finding::new("updates", FindingState::Failed, why).todo("mend that, and reboot"))
}

fn off(finding: Finding) -> UpdateView {
    UpdateView {
        running: None,
        state: "off".to_owned(),
        update: None,
        last: None,
        findings: vec![finding],
    }
}

/// A box.
pub(super) fn of(seen: &Seen, running: &ReleaseView) -> UpdateView {
    let last = match &seen.state {
        State::Idle { last } => last.as_ref(),
        _ => None,
    };
    let mut findings = vec![software(seen.slots.as_ref(), running, seen.repaired)];
    findings.push(under_way(seen));
    findings.extend(last.map(ended));
    if let Some(slots) = &seen.slots {
        findings.push(counter(slots));
    }
    UpdateView {
        running: Some(running.clone()),
        state: seen.state.to_string(),
        update: seen.state.update().map(release),
        last: last.map(|last| EndedView {
            release: release(&last.update),
            outcome: match last.outcome {
                Outcome::Confirmed => "confirmed",
                Outcome::RolledBack { .. } => "rolled-back",
                Outcome::Kept { .. } => "kept",
            }
            .to_owned(),
            why: why(last).map(str::to_owned),
            at: last.at,
        }),
        findings,
    }
}

fn release(update: &Update) -> ReleaseView {
    ReleaseView {
        release: update.release.get(),
        version: update.version.clone(),
    }
}

fn why(last: &Last) -> Option<&str> {
    match &last.outcome {
        Outcome::Confirmed => None,
        Outcome::RolledBack { why } | Outcome::Kept { why } => Some(why),
    }
}

fn software(slots: Option<&Slots>, running: &ReleaseView, repaired: bool) -> Finding {
    let what = format!("release {} ({}) runs", running.release, running.version);
    let finding = |state, means: String| Finding::new("software", state, means);
    match slots.map(|slots| (slots.running, slots.trial)) {
        None | Some((Slot::A, _)) => finding(FindingState::Ok, what),
        Some((Slot::B, true)) => finding(FindingState::Warning, format!("{what}, on trial")),
        Some((Slot::B, false)) if repaired => finding(
            FindingState::Warning,
            format!("{what} from its copy: the firmware refused the image in slot A, which has been written anew"),
        )
        .todo("reboot; if this comes back, the flash is wearing out"),
        Some((Slot::B, false)) => finding(
            FindingState::Warning,
            format!("{what} from its copy: the firmware refused the image in slot A"),
        )
        .todo("reboot; if this comes back, the flash is wearing out"),
    }
}

fn under_way(seen: &Seen) -> Finding {
    let finding = |state, means: String| Finding::new("update", state, means);
    if let Some(problem) = &seen.problem {
        return finding(FindingState::Failed, problem.clone())
            .todo("look at it again in a minute; reboot if it stays");
    }
    let Some(update) = seen.state.update() else {
        return finding(FindingState::Ok, "none is under way".to_owned());
    };
    let mut means = format!(
        "release {} ({}): {}",
        update.release, update.version, seen.state
    );
    if let Some(health) = &seen.health {
        means = format!("{means}; {health}");
    }
    if let State::RollingBack { why, .. } = &seen.state {
        means = format!("{means}: {why}");
    }
    let found = finding(FindingState::Warning, means);
    match &seen.state {
        State::Staged { .. } | State::Written { .. } | State::Trying { .. } => {
            found.todo("nothing: it ends by itself; `update rollback` gives it up")
        }
        _ => found,
    }
}

fn ended(last: &Last) -> Finding {
    let name = format!("release {} ({})", last.update.release, last.update.version);
    let finding = |state, means| Finding::new("last update", state, means).since(last.at);
    match &last.outcome {
        Outcome::Confirmed => finding(FindingState::Ok, format!("{name} was confirmed")),
        Outcome::RolledBack { why } => finding(
            FindingState::Warning,
            format!("{name} was rolled back: {why}"),
        )
        .todo("mend what it says, and install a release with a higher number"),
        Outcome::Kept { why } => finding(
            FindingState::Failed,
            format!("{name} failed its trial ({why}) and stays: the release before does not start any more"),
        )
        .todo("install a release with a higher number"),
    }
}

fn counter(slots: &Slots) -> Finding {
    match slots.floor {
        Some(floor) => Finding::new(
            "no way back",
            FindingState::Ok,
            format!("the TPM counts: no release below {floor} starts on this box"),
        ),
        None => Finding::new(
            "no way back",
            FindingState::Off,
            "no TPM counts releases: whoever writes to the disk can put an older signed one there",
        )
        .todo("fit a TPM"),
    }
}

#[cfg(test)]
mod tests {
    use edged_update::Release;

    use super::*;

    fn seen(state: State) -> Seen {
        Seen {
            state,
            slots: Some(Slots {
                booted: Slot::A,
                running: Slot::A,
                release: 4,
                a: 1,
                b: 1,
                room: 2,
                armed: false,
                trial: false,
                floor: Some(4),
            }),
            ..Seen::default()
        }
    }

    fn running() -> ReleaseView {
        ReleaseView {
            release: 4,
            version: "0.1.0".to_owned(),
        }
    }

    fn update() -> Update {
        Update {
            release: Release::new(5),
            version: "0.2.0".to_owned(),
            from: Release::new(4),
        }
    }

    #[test]
    fn a_trial_is_shown_as_it_is() {
        let mut seen = seen(State::Trying {
            update: update(),
            before: edged_update::Before::default(),
            attempt: 2,
            boot: edged_update::BootId::new("x"),
        });
        seen.health = Some("the application web is not ready".to_owned());
        let view = of(&seen, &running());
        assert_eq!(view.state, "trial 2 of 3");
        assert_eq!(
            view.findings[1].means,
            "release 5 (0.2.0): trial 2 of 3; the application web is not ready"
        );
    }

    #[test]
    fn a_rollback_says_why_and_what_to_do() {
        let why = "3 trials ended without a word".to_owned();
        let last = Last {
            update: update(),
            outcome: Outcome::RolledBack { why: why.clone() },
            at: 7,
        };
        let view = of(&seen(State::Idle { last: Some(last) }), &running());
        let ended = view.last.unwrap();
        assert_eq!(
            (ended.outcome.as_str(), ended.why),
            ("rolled-back", Some(why))
        );
        assert!(edged_console::is_well(&view.findings));
        assert!(view.findings[2].todo.is_some());
    }

    #[test]
    fn a_machine_of_others_says_that_there_is_nothing_to_update() {
        let view = elsewhere();
        assert_eq!(view.state, "off");
        assert!(view.findings[0].means.contains("nothing to update"));
    }
}
