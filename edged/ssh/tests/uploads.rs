//! One file by SFTP, as OpenSSH's client puts it down.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic
)] // It is all test, its helpers too.

mod door;

use std::fs;

use door::Door;

fn folder(door: &Door) -> Vec<String> {
    let entries = fs::read_dir(door.folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("uploaded")).collect()
}

#[tokio::test]
async fn a_bundle_of_five_megabytes_arrives_whole() {
    let door = Door::open().await;
    let sent: Vec<u8> = (0..5 << 20)
        .map(|at: u32| at.to_le_bytes()[1] ^ 7)
        .collect();
    fs::write(door.path("6.update"), &sent).unwrap();
    let put = door
        .sftp(&format!("put {}\nls -l\n", door.path("6.update").display()))
        .await;
    assert_eq!(put.code, 0, "{}", put.err);
    assert!(fs::read(door.path("uploaded")).unwrap() == sent);
    let list = String::from_utf8(put.out).unwrap();
    assert!(list.contains("5242880 uploaded"), "{list}");
    assert_eq!(folder(&door), ["uploaded"]);
}

#[tokio::test]
async fn a_second_upload_takes_the_place_of_the_first_and_it_may_be_removed() {
    let door = Door::open().await;
    for (name, content) in [("a", "one"), ("b", "the other")] {
        fs::write(door.path(name), content).unwrap();
        let batch = format!("put {} x\n", door.path(name).display());
        assert_eq!(door.sftp(&batch).await.code, 0);
        assert_eq!(fs::read_to_string(door.path("uploaded")).unwrap(), content);
    }
    assert_eq!(door.sftp("rm uploaded\n").await.code, 0);
    assert!(folder(&door).is_empty());
}

#[tokio::test]
async fn nothing_is_read_back_and_no_other_place_is_reached() {
    let door = Door::open().await;
    fs::write(door.path("uploaded"), "a bundle").unwrap();
    let key = door.path("key");
    for batch in [
        "get uploaded /dev/null\n".to_owned(),
        "get /etc/passwd /dev/null\n".to_owned(),
        "mkdir a\n".to_owned(),
        "rename uploaded other\n".to_owned(),
        "symlink /etc/passwd uploaded\n".to_owned(),
        format!("put {} ../../authorized_keys/x\n", key.display()),
    ] {
        let refused = door.sftp(&batch).await;
        assert_ne!(refused.code, 0, "{batch}");
    }
    assert_eq!(
        fs::read_to_string(door.path("uploaded")).unwrap(),
        "a bundle"
    );
    assert_eq!(folder(&door), ["uploaded"]);
}
