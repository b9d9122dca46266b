use edged_model::{AppSpec, Digest, LeaseNumber, PinnedImage, Rules};

use super::*;

fn instance(name: &str, lease: u16) -> AppInstance {
    let digest = Digest::from_sha256([7; 32]);
    let spec: AppSpec =
        serde_json::from_value(serde_json::json!({ "name": name, "image": "r.io/a:1" })).unwrap();
    AppInstance {
        id: InstanceId::random(),
        spec,
        image: PinnedImage {
            manifest: digest.clone(),
            layers: vec![digest],
        },
        goal: Goal::Running,
        lease: LeaseNumber::try_from(lease).unwrap(),
        rules: Rules::default(),
        created: 1,
    }
}

fn credentials() -> Credentials {
    Credentials {
        mqtt_password: Secret::new("m"),
        client_secret: Secret::new("c"),
    }
}

#[test]
fn what_was_added_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let app = instance("a", 2);
    Store::open(&path)
        .unwrap()
        .insert(&app, &credentials())
        .unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(
        store.instances().unwrap(),
        vec![(app.clone(), credentials())]
    );
    store.set_goal(&app.id, Goal::Removed).unwrap();
    assert_eq!(store.instances().unwrap()[0].0.goal, Goal::Removed);
}

#[test]
fn a_taken_name_is_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    store.insert(&instance("a", 2), &credentials()).unwrap();
    let error = store.insert(&instance("a", 3), &credentials()).unwrap_err();
    assert!(
        matches!(&error, StoreError::NameTaken(name) if name == "a"),
        "{error}"
    );
}

#[test]
fn services_go_with_their_instance() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let app = instance("a", 2);
    store.insert(&app, &credentials()).unwrap();
    let service = StoredService {
        id: "s".into(),
        instance: app.id.clone(),
        document: "{}".into(),
    };
    store.put_service(&service).unwrap();
    store
        .put_service(&StoredService {
            document: "{\"a\":1}".into(),
            ..service
        })
        .unwrap();
    assert_eq!(store.services().unwrap()[0].document, "{\"a\":1}");
    store.forget(&app.id).unwrap();
    assert_eq!(store.services().unwrap(), vec![]);
    assert!(!store.remove_service("s").unwrap());
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(Store::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    for reads in [0, 99] {
        connection.pragma_update(None, "user_version", 99).unwrap();
        connection
            .pragma_update(None, "application_id", reads)
            .unwrap();
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::Newer {
                found: 99,
                reads: 99,
                ..
            })
        ));
    }
}

/// A release after this one that only adds.
fn after() -> Vec<Migration> {
    let mut migrations = MIGRATIONS.to_vec();
    migrations.push(Migration {
        to: SCHEMA + 1,
        reads: SCHEMA_READS,
        sql: "ALTER TABLE instance ADD COLUMN more TEXT NOT NULL DEFAULT '';
              CREATE TABLE later (id TEXT PRIMARY KEY) STRICT;",
    });
    migrations
}

#[test]
fn what_a_newer_release_has_only_added_to_is_opened_again_after_a_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (before, tried) = (instance("a", 2), instance("b", 3));
    let store = Store::open(&path).unwrap();
    store.insert(&before, &credentials()).unwrap();
    drop(store);
    let newer = Store::open_with(&path, &after()).unwrap();
    newer.insert(&tried, &credentials()).unwrap();
    assert_eq!(newer.reads().unwrap(), SCHEMA_READS);
    drop(newer);

    let store = Store::open(&path).unwrap();
    let names = |store: &Store| {
        let all = store.instances().unwrap().into_iter();
        all.map(|(one, _)| one.spec.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&store), ["a", "b"]);
    store.insert(&instance("c", 4), &credentials()).unwrap();
    store.forget(&tried.id).unwrap();
    drop(store);
    // The older program has not made it look older than it is: nothing is added twice.
    assert_eq!(
        names(&Store::open_with(&path, &after()).unwrap()),
        ["a", "c"]
    );
}

#[test]
fn what_a_newer_release_has_changed_is_not_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut migrations = after();
    migrations.last_mut().unwrap().reads = SCHEMA + 1;
    drop(Store::open_with(&path, &migrations).unwrap());
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
}

#[test]
fn a_file_of_each_earlier_layout_is_led_to_this_one() {
    for earlier in 1..MIGRATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(Store::open_with(&path, &MIGRATIONS[..earlier]).unwrap());
        let store = Store::open(&path).unwrap();
        store.insert(&instance("a", 2), &credentials()).unwrap();
        assert_eq!(store.reads().unwrap(), SCHEMA_READS);
    }
}
