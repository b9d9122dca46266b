//! The door as OpenSSH's client finds it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic
)] // It is all test, its helpers too.

mod door;

use std::fs;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use door::{Door, answer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_verb_answers_and_its_exit_code_comes_back() {
    let door = Door::open().await;
    let ps = door.say(&["ps"]).await;
    assert_eq!((ps.code, ps.err.as_str()), (0, ""));
    assert!(text(&ps.out).starts_with("NAME "), "{}", text(&ps.out));
    for (words, code) in [
        (&["exec", "web", "exit", "42"][..], 42),
        (&["logs", "nobody"], 1),
        (&["nonsense"], 2),
        (&["exec", "nobody", "true"], 125),
    ] {
        assert_eq!(door.say(words).await.code, code, "{words:?}");
    }
}

#[tokio::test]
async fn the_two_outputs_stay_apart() {
    let door = Door::open().await;
    let logs = door.say(&["logs", "web"]).await;
    assert_eq!(
        (text(&logs.out), logs.err.as_str()),
        ("one\nthree\n", "two\n")
    );
    let wrong = door.say(&["run", "NGINX"]).await;
    assert_eq!((wrong.code, text(&wrong.out)), (2, ""));
    assert!(
        wrong.err.contains("write [REGISTRY/]REPOSITORY"),
        "{}",
        wrong.err
    );
}

#[tokio::test]
async fn five_megabytes_of_input_arrive_whole() {
    let door = Door::open().await;
    let input: Vec<u8> = (0..5 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let sum: u64 = input.iter().copied().map(u64::from).sum();
    let expected = format!("r.io/bytes:{}-{sum}\n", input.len());
    let load = answer(door.ssh(&[], &["load"]), Some(input)).await;
    assert_eq!((load.code, text(&load.out)), (0, expected.as_str()));
}

#[tokio::test]
async fn input_and_output_flow_at_the_same_time() {
    let door = Door::open().await;
    let input: Vec<u8> = (0..8 << 20).map(|at: u32| at.to_le_bytes()[2]).collect();
    let cat = door.ssh(&[], &["exec", "-i", "web", "cat"]);
    let cat = tokio::time::timeout(LONG, answer(cat, Some(input.clone())))
        .await
        .unwrap();
    assert_eq!(cat.code, 0, "{}", cat.err);
    assert!(cat.out == input, "{} bytes came back", cat.out.len());
}

#[tokio::test]
async fn input_that_nobody_reads_holds_nothing_up() {
    let door = Door::open().await;
    let ps = answer(door.ssh(&[], &["ps"]), Some(vec![0; 8 << 20]));
    assert_eq!(tokio::time::timeout(LONG, ps).await.unwrap().code, 0);
}

#[tokio::test]
async fn much_output_arrives_whole() {
    let door = Door::open().await;
    let flood = door.say(&["exec", "web", "flood", "20000000"]).await;
    assert_eq!((flood.code, flood.out.len()), (0, 20_000_000));
}

#[tokio::test]
async fn only_a_known_key_passes() {
    let door = Door::open().await;
    let (other, absent) = (door.path("other"), door.path("absent"));
    let (other, absent) = (other.to_str().unwrap(), absent.to_str().unwrap());
    let password = [
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
        "-i",
        absent,
    ];
    for options in [
        &["-i", other][..],
        &["-i", absent],
        &password,
        &["-l", "root"],
    ] {
        let refused = answer(door.ssh(options, &["ps"]), None).await;
        assert_eq!(refused.code, 255, "{options:?}");
        assert!(
            refused.err.contains("Permission denied (publickey)"),
            "{}",
            refused.err
        );
        assert_eq!(text(&refused.out), "");
    }
    let line = fs::read_to_string(door.path("other.pub")).unwrap();
    fs::write(door.path("authorized_keys"), line).unwrap();
    assert_eq!(
        answer(door.ssh(&["-i", other], &["ps"]), None).await.code,
        0
    );
    assert_eq!(
        door.say(&["ps"]).await.code,
        255,
        "a key that was taken out still passes"
    );
}

#[tokio::test]
async fn a_shell_request_shows_the_verbs() {
    let door = Door::open().await;
    let shell = door.say(&[]).await;
    assert_eq!(shell.code, 0);
    assert!(text(&shell.out).contains("There is no shell here"));
    assert!(text(&shell.out).contains("  status "));
}

#[tokio::test]
async fn a_terminal_shows_the_same_with_carriage_returns() {
    let door = Door::open().await;
    for (options, words, expected) in [
        (&["-t"][..], &["ps"][..], "NAME "),
        (&[], &[], "There is no shell here"),
    ] {
        let ssh = door.ssh(options, words);
        let ssh = ssh.as_std();
        let mut line = vec![ssh.get_program().to_str().unwrap()];
        line.extend(ssh.get_args().map(|word| word.to_str().unwrap()));
        // script(1) gives the client a terminal of its own.
        let mut command = Command::new("script");
        command
            .args(["-qec", &edged_console::quote(&line), "/dev/null"])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let answer = answer(command, None).await;
        assert_eq!(answer.code, 0, "{}", text(&answer.out));
        assert!(
            text(&answer.out).contains(expected),
            "{}",
            text(&answer.out)
        );
    }
}

#[tokio::test]
async fn ctrl_c_on_a_terminal_ends_the_verb() {
    let door = Door::open().await;
    let mut command = door.ssh(&["-tt"], &["logs", "-f", "web"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    followers(&door, 1).await;
    child.stdin.as_mut().unwrap().write_all(&[3]).await.unwrap();
    let status = tokio::time::timeout(LONG, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(130));
    followers(&door, 0).await;
}

#[tokio::test]
async fn nothing_but_verbs_is_served() {
    let door = Door::open().await;
    let other = answer(door.ssh(&["-s"], &["netconf"]), None).await;
    assert_ne!(other.code, 0);
    let local = TcpStream::connect(door.address)
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let forward = format!("127.0.0.1:{}", local.port());
    let forward = answer(door.ssh(&["-W", &forward], &[]), None).await;
    assert_eq!(forward.code, 255);
    assert!(forward.err.contains("forwarding failed"), "{}", forward.err);
    let remote = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
    assert_eq!(answer(door.ssh(&remote, &["ps"]), None).await.code, 255);
}

#[tokio::test]
async fn a_followed_log_ends_when_its_reader_goes() {
    let door = Door::open().await;
    let follow = || async {
        let mut child = door.ssh(&[], &["logs", "-f", "web"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
        child
    };
    let (mut first, mut second) = (follow().await, follow().await);
    followers(&door, 2).await;
    first.kill().await.unwrap();
    followers(&door, 1).await;
    second.kill().await.unwrap();
    followers(&door, 0).await;
}

async fn followers(door: &Door, wanted: usize) {
    let reached = async {
        loop {
            let changed = door.platform.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if door.platform.followers.load(Ordering::SeqCst) == wanted {
                break;
            }
            changed.await;
        }
    };
    tokio::time::timeout(LONG, reached).await.unwrap();
}

#[tokio::test]
async fn strangers_are_few_and_never_take_an_operator_s_place() {
    let door = Door::open().await;
    let mut waiting = Vec::new();
    for _ in 0..edged_ssh::STRANGERS {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-");
        waiting.push(stream);
    }
    let mut one_more = TcpStream::connect(door.address).await.unwrap();
    let mut answer = String::new();
    one_more.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("try again"), "{answer:?}");
    for stream in &mut waiting {
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    drop(waiting);
    let again = async { while door.say(&["ps"]).await.code != 0 {} };
    tokio::time::timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn noise_before_the_login_harms_nobody() {
    let door = Door::open().await;
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 70_000],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\0",
    ] {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        let _ = stream.write_all(noise).await;
        let _ = stream.shutdown().await;
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
    assert_eq!(door.say(&["ps"]).await.code, 0);
}

#[tokio::test]
async fn only_strong_algorithms_are_spoken() {
    let door = Door::open().await;
    for weak in [
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "KexAlgorithms=ecdh-sha2-nistp256",
        "Ciphers=aes128-ctr",
        "Ciphers=aes256-cbc",
        "HostKeyAlgorithms=rsa-sha2-512",
    ] {
        let refused = answer(door.ssh(&["-o", weak], &["ps"]), None).await;
        assert_eq!(refused.code, 255, "{weak}");
        assert!(
            refused.err.contains("no matching"),
            "{weak}: {}",
            refused.err
        );
    }
    for cipher in [
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
    ] {
        let strong = format!("Ciphers={cipher}");
        assert_eq!(
            answer(door.ssh(&["-o", &strong], &["ps"]), None).await.code,
            0,
            "{cipher}"
        );
    }
}

#[tokio::test]
async fn a_closing_door_ends_its_clients() {
    let mut door = Door::open().await;
    let mut child = door.ssh(&[], &["logs", "-f", "web"]).spawn().unwrap();
    followers(&door, 1).await;
    door.close.take().unwrap().send(()).unwrap();
    tokio::time::timeout(LONG, &mut door.server)
        .await
        .unwrap()
        .unwrap();
    let status = tokio::time::timeout(LONG, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(255));
    followers(&door, 0).await;
}
