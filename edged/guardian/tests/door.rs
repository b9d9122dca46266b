//! Who may speak to the guardian, and what it holds. Needs root.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod rig;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command as Program;

use edged_protocol::FRAME_MAX;
use edged_protocol::guardian::{Command, Reply};
use rig::{Rig, UID, ask_on, line};

#[test]
fn it_keeps_one_capability_and_takes_no_new_ones() {
    let mut rig = Rig::new();
    rig.start();
    let id = rig.guardian.as_ref().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CAP_NET_ADMIN is bit 12.
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000001000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Threads:"), "1");
}

#[test]
fn a_frame_that_is_not_understood_is_refused_and_the_connection_goes_on() {
    let mut rig = Rig::new();
    rig.start();
    let mut stream = UnixStream::connect(rig.socket()).unwrap();
    for (bad, id) in [
        (&b"no json"[..], None),
        (b"{\"command\":\"flush\",\"data\":{},\"id\":3}", Some(3)),
        (
            b"{\"command\":\"observe\",\"data\":{\"all\":1},\"id\":4}",
            Some(4),
        ),
        (
            b"{\"command\":\"attach\",\"data\":{\"instance\":\"../x\",\"lease\":{}},\"id\":5}",
            Some(5),
        ),
        (b"\xff\xfe", None),
    ] {
        stream.write_all(bad).unwrap();
        stream.write_all(b"\n").unwrap();
        let answer = line(&stream).unwrap();
        assert_eq!(answer.id, id);
        assert!(matches!(answer.message, Reply::Refused(refusal) if !refusal.transient));
    }
    assert!(matches!(
        ask_on(&mut stream, Command::Observe {}),
        Reply::Observed { .. }
    ));
}

#[test]
fn a_frame_without_an_end_costs_the_connection_and_nothing_more() {
    let mut rig = Rig::new();
    rig.start();
    let mut stream = UnixStream::connect(rig.socket()).unwrap();
    // The guardian hangs up at the bound; how many of the bytes it took by then is not ours to say.
    let _ = stream.write_all(&vec![b' '; FRAME_MAX + 1]);
    assert!(line(&stream).is_none());
    assert!(matches!(
        rig.ask(Command::Observe {}),
        Reply::Observed { .. }
    ));
}

#[test]
fn a_newer_connection_replaces_the_older() {
    let mut rig = Rig::new();
    rig.start();
    let mut older = UnixStream::connect(rig.socket()).unwrap();
    ask_on(&mut older, Command::Observe {});
    let mut newer = UnixStream::connect(rig.socket()).unwrap();
    ask_on(&mut newer, Command::Observe {});
    assert!(line(&older).is_none());
}

/// What the guardian says to a user; curl's request is no frame, so whoever is heard is refused in words.
fn said_to(rig: &Rig, uid: u32) -> String {
    let output = Program::new("curl")
        .args(["--silent", "--http0.9", "--max-time", "2", "--unix-socket"])
        .arg(rig.socket())
        .arg("http://guardian/")
        .uid(uid)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_edgeds_user_is_heard() {
    let mut rig = Rig::new();
    rig.start();
    let file = std::fs::metadata(rig.socket()).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (UID, 0o600));
    assert!(said_to(&rig, UID).contains("refused"));
    assert_eq!(said_to(&rig, 65_534), "");
    // Even where the file lets everybody in.
    std::fs::set_permissions(rig.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(said_to(&rig, 65_534), "");
    assert!(said_to(&rig, UID).contains("refused"));
}

#[test]
fn a_second_guardian_does_not_take_the_first_ones_socket() {
    let mut rig = Rig::new();
    rig.start();
    let second = Program::new(env!("CARGO_BIN_EXE_edged-guardian"))
        .arg("--config")
        .arg(rig.folder.path().join("edged.toml"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another edged-guardian"));
    rig.ask(Command::Observe {});
}
