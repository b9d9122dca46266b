//! Package management (ETSI GS MEC 010-2): packages on-boarded, enabled, disabled, deleted.
//!
//! [`Packages`] is the one owner of what packages there are; [`PackageManagement`] changes it, for the REST interface
//! and for the operator's console alike, and every change is durable when it is answered. Content goes to a file as it
//! comes, and is checked whole on a blocking thread, one package after the other. A package that is refused leaves its
//! announcement with the reason and nothing else: no image, no file. So does one that a restart interrupted.

mod folder;
mod index;
mod record;
mod rules;

pub use index::{OnboardedPackage, PACKAGES, Packages};
pub use record::{Content, OwnImage, PackageId, Stage, StoredPackage};
pub use rules::{RuleFault, rules};
