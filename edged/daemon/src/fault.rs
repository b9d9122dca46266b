//! Fault points: places between two steps where a test can end the process.
//!
//! `EDGED_FAULT_FILE` names a file. While it says `after:create-container`, edged removes it and aborts when that point
//! is passed: once, however often edged is started again, and at any time a test likes. Debug builds only: the shipped
//! program has neither the variable nor the points.

use edged_model::Action;

/// Before or after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it is done.
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

/// Writing a new instance or a new goal into the store: between the wish and the promise.
pub const KEEP: &str = "keep";

/// Ends the process here when the file asks for it.
pub fn pass(moment: Moment, step: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(file) = std::env::var_os("EDGED_FAULT_FILE") else {
        return;
    };
    let point = match moment {
        Moment::Before => format!("before:{step}"),
        Moment::After => format!("after:{step}"),
    };
    let asked = std::fs::read_to_string(&file).is_ok_and(|wanted| wanted.trim() == point);
    if asked && std::fs::remove_file(&file).is_ok() {
        // The last word of a process that is about to end as if the power had gone.
        eprintln!("edged: fault point {point}");
        std::process::abort();
    }
}
