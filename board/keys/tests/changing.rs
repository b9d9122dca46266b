//! Changing keys and revoking images, as the variables in U-Boot show it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use board_forge::Cache;
use board_keys::{Keys, Name};
use edged_update::{Succession, UpdateKey};

/// A copy of the development keys, which a test may change.
fn keys(folder: &Path) -> (Cache, Keys) {
    let cache = Cache::open().unwrap();
    let development = Keys::development(&cache).unwrap();
    for entry in fs::read_dir(development.folder()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let keys = Keys::open(folder).unwrap();
    (cache, keys)
}

fn occurrences(seed: &[u8], what: &[u8]) -> usize {
    seed.windows(what.len())
        .filter(|window| *window == what)
        .count()
}

/// The name of a variable as the seed has it.
fn utf16(name: &str) -> Vec<u8> {
    name.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[test]
fn private_keys_are_read_by_their_owner_alone_and_development_is_marked() {
    let cache = Cache::open().unwrap();
    let keys = Keys::development(&cache).unwrap();
    assert!(keys.development);
    for name in Name::ALL {
        let path = keys.folder().join(format!("{name}.key"));
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(!keys.fingerprint(name).unwrap().is_empty());
    }
    assert_eq!(
        keys.seed().unwrap(),
        Keys::development(&cache).unwrap().seed().unwrap()
    );
}

#[test]
fn a_new_db_key_stands_beside_the_old_one_until_that_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, keys) = keys(folder.path());
    let first = keys.fingerprint(Name::Db).unwrap();
    // Each certificate carries the whole public key.
    let modulus = |keys: &Keys| keys.public_der(Name::Db).unwrap()[33..200].to_vec();
    let old = modulus(&keys);
    assert!(occurrences(&keys.seed().unwrap(), &utf16("dbx")) == 0);
    keys.rotate(&cache, Name::Db, false).unwrap();
    assert_ne!(keys.fingerprint(Name::Db).unwrap(), first);
    let seed = keys.seed().unwrap();
    assert_eq!(occurrences(&seed, &old), 1);
    assert_eq!(occurrences(&seed, &modulus(&keys)), 1);
    assert_eq!(occurrences(&seed, &utf16("dbx")), 0);
    let second = modulus(&keys);
    keys.rotate(&cache, Name::Db, true).unwrap();
    let seed = keys.seed().unwrap();
    let dbx = seed
        .windows(8)
        .position(|window| window == utf16("dbx"))
        .unwrap();
    assert_eq!(occurrences(&seed[..dbx], &second), 0);
    assert_eq!(occurrences(&seed[dbx..], &second), 1);
    assert!(keys.rotate(&cache, Name::Kek, true).is_err());
}

#[test]
fn each_update_key_signs_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, keys) = keys(folder.path());
    let key = |keys: &Keys| {
        let pem = fs::read_to_string(keys.public(Name::Update)).unwrap();
        UpdateKey::from_pem(&pem).unwrap()
    };
    assert_eq!(keys.succession().unwrap(), Succession::default());
    let mut chain = vec![key(&keys)];
    for _ in 0..2 {
        keys.rotate(&cache, Name::Update, false).unwrap();
        chain.push(key(&keys));
    }
    let successors = Vec::from(keys.succession().unwrap());
    assert_eq!(successors.len(), 2);
    for (successor, pair) in successors.iter().zip(chain.windows(2)) {
        assert_eq!(successor.key, pair[1]);
        assert_eq!(successor.by, pair[0].fingerprint());
        assert!(pair[0].verifies(&pair[1].succession_message(), &successor.signature));
    }
}

#[test]
fn a_revoked_image_is_in_dbx_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keys) = keys(folder.path());
    let hash = "ab".repeat(32);
    keys.revoke(&hash).unwrap();
    keys.revoke(&hash).unwrap();
    assert_eq!(occurrences(&keys.seed().unwrap(), &[0xab; 32]), 1);
    assert!(keys.revoke("no-such-file").is_err());
}

#[test]
fn a_set_without_one_of_its_keys_is_refused_by_the_key_s_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keys) = keys(folder.path());
    fs::remove_file(keys.folder().join("ta.key")).unwrap();
    let error = Keys::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("the key ta is not whole"), "{error}");
}
