//! What a document says about its differences, against the differences that it has.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;
use umec_tests::document::Document;

use crate::compare::Difference;

struct Deviation<'a> {
    path: &'a str,
    segments: Vec<&'a str>,
}

impl<'a> Deviation<'a> {
    fn parse(entry: &'a Value) -> anyhow::Result<Self> {
        let text = |member| entry.get(member).and_then(Value::as_str);
        let path = text("path").with_context(|| format!("x-deviations: no path in {entry}"))?;
        let reason = text("reason").unwrap_or_default();
        ensure!(
            reason.split_whitespace().count() > 2,
            "x-deviations: {path} has no reason, write one sentence"
        );
        let segments: Vec<_> = path.split('/').skip(1).collect();
        ensure!(
            segments.iter().skip(1).any(|segment| *segment != "*"),
            "x-deviations: {path} would excuse everything, name a place"
        );
        Ok(Self { path, segments })
    }

    fn covers(&self, place: &[&str]) -> bool {
        self.segments.len() <= place.len()
            && self
                .segments
                .iter()
                .zip(place)
                .all(|(mine, its)| *mine == "*" || mine == its)
    }
}

/// A line for each difference that no entry covers and for each entry that covers none.
pub fn uncovered_and_stale(document: &Document, differences: &BTreeSet<Difference>) -> Vec<String> {
    let list = document.root.get("x-deviations").and_then(Value::as_array);
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    for entry in list.into_iter().flatten() {
        match Deviation::parse(entry) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.push(format!("{}: {error}", document.name)),
        }
    }
    let mut used = vec![false; entries.len()];
    for difference in differences {
        let place: Vec<_> = difference.place.split('/').skip(1).collect();
        let mut covered = false;
        for (entry, used) in entries.iter().zip(&mut used) {
            if entry.covers(&place) {
                covered = true;
                *used = true;
            }
        }
        if !covered {
            faults.push(format!(
                "{}: {}: {}",
                document.name, difference.place, difference.what
            ));
        }
    }
    for (entry, _) in entries.iter().zip(used).filter(|(_, used)| !used) {
        faults.push(format!(
            "{}: x-deviations: {} excuses nothing any more, remove it",
            document.name, entry.path
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(path: &str) -> Vec<String> {
        let document = Document {
            name: "x.yaml".into(),
            root: json!({"x-deviations": [{"path": path, "reason": "because we say so"}]}),
        };
        let difference = Difference {
            place: "/paths/~1a/get/responses/405".into(),
            what: "is ours alone".into(),
        };
        uncovered_and_stale(&document, &BTreeSet::from([difference]))
    }

    #[test]
    fn a_star_stands_for_one_segment() {
        assert!(faults("/paths/*/*/responses/405").is_empty());
        assert!(faults("/paths/~1a/get").is_empty());
    }

    #[test]
    fn an_entry_that_covers_nothing_and_what_it_leaves_open_are_both_named() {
        let faults = faults("/paths/*/responses/405");
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn an_entry_cannot_excuse_everything() {
        for path in ["/paths", "/paths/*/*"] {
            let faults = faults(path);
            assert!(
                faults.iter().any(|it| it.contains("everything")),
                "{faults:?}"
            );
        }
    }
}
