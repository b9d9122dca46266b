//! Pages: each surviving row once, whatever comes and goes, and Links that lead on.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::{ListParameters, MarkerKey, PAGE_ROWS, Page, QueryError, Row, page};
use super::{PATH, THINGS, filtered, key};

fn rows(ids: &BTreeSet<u16>) -> Vec<Row> {
    let row = |id: &u16| Row {
        id: format!("{id:05}"),
        value: json!({"id": id.to_string(), "weight": id}),
    };
    // Any order will do.
    ids.iter().rev().map(row).collect()
}

fn turn(ids: &BTreeSet<u16>, parameters: &ListParameters, size: usize) -> Result<Page, QueryError> {
    page(&THINGS, parameters, rows(ids), PATH, &key(), size)
}

fn weights(page: &Page) -> Vec<u16> {
    page.items
        .iter()
        .map(|item| u16::try_from(item["weight"].as_u64().unwrap()).unwrap())
        .collect()
}

/// The parameters of a Link, decoded as a server would.
fn follow(link: &str) -> ListParameters {
    let query = link.strip_prefix(&format!("<{PATH}?")).unwrap();
    let query = query.strip_suffix(">; rel=\"next\"").unwrap();
    let mut parameters = ListParameters::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        assert!(!value.contains(['+', '=', '#']), "{value}");
        let value = percent_encoding::percent_decode_str(value)
            .decode_utf8()
            .unwrap()
            .into_owned();
        match name {
            "filter" => parameters.filter = Some(value),
            "all_fields" => parameters.all_fields = true,
            "fields" => parameters.fields = Some(value),
            "exclude_fields" => parameters.exclude_fields = Some(value),
            "exclude_default" => parameters.exclude_default = true,
            "nextpage_opaque_marker" => parameters.nextpage_opaque_marker = Some(value),
            "other" => parameters.others.push(("other", value)),
            name => panic!("{name}"),
        }
    }
    parameters
}

