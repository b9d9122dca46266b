//! edgectl against a door with a fake box behind it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic
)] // It is all test, its helpers too.

#[path = "../../ssh/tests/door/mod.rs"]
mod door;

use std::fs;
use std::process::Stdio;

use door::{Answer, Door, answer};
use tokio::process::Command;

/// The built program, with nothing of the caller's own configuration.
fn edgectl(door: &Door, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgectl"));
    command
        .args(words)
        .env_clear()
        .env("HOME", door.folder.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn to_the_box(door: &Door, words: &[&str]) -> Command {
    let mut command = edgectl(door, words);
    command
        .env("EDGECTL_HOST", format!("admin@{}", door.address))
        .env("EDGECTL_IDENTITY", door.path("key"))
        .env("EDGECTL_KNOWN_HOSTS", door.path("known_hosts"));
    command
}

async fn say(door: &Door, words: &[&str]) -> Answer {
    answer(to_the_box(door, words), None).await
}

#[tokio::test]
async fn it_shows_what_ssh_shows_byte_for_byte() {
    let door = Door::open().await;
    for words in [
        &["ps"][..],
        &["status"],
        &["images", "-o", "json"],
        &["inspect", "web"],
        &["logs", "web"],
        &["run", "--help"],
        &["run", "NGINX"],
        &["rm", "nobody"],
        &["nonsense"],
        &["exec", "web", "exit", "42"],
        &["exec", "web", "--", "args", "-o", "--x"],
    ] {
        let (ours, ssh) = (say(&door, words).await, door.say(words).await);
        assert_eq!(ours.code, ssh.code, "{words:?}: {}", ours.err);
        assert_eq!(ours.out, ssh.out, "{words:?}");
        assert_eq!(ours.err, ssh.err, "{words:?}");
    }
}

#[tokio::test]
async fn words_with_spaces_and_quotes_arrive_as_they_were() {
    let door = Door::open().await;
    let said = say(
        &door,
        &["exec", "web", "args", "a b", "it's", "", "$HOME", "\\"],
    )
    .await;
    assert_eq!(
        said.err,
        "[\"args\", \"a b\", \"it's\", \"\", \"$HOME\", \"\\\\\"]\n"
    );
}

#[tokio::test]
async fn load_takes_a_file_or_standard_input() {
    let door = Door::open().await;
    let archive = door.path("load");
    fs::write(&archive, vec![1; 3_000_000]).unwrap();
    let expected = b"r.io/bytes:3000000-3000000\n";
    let named = say(&door, &["load", archive.to_str().unwrap()]).await;
    assert_eq!(
        (named.code, named.out.as_slice()),
        (0, &expected[..]),
        "{}",
        named.err
    );
    let piped = answer(to_the_box(&door, &["load"]), Some(vec![1; 3_000_000])).await;
    assert_eq!(
        (piped.code, piped.out.as_slice()),
        (0, &expected[..]),
        "{}",
        piped.err
    );
    let absent = say(&door, &["load", "absent.tar"]).await;
    assert_eq!(absent.code, 255);
    assert!(
        absent.err.contains("cannot read absent.tar"),
        "{}",
        absent.err
    );
}

#[tokio::test]
async fn exec_passes_input_and_much_output() {
    let door = Door::open().await;
    let input: Vec<u8> = (0..4 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let cat = answer(
        to_the_box(&door, &["exec", "-i", "web", "cat"]),
        Some(input.clone()),
    )
    .await;
    assert_eq!(cat.code, 0, "{}", cat.err);
    assert!(cat.out == input, "{} bytes came back", cat.out.len());
}

#[tokio::test]
async fn an_unknown_box_is_refused_until_it_is_accepted() {
    let door = Door::open().await;
    let known = door.path("fresh/known_hosts");
    let with = |accept: bool| {
        let words: &[&str] = if accept {
            &["--accept-new", "ps"]
        } else {
            &["ps"]
        };
        let mut command = to_the_box(&door, words);
        command.env("EDGECTL_KNOWN_HOSTS", &known);
        command
    };
    let refused = answer(with(false), None).await;
    assert_eq!((refused.code, refused.out.len()), (255, 0));
    assert!(refused.err.contains("SHA256:"), "{}", refused.err);
    assert!(refused.err.contains("--accept-new"), "{}", refused.err);
    assert!(!known.exists());
    assert_eq!(answer(with(true), None).await.code, 0);
    assert_eq!(
        answer(with(false), None).await.code,
        0,
        "it was not remembered"
    );
    let other = fs::read_to_string(door.path("other.pub")).unwrap();
    fs::write(
        &known,
        format!("[127.0.0.1]:{} {other}", door.address.port()),
    )
    .unwrap();
    let changed = answer(with(true), None).await;
    assert_eq!(changed.code, 255);
    assert!(
        changed.err.contains("is not the one in line 1"),
        "{}",
        changed.err
    );
}

#[tokio::test]
async fn a_wrong_key_and_an_absent_box_are_named() {
    let door = Door::open().await;
    let mut wrong = to_the_box(&door, &["ps"]);
    wrong.env("EDGECTL_IDENTITY", door.path("other"));
    let wrong = answer(wrong, None).await;
    assert_eq!(wrong.code, 255);
    assert!(
        wrong.err.contains("takes none of your keys (1 tried)"),
        "{}",
        wrong.err
    );
    let mut absent = to_the_box(&door, &["ps"]);
    absent.env("EDGECTL_HOST", "admin@127.0.0.1:1");
    let absent = answer(absent, None).await;
    assert_eq!(absent.code, 255);
    assert!(
        absent.err.contains("cannot reach admin@127.0.0.1:1"),
        "{}",
        absent.err
    );
    let nowhere = answer(edgectl(&door, &["ps"]), None).await;
    assert_eq!(nowhere.code, 255);
    assert!(
        nowhere.err.contains("edgectl context add"),
        "{}",
        nowhere.err
    );
}

#[tokio::test]
async fn contexts_remember_boxes() {
    let door = Door::open().await;
    let local = async |words: &[&str]| answer(edgectl(&door, words), None).await;
    let host = format!("admin@{}", door.address);
    let (key, known) = (door.path("key"), door.path("known_hosts"));
    let add = [
        "context",
        "add",
        "lab",
        "--host",
        &host,
        "--identity",
        key.to_str().unwrap(),
        "--known-hosts",
        known.to_str().unwrap(),
    ];
    assert_eq!(local(&add).await.code, 0);
    assert_eq!(
        local(&["context", "add", "away", "--host", "box.example"])
            .await
            .code,
        0
    );
    let list = local(&["context", "list"]).await;
    let expected = format!("  away   admin@box.example:22\n* lab   {host}\n");
    assert_eq!(String::from_utf8(list.out).unwrap(), expected);
    let ps = local(&["ps"]).await;
    assert_eq!(ps.code, 0, "{}", ps.err);
    assert_eq!(local(&["context", "use", "away"]).await.code, 0);
    assert_eq!(local(&["--context", "lab", "ps"]).await.code, 0);
    assert_eq!(local(&["context", "use", "nowhere"]).await.code, 255);
    assert_eq!(local(&["context", "rm", "away"]).await.code, 0);
    let ps = local(&["ps"]).await;
    assert!(ps.err.contains("no box is named"), "{}", ps.err);
}
