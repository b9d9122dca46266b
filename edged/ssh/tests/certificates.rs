//! Certificates of operators, made by the box and by ssh-keygen, shown by OpenSSH's client.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic
)] // It is all test, its helpers too.

mod door;

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use door::{Door, answer};
use edged_authority::{FileKey, Sign as _};
use edged_ssh::{CertificateError, LIFE_MAX, certify_operator, known_hosts_line};

const HOUR: Duration = Duration::from_secs(3600);

/// Has ssh-keygen certify `other.pub` with a key of this file.
fn keygen(door: &Door, authority: &str, options: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-s"]).arg(door.path(authority));
    keygen.args(["-I", "jo"]).args(options);
    let made = keygen.arg(door.path("other.pub")).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Whether the key that is on no list opens the door, with `other-cert.pub` beside it.
async fn opens(door: &Door) -> bool {
    let key = door.path("other");
    let ssh = door.ssh(&["-i", key.to_str().unwrap()], &["ps"]);
    answer(ssh, None).await.code == 0
}

#[tokio::test]
async fn a_key_with_the_box_s_certificate_opens_the_door() {
    let door = Door::open().await;
    assert!(!opens(&door).await, "without a certificate");
    let authority = FileKey::open(&door.path("ca.key"), "ca").unwrap();
    let line = fs::read_to_string(door.path("other.pub")).unwrap();
    let now = SystemTime::now();
    let certify = |name, at, life| certify_operator(&authority, &line, name, (at, life), [7; 32]);
    let write = |line: String| fs::write(door.path("other-cert.pub"), line + "\n").unwrap();
    write(certify(None, now, 8 * HOUR).unwrap());
    assert!(opens(&door).await);
    let shown = Command::new("ssh-keygen")
        .arg("-Lf")
        .arg(door.path("other-cert.pub"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("Key ID: \"other@test\""), "{shown}");
    write(certify(None, now - 9 * HOUR, 8 * HOUR).unwrap());
    assert!(!opens(&door).await, "after its end");

    let refused = |made: Result<String, CertificateError>| made.unwrap_err().to_string();
    assert!(refused(certify(None, now, LIFE_MAX + HOUR)).contains("seven days"));
    assert!(refused(certify(Some("a\nb"), now, HOUR)).contains("--name"));
    let private = fs::read_to_string(door.path("other")).unwrap();
    let private = certify_operator(&authority, &private, None, (now, HOUR), [7; 32]);
    assert!(refused(private).contains(".pub"));
}

#[tokio::test]
async fn who_came_by_a_certificate_gives_nobody_a_way_in_nor_itself_a_longer_one() {
    let door = Door::open().await;
    keygen(&door, "ca.key", &["-n", "admin", "-V", "+1h"]);
    let key = door.path("other");
    let says = |words: &'static [&str]| door.ssh(&["-i", key.to_str().unwrap()], words);
    assert_eq!(answer(says(&["ps"]), None).await.code, 0);
    let line = fs::read(door.path("other.pub")).unwrap();
    for (words, why) in [
        (
            &["trust", "keys", "issue", "--for", "7d"][..],
            "would never end",
        ),
        (&["trust", "keys", "add", "me"], "whose software"),
        (&["access"], "outlive"),
        (&["commission"], "recovery key"),
    ] {
        let refused = answer(says(words), Some(line.clone())).await;
        assert_eq!((refused.code, refused.out), (1, Vec::new()), "{words:?}");
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let put = format!("put {} x\n", door.path("other.pub").display());
    assert_eq!(door.sftp_with("other", &put).await.code, 0);
    assert_eq!(fs::read(door.path("uploaded")).unwrap(), line);
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_opened_it() {
    let door = Door::open().await;
    let authority = FileKey::open(&door.path("ca.key"), "ca").unwrap();
    let line = fs::read_to_string(door.path("other.pub")).unwrap();
    // Long enough for a login on a busy machine; what is waited for is the end.
    let began = SystemTime::now() - HOUR + Duration::from_secs(10);
    let made = certify_operator(&authority, &line, None, (began, HOUR), [7; 32]);
    fs::write(door.path("other-cert.pub"), made.unwrap() + "\n").unwrap();
    let key = door.path("other");
    let follow = door.ssh(&["-i", key.to_str().unwrap()], &["logs", "-f", "web"]);
    let followed = tokio::time::timeout(HOUR / 60, answer(follow, None)).await;
    let followed = followed.expect("the log is followed although the certificate has ended");
    let out = String::from_utf8(followed.out).unwrap();
    assert!(out.starts_with("one\n"), "it never began: {}", followed.err);
    assert_eq!(followed.code, 255, "{}", followed.err);
    assert!(!opens(&door).await, "after its end");
}

/// Whether ssh believes the door by these lines alone, when it calls it so.
async fn is_believed(door: &Door, known: &str, alias: Option<&str>) -> bool {
    fs::write(door.path("known_hosts"), known).unwrap();
    let alias = alias.map(|alias| format!("HostKeyAlias={alias}"));
    let mut options = vec!["-o", "UpdateHostKeys=no"];
    if let Some(alias) = &alias {
        options.extend(["-o", alias]);
    }
    answer(door.ssh(&options, &["ps"]), None).await.code == 0
}

#[tokio::test]
async fn one_line_of_known_hosts_is_enough_whatever_the_host_key_is() {
    let door = Door::open().await;
    let key = fs::read_to_string(door.path("known_hosts")).unwrap();
    let authority = FileKey::open(&door.path("ca.key"), "ca").unwrap();
    let line = |authority: &FileKey, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        known_hosts_line(&authority.public(), &names).unwrap() + "\n"
    };
    let here = format!("[127.0.0.1]:{}", door.address.port());
    assert!(!is_believed(&door, "", None).await);
    // By the address it was reached at, and by its own name, which no resolver knows.
    assert!(is_believed(&door, &line(&authority, &["127.0.0.1"]), None).await);
    assert!(is_believed(&door, &line(&authority, &[&here]), None).await);
    let named = line(&authority, &["edge.mec.internal", "pole.example"]);
    assert!(is_believed(&door, &named, Some("edge.mec.internal")).await);
    assert!(
        !is_believed(&door, &named, Some("pole.example")).await,
        "another name"
    );
    let other = FileKey::open(&door.path("stranger.key"), "stranger").unwrap();
    assert!(
        !is_believed(&door, &line(&other, &["127.0.0.1"]), None).await,
        "another authority"
    );
    assert!(
        is_believed(&door, &key, None).await,
        "who knows the key itself"
    );
    // Another host key, vouched for by the same authority.
    let door = door.with_another_host_key().await;
    assert!(is_believed(&door, &line(&authority, &["127.0.0.1"]), None).await);
    let stale = key.replace(&here, &format!("[127.0.0.1]:{}", door.address.port()));
    assert!(
        !is_believed(&door, &stale, None).await,
        "the key is the old one"
    );
}

#[tokio::test]
async fn every_other_certificate_opens_nothing() {
    let door = Door::open().await;
    keygen(&door, "ca.key", &["-n", "admin", "-V", "+1h"]);
    assert!(opens(&door).await, "ssh-keygen's with the box's own key");
    // An operator's key is none of the authority's.
    let stranger = FileKey::open(&door.path("stranger.key"), "stranger").unwrap();
    drop(stranger);
    for (what, authority, options) in [
        ("another authority's", "stranger.key", &["-n", "admin"][..]),
        ("an operator's own", "key", &["-n", "admin"]),
        ("for another name", "ca.key", &["-n", "root"]),
        ("for every name", "ca.key", &[]),
        ("of a host", "ca.key", &["-h", "-n", "admin"]),
        ("over", "ca.key", &["-n", "admin", "-V", "-2h:-1h"]),
        ("of later", "ca.key", &["-n", "admin", "-V", "+1h:+2h"]),
        (
            "with a restriction",
            "ca.key",
            &["-n", "admin", "-O", "force-command=ps"],
        ),
        (
            "from one address",
            "ca.key",
            &["-n", "admin", "-O", "source-address=127.0.0.1"],
        ),
    ] {
        keygen(&door, authority, options);
        assert!(!opens(&door).await, "{what}");
    }
}
