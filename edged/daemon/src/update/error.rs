//! Why an update is not taken, as the operator reads it.

use std::fmt::Display;
use std::path::Path;

use edged_console::{ErrorKind, PlatformError};
use edged_update::{Refusal, State};

/// What a machine says whose software comes another way.
pub(super) const ELSEWHERE: &str =
    "there is nothing to update here: this machine did not boot an image of ours";

pub(super) fn elsewhere() -> PlatformError {
    PlatformError::new(ErrorKind::Conflict, ELSEWHERE)
        .with_hint("update this machine as it was installed")
}

pub(super) fn broken(why: &str) -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        format!("nothing can be updated: {why}"),
    )
    .with_hint("mend that, and reboot")
}

pub(super) fn ending() -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        "edged is ending; look at `update status` in a moment",
    )
}

pub(super) fn busy() -> PlatformError {
    PlatformError::new(ErrorKind::Conflict, "another bundle is being taken")
        .with_hint("wait until it is there, or end that upload")
}

pub(super) fn under_way(state: &State) -> PlatformError {
    let what = state.update().map_or_else(String::new, |update| {
        format!("release {} is under way ({state})", update.release)
    });
    PlatformError::new(ErrorKind::Conflict, what)
        .with_hint("wait for its end, or give it up with `update rollback`")
}

pub(super) fn no_slots(problem: Option<&str>) -> PlatformError {
    let why = problem.unwrap_or("the boot partition was not looked at yet");
    PlatformError::new(ErrorKind::Unavailable, why).with_hint("try again in a moment")
}

pub(super) fn file(path: &Path, error: &dyn Display) -> PlatformError {
    PlatformError::new(
        ErrorKind::Internal,
        format!("{} cannot be used: {error}", path.display()),
    )
}

pub(super) fn refused(refusal: &Refusal) -> PlatformError {
    let kind = match refusal {
        Refusal::Io(_) => ErrorKind::Unavailable,
        Refusal::NotNewer { .. } | Refusal::NoWayBack { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Invalid,
    };
    PlatformError::new(kind, refusal.to_string())
}

pub(super) fn broke_off(error: &dyn Display) -> PlatformError {
    PlatformError::new(ErrorKind::Invalid, format!("the bundle broke off: {error}"))
        .with_hint("send it again")
}

pub(super) fn no_room(wanted: u64, there: u64) -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        format!(
            "the bundle needs {} MB on the data partition, and {} MB are free",
            wanted.div_ceil(1_000_000),
            there / 1_000_000
        ),
    )
    .with_hint("remove images that nobody uses with `rmi`, or packages, and try again")
}
