//! What the box can prove of itself.

use super::Look;
use crate::measure::timestamp;
use crate::table::table;
use crate::{ImageKeyView, KeyView, RegistersView};

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

pub(crate) fn image_keys(list: &[ImageKeyView], look: Look) -> String {
    let day = |at: Option<u64>| {
        at.map_or("-".to_owned(), |at| {
            let text = timestamp(at.saturating_mul(1000));
            text.split('T').next().unwrap_or_default().to_owned()
        })
    };
    let rows = list.iter().map(|key| {
        [
            key.name.as_str().into(),
            day(key.from).into(),
            day(key.until).into(),
            key.fingerprint.as_str().into(),
        ]
    });
    table(
        ["NAME", "FROM", "UNTIL", "SHA-256"],
        rows.collect(),
        look.color,
    )
}

pub(crate) fn registers(view: &RegistersView, look: Look) -> String {
    let rows = view
        .sha256
        .iter()
        .map(|(number, value)| [number.to_string().into(), value.as_str().into()]);
    table(["PCR", "SHA-256"], rows.collect(), look.color)
}