#[test]
fn a_list_longer_than_a_page_comes_in_pages() {
    let ids: BTreeSet<u16> = (0..250).collect();
    let mut parameters = ListParameters::default();
    let mut seen = Vec::new();
    for expected in [100, 100, 50] {
        let page = turn(&ids, &parameters, PAGE_ROWS).unwrap();
        assert_eq!(page.items.len(), expected);
        seen.extend(weights(&page));
        parameters = page.link.as_deref().map(follow).unwrap_or_default();
    }
    assert_eq!(
        parameters,
        ListParameters::default(),
        "the last page has no Link"
    );
    assert_eq!(seen, ids.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_page_that_is_just_full_is_the_last() {
    let ids: BTreeSet<u16> = (0..100).collect();
    let page = turn(&ids, &ListParameters::default(), PAGE_ROWS).unwrap();
    assert_eq!((page.items.len(), page.link), (100, None));
    let none = turn(&BTreeSet::new(), &ListParameters::default(), PAGE_ROWS).unwrap();
    assert_eq!((none.items.len(), none.link), (0, None));
}

#[test]
fn a_filter_counts_what_it_lets_through() {
    let ids: BTreeSet<u16> = (0..10).collect();
    let page = turn(&ids, &filtered("(gte,weight,7)"), 3).unwrap();
    assert_eq!((weights(&page), page.link), (vec![7, 8, 9], None));
}

#[test]
fn a_marker_that_was_not_given_out_is_refused() {
    let ids: BTreeSet<u16> = (0..10).collect();
    let link = turn(&ids, &filtered("(gte,weight,2)"), 3)
        .unwrap()
        .link
        .unwrap();
    let given = follow(&link);
    assert_eq!(weights(&turn(&ids, &given, 3).unwrap()), [5, 6, 7]);

    let marker = given.nextpage_opaque_marker.clone().unwrap();
    let refused = |parameters: &ListParameters| {
        let error = turn(&ids, parameters, 3).unwrap_err().to_string();
        assert!(error.starts_with("nextpage_opaque_marker"), "{error}");
    };
    let with = |marker: String| ListParameters {
        nextpage_opaque_marker: Some(marker),
        ..given.clone()
    };
    for at in 0..marker.len() {
        let mut forged = marker.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        refused(&with(String::from_utf8(forged).unwrap()));
    }
    for forged in [
        "",
        "b3Zlcg",
        "a b",
        "é",
        &marker[1..],
        &format!("{marker}="),
        &format!("{marker}A"),
    ] {
        refused(&with(forged.to_owned()));
    }
    refused(&with("A".repeat(5000)));
    refused(&ListParameters {
        filter: Some("(gte,weight,3)".to_owned()),
        ..given.clone()
    });
    let other_key = MarkerKey::new(b"another box");
    assert!(page(&THINGS, &given, rows(&ids), PATH, &other_key, 3).is_err());
    let other_list = super::super::ListSchema {
        name: "Other",
        ..THINGS
    };
    assert!(page(&other_list, &given, rows(&ids), PATH, &key(), 3).is_err());
    let same_key = MarkerKey::new(b"a secret of this box");
    assert!(
        page(&THINGS, &given, rows(&ids), PATH, &same_key, 3).is_ok(),
        "after a restart"
    );
}

#[test]
fn a_link_carries_everything_else_that_was_asked_for() {
    let ids: BTreeSet<u16> = (0..10).collect();
    let asked = ListParameters {
        filter: Some("(cont,id,'a&b=c+d e#%2F)\"<>ü''',1)".to_owned()),
        fields: Some("data,big/one".to_owned()),
        exclude_default: true,
        others: vec![("other", "x&y=z".to_owned())],
        ..ListParameters::default()
    };
    let link = turn(&ids, &asked, 1).unwrap().link;
    assert_eq!(link, None, "one row alone");
    let ids: BTreeSet<u16> = (0..100).collect();
    let link = turn(&ids, &asked, 1).unwrap().link.unwrap();
    let followed = follow(&link);
    assert!(followed.nextpage_opaque_marker.is_some());
    let without = |parameters: ListParameters| ListParameters {
        nextpage_opaque_marker: None,
        ..parameters
    };
    assert_eq!(without(followed), asked);
    assert!(
        link.contains("&exclude_default&"),
        "a flag has no value: {link}"
    );
}

#[test]
fn a_link_of_plain_parts_reads_plainly() {
    let link = super::super::paging::link(
        "https://edge.mec.internal/app_lcm/v1/app_instances",
        &filtered("(eq,appDId,x);(in,id,1,2)"),
        "m",
    );
    let expected = "<https://edge.mec.internal/app_lcm/v1/app_instances?filter=(eq,appDId,x);(in,id,1,2)\
                    &nextpage_opaque_marker=m>; rel=\"next\"";
    assert_eq!(link, expected);
}

#[test]
fn the_longest_link_fits_a_uri() {
    let parameters = ListParameters {
        filter: Some("=".repeat(super::super::FILTER_BYTES)),
        fields: Some("=".repeat(super::super::SELECTOR_BYTES)),
        exclude_default: true,
        ..ListParameters::default()
    };
    let id = "5d3b0a7e-6a0c-4c39-9f6a-0e1f5f1d2c11";
    let marker = super::super::paging::Position::after(id).write(&THINGS, None, &key());
    let link = super::super::paging::link(
        "/a-prefix/app_pkgm/v1/onboarded_app_packages",
        &parameters,
        &marker,
    );
    assert!(link.len() < 8192, "{}", link.len());
}

proptest! {
    #[test]
    fn paging_gives_every_surviving_row_once(
        start in proptest::collection::btree_set(0_u16..60, 0..40),
        size in 1_usize..8,
        changes in proptest::collection::vec(
            (proptest::collection::vec(0_u16..60, 0..4), proptest::collection::vec(0_u16..60, 0..4)), 60),
        threshold in proptest::option::of(0_u16..60),
    ) {
        let mut ids = start.clone();
        let mut survivors = start;
        let mut parameters = threshold.map_or_else(ListParameters::default, |least| {
            filtered(&format!("(gte,weight,{least})"))
        });
        let least = threshold.unwrap_or(0);
        let mut seen: Vec<u16> = Vec::new();
        let mut changes = changes.into_iter();
        loop {
            let page = turn(&ids, &parameters, size).unwrap();
            prop_assert!(page.items.len() <= size);
            seen.extend(weights(&page));
            prop_assert!(seen.len() <= 1000, "the pages do not end");
            let Some(link) = page.link else { break };
            prop_assert_eq!(page.items.len(), size);
            parameters = follow(&link);
            let (gone, come) = changes.next().unwrap_or_default();
            for id in gone {
                ids.remove(&id);
                survivors.remove(&id);
            }
            ids.extend(come);
        }
        let once: BTreeSet<u16> = seen.iter().copied().collect();
        prop_assert_eq!(once.len(), seen.len(), "a row came twice");
        let missed: Vec<&u16> = survivors.iter().filter(|id| **id >= least && !once.contains(id)).collect();
        prop_assert!(missed.is_empty(), "{:?} were skipped", missed);
    }

    #[test]
    fn any_id_survives_its_marker(id in any::<String>(), filter in proptest::option::of(any::<String>())) {
        let filter = filter.as_deref();
        let position = super::super::paging::Position::after(&id);
        let marker = position.write(&THINGS, filter, &key());
        prop_assume!(marker.len() <= super::super::MARKER_BYTES);
        prop_assert_eq!(super::super::paging::Position::read(&marker, &THINGS, filter, &key()), Ok(position));
    }
}

#[test]
fn items_are_what_was_given() {
    let ids: BTreeSet<u16> = [3].into();
    let page = turn(&ids, &ListParameters::default(), 1).unwrap();
    assert_eq!(page.items, [json!({"id": "3", "weight": 3})]);
}
