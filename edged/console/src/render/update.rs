//! Updates.

use super::Look;
use super::findings;
use crate::UpdateView;

/// The findings say it all: the rest of the view is for programs.
pub(crate) fn update(view: &UpdateView, look: Look) -> String {
    findings(&view.findings, look)
}
