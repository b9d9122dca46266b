//! Fault points: places between two actions where a test can end the process.
//!
//! `EDGED_FAULT=after:create-container` aborts when that point is passed for the first time. Debug builds only: the
//! shipped program has neither the variable nor the points.

use edged_model::Action;

/// Before or after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the action is done.
    Before,
    /// All of it is, and nobody knows yet.
    After,
}

/// Every action's name at its fault points.
pub fn name(action: &Action) -> &'static str {
    match action {
        Action::UnpackLayer(_) => "unpack-layer",
        Action::AllowTraffic => "allow-traffic",
        Action::GrantAccount => "grant-account",
        Action::CreateContainer => "create-container",
        Action::AttachLink => "attach-link",
        Action::StartContainer => "start-container",
        Action::Announce => "announce",
        Action::Withdraw => "withdraw",
        Action::StopContainer => "stop-container",
        Action::DeleteContainer => "delete-container",
        Action::DetachLink => "detach-link",
        Action::RevokeAccount => "revoke-account",
        Action::DenyTraffic => "deny-traffic",
        Action::Forget => "forget",
    }
}

/// Ends the process here when the environment asks for it.
pub fn pass(moment: Moment, action: &Action) {
    if cfg!(debug_assertions) {
        let point = match moment {
            Moment::Before => format!("before:{}", name(action)),
            Moment::After => format!("after:{}", name(action)),
        };
        if std::env::var("EDGED_FAULT").is_ok_and(|wanted| wanted == point) {
            // The last word of a process that is about to end as if the power had gone.
            eprintln!("edged: fault point {point}");
            std::process::abort();
        }
    }
}
