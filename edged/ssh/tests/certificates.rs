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
use edged_authority::FileKey;
use edged_ssh::{CertificateError, LIFE_MAX, certify_operator};

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
