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
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::Newer { found: 99, .. })
    ));
}
