//! What the box can prove of itself.

use super::Look;
use crate::table::table;
use crate::{KeyView, RegistersView};

pub(crate) fn keys(list: &[KeyView], look: Look) -> String {
    let rows = list.iter().map(|key| {
        [
            key.name.as_str().into(),
            key.place.as_str().into(),
            key.fingerprint.as_str().into(),
        ]
    });
    table(["KEY", "KEPT IN", "SHA-256"], rows.collect(), look.color)
}

pub(crate) fn registers(view: &RegistersView, look: Look) -> String {
    let rows = view
        .sha256
        .iter()
        .map(|(number, value)| [number.to_string().into(), value.as_str().into()]);
    table(["PCR", "SHA-256"], rows.collect(), look.color)
}
