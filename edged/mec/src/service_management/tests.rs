//! Which changes are told, and to whom.

use std::sync::Arc;

use edged_model::InstanceId;
use mec_api::service_management::{
    ChangeType, FilteringCriteria, ListServices, LocalityType, ServiceInfo, ServiceState,
};
use serde_json::{Value, json};

use super::filter::Filter;
use super::news::{changes, wanted};
use super::offer::{Offer, Viewer};
use crate::RegisteredService;

fn offer(id: &str, change: impl FnOnce(&mut ServiceInfo)) -> Offer {
    let mut info: ServiceInfo = serde_json::from_value(json!({
        "serInstanceId": id, "serName": "page", "version": "1", "state": "ACTIVE", "serializer": "JSON",
        "serCategory": {"href": "/catalogue", "id": "web", "name": "Web", "version": "1"},
        "scopeOfLocality": "MEC_HOST", "consumedLocalOnly": true, "transportId": "rest",
    }))
    .unwrap();
    change(&mut info);
    let service = RegisteredService {
        id: id.to_owned(),
        instance: "8f0c6d6e-0000-4000-8000-000000000001".parse().unwrap(),
        info,
    };
    Offer {
        service: Arc::new(service),
        declared: None,
        host: Some("web".parse().unwrap()),
    }
}

fn plain(id: &str) -> Offer {
    offer(id, |_| {})
}

fn told(old: &[Offer], new: &[Offer]) -> Vec<(String, ChangeType, ServiceState)> {
    let told = changes(old, new).into_iter();
    told.map(|change| {
        let service = &change.offer.service;
        (service.id.clone(), change.kind, service.state())
    })
    .collect()
}

fn asleep(info: &mut ServiceInfo) {
    info.state = ServiceState::Inactive;
}

fn newer(info: &mut ServiceInfo) {
    info.version = "2".to_owned();
}

#[test]
fn every_kind_of_change_is_told_and_what_stays_is_not() {
    use ChangeType::{Added, AttributesChanged, Removed, StateChanged};
    use ServiceState::{Active, Inactive};
    let old = ["a", "b", "c", "d", "e"].map(plain);
    let both = offer("e", |info| {
        asleep(info);
        newer(info);
    });
    let new = [
        plain("a"),
        offer("b", asleep),
        offer("c", newer),
        both,
        plain("f"),
    ];
    let expected = [
        ("b", StateChanged, Inactive),
        ("c", AttributesChanged, Active),
        ("e", AttributesChanged, Inactive),
        ("f", Added, Active),
        ("d", Removed, Active),
    ];
    let expected = expected.map(|(id, kind, state)| (id.to_owned(), kind, state));
    assert_eq!(told(&old, &new), expected);
    assert_eq!(told(&old, &old), []);
}

#[test]
fn all_criteria_have_to_hold() {
    let added = changes(&[], &[plain("a")]);
    let category = json!({"href": "/catalogue", "id": "web", "name": "Web", "version": "1"});
    let another = json!({"href": "/catalogue", "id": "db", "name": "Web", "version": "1"});
    let cases: [(Value, bool); 11] = [
        (json!({}), true),
        (json!({"serNames": []}), true),
        (json!({"serNames": ["other", "page"]}), true),
        (json!({"serNames": ["other"]}), false),
        (json!({"serInstanceIds": ["a"]}), true),
        (json!({"serInstanceIds": ["b"]}), false),
        (json!({"serCategories": [category]}), true),
        (json!({"serCategories": [another]}), false),
        (json!({"serNames": ["page"], "states": ["INACTIVE"]}), false),
        (
            json!({"serNames": ["page"], "states": ["ACTIVE"], "isLocal": true}),
            true,
        ),
        (json!({"isLocal": false}), false),
    ];
    for (criteria, expected) in cases {
        let parsed: FilteringCriteria = serde_json::from_value(criteria.clone()).unwrap();
        assert_eq!(
            wanted(&parsed, &added[0], &Viewer::Here),
            expected,
            "{criteria}"
        );
    }
}

#[test]
fn a_service_is_local_to_its_host_and_to_itself() {
    let other = Viewer::Elsewhere(InstanceId::random());
    assert!(plain("a").is_local(&Viewer::Here) && !plain("a").is_local(&other));
    let everywhere = offer("a", |info| {
        info.scope_of_locality = Some(LocalityType::MecSystem);
    });
    assert!(everywhere.is_local(&other));
    let abroad = Offer {
        host: None,
        ..plain("a")
    };
    let itself = Viewer::Elsewhere(abroad.service.instance.clone());
    assert!(!abroad.is_local(&Viewer::Here) && abroad.is_local(&itself));
}

fn query() -> ListServices {
    ListServices {
        ser_instance_id: None,
        ser_name: None,
        ser_category_id: None,
        scope_of_locality: None,
        consumed_local_only: None,
        is_local: None,
    }
}

#[test]
fn services_are_named_in_one_way() {
    let ids = || Some(vec!["a".to_owned()]);
    let two = ListServices {
        ser_instance_id: ids(),
        ser_category_id: Some("web".to_owned()),
        ..query()
    };
    assert_eq!(Filter::try_from(two).unwrap_err().status().as_u16(), 400);
    let one = ListServices {
        ser_instance_id: ids(),
        scope_of_locality: Some(LocalityType::MecHost),
        consumed_local_only: Some(true),
        is_local: Some(true),
        ..query()
    };
    let filter = Filter::try_from(one).unwrap();
    assert!(filter.takes(&plain("a"), &Viewer::Here));
    assert!(!filter.takes(&plain("b"), &Viewer::Here));
    assert!(!filter.takes(&plain("a"), &Viewer::Elsewhere(InstanceId::random())));
}

#[test]
fn each_word_of_a_query_narrows() {
    let cases: [(ListServices, bool); 6] = [
        (
            ListServices {
                ser_name: Some(vec!["page".to_owned()]),
                ..query()
            },
            true,
        ),
        (
            ListServices {
                ser_name: Some(vec![]),
                ..query()
            },
            false,
        ),
        (
            ListServices {
                ser_category_id: Some("db".to_owned()),
                ..query()
            },
            false,
        ),
        (
            ListServices {
                scope_of_locality: Some(LocalityType::Zone),
                ..query()
            },
            false,
        ),
        (
            ListServices {
                consumed_local_only: Some(false),
                ..query()
            },
            false,
        ),
        (
            ListServices {
                is_local: Some(false),
                ..query()
            },
            false,
        ),
    ];
    for (query, expected) in cases {
        let shown = format!("{query:?}");
        let filter = Filter::try_from(query).unwrap();
        assert_eq!(
            filter.takes(&plain("a"), &Viewer::Here),
            expected,
            "{shown}"
        );
    }
}
