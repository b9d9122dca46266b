//! The life of a container, driven over the worker's socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_model::{Bytes, ContainerState, ExitCode};
use edged_protocol::worker::{Command, Event, Reply, Stream};
use support::{Client, Node, id, start, stop};

#[test]
fn exit_codes_signals_and_want_of_memory_are_told_apart() {
    let mut node = Node::start();
    for (name, command, code) in [
        ("good", &["true"][..], ExitCode::Code(0)),
        ("bad", &["sh", "-c", "exit 7"], ExitCode::Code(7)),
        (
            "abort",
            &["sh", "-c", "kill -9 $$; sleep 1; exit 3"],
            ExitCode::Code(3),
        ),
        ("greedy", &["tail", "/dev/zero"], ExitCode::OutOfMemory),
    ] {
        let mut spec = node.spec(name, command);
        spec.limits.memory = Bytes(16 << 20);
        node.run(spec);
        assert_eq!(node.exited(name), code, "{name}");
        node.delete(name);
    }
    let spec = node.spec("shot", &["sleep", "60"]);
    node.run(spec);
    assert_eq!(node.ask(stop("shot", 9, 1000)), Reply::Done {});
    assert_eq!(node.exited("shot"), ExitCode::Signal(9));
    assert_eq!(
        node.states()[&id("shot")],
        ContainerState::Exited {
            code: ExitCode::Signal(9)
        }
    );
}

#[test]
fn both_streams_are_kept_and_followed_with_growing_numbers() {
    let mut node = Node::start();
    let spec = node.spec(
        "talker",
        &["sh", "-c", "echo out; echo err >&2; printf unfinished"],
    );
    assert_eq!(node.ask(Command::Create(Box::new(spec))), Reply::Done {});
    node.ask(Command::WatchLog {
        instance: id("talker"),
        on: true,
    });
    node.attach("talker");
    node.ask(start("talker"));
    node.exited("talker");
    let lines = node.log("talker");
    let mut seen: Vec<_> = lines
        .iter()
        .map(|line| (line.stream, line.text.as_str()))
        .collect();
    seen.sort_by_key(|(_, text)| *text);
    assert_eq!(
        seen,
        [
            (Stream::Stderr, "err"),
            (Stream::Stdout, "out"),
            (Stream::Stdout, "unfinished")
        ]
    );
    assert_eq!(
        lines.iter().map(|line| line.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for line in lines {
        let told = node
            .client()
            .event(|event| matches!(event, Event::Logged { .. }));
        assert_eq!(
            told,
            Event::Logged {
                instance: id("talker"),
                line
            }
        );
    }
}

#[test]
fn a_stop_asks_first_and_kills_after_the_grace() {
    let mut node = Node::start();
    let spec = node.spec(
        "polite",
        &[
            "sh",
            "-c",
            "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done",
        ],
    );
    node.run(spec);
    wait_for_line(&mut node, "polite", "up");
    node.ask(stop("polite", 15, 30_000));
    assert_eq!(node.exited("polite"), ExitCode::Code(3));
    let spec = node.spec(
        "deaf",
        &[
            "sh",
            "-c",
            "trap '' TERM; echo up; while :; do sleep 0.05; done",
        ],
    );
    node.run(spec);
    wait_for_line(&mut node, "deaf", "up");
    let begun = std::time::Instant::now();
    node.ask(stop("deaf", 15, 300));
    assert_eq!(node.states()[&id("deaf")], ContainerState::Stopping);
    assert_eq!(node.exited("deaf"), ExitCode::Signal(9));
    assert!(begun.elapsed().as_millis() >= 300);
}

fn wait_for_line(node: &mut Node, instance: &str, text: &str) {
    while !node.log(instance).iter().any(|line| line.text == text) {
        std::thread::yield_now();
    }
}

#[test]
fn a_command_inside_has_input_output_and_the_containers_user() {
    let mut node = Node::start();
    let mut spec = node.spec("host", &["sleep", "60"]);
    spec.user = "web".to_owned();
    node.run(spec);
    let script = "id -u; id -g; cat; echo $HOME $COLOUR; cat /run/secrets/token >&2; exit 9";
    let (out, err, code) = exec(
        &mut node,
        "host",
        &["sh", "-c", script],
        Some(b"over here\n"),
    );
    assert_eq!(out, "33\n44\nover here\n/data green\n");
    assert_eq!(err, "s3cret");
    assert_eq!(code, ExitCode::Code(9));
    let (out, _, _) = exec(&mut node, "host", &["seq", "1", "200000"], None);
    assert_eq!(out.lines().count(), 200_000);
    let refusal = node.refusal(Command::Exec {
        instance: id("host"),
        command: vec!["no-such".to_owned()],
        input: false,
    });
    assert!(
        refusal.sentence.contains("no-such") && !refusal.transient,
        "{refusal}"
    );
    let Reply::ExecStarted { exec } = node.ask(Command::Exec {
        instance: id("host"),
        command: vec!["sleep".to_owned(), "60".to_owned()],
        input: false,
    }) else {
        panic!("not started")
    };
    node.ask(Command::ExecKill { exec });
    let ended = node
        .client()
        .event(|event| matches!(event, Event::ExecEnded { .. }));
    assert_eq!(
        ended,
        Event::ExecEnded {
            exec,
            code: ExitCode::Signal(9)
        }
    );
}

fn exec(
    node: &mut Node,
    instance: &str,
    command: &[&str],
    input: Option<&[u8]>,
) -> (String, String, ExitCode) {
    let reply = node.ask(Command::Exec {
        instance: id(instance),
        command: command.iter().map(|text| (*text).to_owned()).collect(),
        input: input.is_some(),
    });
    let Reply::ExecStarted { exec } = reply else {
        panic!("{reply:?}")
    };
    if let Some(input) = input {
        let bytes = STANDARD.encode(input);
        assert_eq!(
            node.ask(Command::ExecInput {
                exec,
                bytes,
                end: true
            }),
            Reply::Done {}
        );
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match node
            .client()
            .event(|event| matches!(event, Event::ExecOutput { .. } | Event::ExecEnded { .. }))
        {
            Event::ExecOutput { stream, bytes, .. } => {
                let sink = if stream == Stream::Stdout {
                    &mut out
                } else {
                    &mut err
                };
                sink.extend(STANDARD.decode(bytes).unwrap());
                node.ask(Command::ExecTaken { exec, pieces: 1 });
            }
            Event::ExecEnded { code, .. } => {
                return (
                    String::from_utf8(out).unwrap(),
                    String::from_utf8(err).unwrap(),
                    code,
                );
            }
            _ => unreachable!(),
        }
    }
}

#[test]
fn a_root_takes_writes_only_where_it_was_asked_to() {
    let mut node = Node::start();
    let script = "touch /x 2>&1; touch /etc/x 2>&1; touch /tmp/x && touch /run/x && touch /dev/shm/x && echo tmp; cat /etc/hosts";
    let seen = node.output("fixed", script);
    assert_eq!(seen.matches("Read-only file system").count(), 2, "{seen}");
    assert!(seen.contains("tmp\n127.0.0.1 localhost"), "{seen}");
    let mut spec = node.spec(
        "open",
        &[
            "sh",
            "-c",
            "pwd; touch /x /bin/new && chown 33 /x && ls -n /x && rm -f /etc/passwd",
        ],
    );
    spec.writable = true;
    spec.working_dir = "/data/made/here".to_owned();
    node.run(spec);
    node.exited("open");
    let text: String = node
        .log("open")
        .into_iter()
        .map(|line| line.text + "\n")
        .collect();
    assert!(
        text.starts_with("/data/made/here\n") && text.contains("33"),
        "{text}"
    );
    let layer = node.path("state/layers").join(node.layer.hex());
    assert!(layer.join("etc/passwd").exists() && !layer.join("x").exists());
}

#[test]
fn what_cannot_be_made_is_refused_in_one_sentence_and_leaves_nothing() {
    let mut node = Node::start();
    let before = node.traces();
    let mut cases = Vec::new();
    let spec = |node: &Node| node.spec("no", &["true"]);
    let mut case =
        |word: &'static str, change: &dyn Fn(&mut edged_protocol::worker::ContainerSpec)| {
            let mut wanted = spec(&node);
            change(&mut wanted);
            cases.push((word, wanted));
        };
    case("no-program", &|spec| {
        spec.command = vec!["no-program".to_owned()];
    });
    case("not in the image", &|spec| {
        spec.command = vec!["/etc/passwd".to_owned()];
    });
    case("/nowhere", &|spec| spec.working_dir = "/nowhere".to_owned());
    case("not absolute", &|spec| {
        spec.working_dir = "/data/../etc".to_owned();
    });
    case("nobody-known", &|spec| {
        spec.user = "nobody-known".to_owned();
    });
    case("memory limit", &|spec| spec.limits.memory = Bytes(1));
    case("user ids", &|spec| spec.first_uid = 0);
    case("not unpacked", &|spec| {
        spec.layers.push(edged_model::Digest::from_sha256([9; 32]));
    });
    case("0 layers", &|spec| spec.layers.clear());
    case("no command", &|spec| spec.command.clear());
    case("NAME=VALUE", &|spec| spec.env = vec!["NOVALUE".to_owned()]);
    case("file name", &|spec| {
        spec.secrets
            .insert("../x".to_owned(), edged_protocol::Secret::new("x"));
    });
    for (word, wanted) in cases {
        let refusal = node.refusal(Command::Create(Box::new(wanted)));
        assert!(refusal.sentence.contains(word), "{word}: {refusal}");
        while !node.states().is_empty() {}
        wait_until(|| node.traces() == before);
    }
    let unknown = node.refusal(stop("no", 15, 0));
    assert!(unknown.sentence.contains("no container of no"), "{unknown}");
    node.delete("no");
    let spec = node.spec("bare", &["true"]);
    node.ask(Command::Create(Box::new(spec.clone())));
    assert_eq!(
        node.ask(Command::Create(Box::new(spec))),
        Reply::Done {},
        "the same again is done"
    );
    let refusal = node.refusal(start("bare"));
    assert!(
        refusal.sentence.contains("eth0") && refusal.transient,
        "{refusal}"
    );
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed().as_secs() < 20, "it never came to be");
        std::thread::yield_now();
    }
}

/// Processes whose parent is `parent` (`proc_pid_stat(5)`: the second field behind the name).
fn children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let fields = stat.rsplit(')').next().unwrap().split_whitespace();
            fields.skip(1).take(1).eq([parent.to_string()])
        })
        .collect()
}

#[test]
fn fifty_containers_leave_nothing_behind() {
    let mut node = Node::start();
    let before = node.traces();
    let fds = || {
        std::fs::read_dir(format!("/proc/{}/fd", node.pid()))
            .unwrap()
            .count()
    };
    let open = fds();
    for number in 0..50 {
        let name = format!("n{number}");
        let spec = node.spec(&name, &["true"]);
        if number % 2 == 0 {
            node.run(spec);
            assert_eq!(node.exited(&name), ExitCode::Code(0));
        } else {
            assert_eq!(node.ask(Command::Create(Box::new(spec))), Reply::Done {});
        }
        node.delete(&name);
    }
    assert_eq!(node.traces(), before);
    let fds = std::fs::read_dir(format!("/proc/{}/fd", node.pid()))
        .unwrap()
        .count();
    assert_eq!(fds, open, "descriptors of the worker");
    assert_eq!(
        children(node.pid()),
        Vec::<String>::new(),
        "children of the worker"
    );
}

#[test]
fn a_newer_connection_replaces_the_older_and_containers_do_not_mind() {
    let mut node = Node::start();
    let spec = node.spec("steady", &["sleep", "60"]);
    node.run(spec);
    let mut newer = Client::connect(&node.path("run/worker.sock"));
    let Reply::Observed { containers, .. } = newer.ask(Command::Observe {}) else {
        panic!()
    };
    assert!(matches!(
        containers[&id("steady")],
        ContainerState::Running { .. }
    ));
    assert!(node.client().is_closed());
}

#[test]
fn a_running_container_is_measured_and_cannot_be_deleted() {
    let mut node = Node::start();
    let spec = node.spec("busy", &["sleep", "60"]);
    node.run(spec);
    let Reply::Stats(stats) = node.ask(Command::Stats {
        instance: id("busy"),
    }) else {
        panic!()
    };
    assert!(
        stats.pids >= 1 && stats.memory > 0 && stats.memory_limit == 128 << 20,
        "{stats:?}"
    );
    let refusal = node.refusal(Command::Delete {
        instance: id("busy"),
    });
    assert!(
        refusal.sentence.contains("stop it first") && refusal.transient,
        "{refusal}"
    );
    let layer = node.layer.clone();
    let refusal = node.refusal(Command::RemoveLayer {
        diff_id: layer.clone(),
    });
    assert!(refusal.sentence.contains("in use by busy"), "{refusal}");
    node.ask(stop("busy", 9, 0));
    node.exited("busy");
    node.delete("busy");
    assert_eq!(
        node.ask(Command::RemoveLayer { diff_id: layer }),
        Reply::Done {}
    );
    assert_eq!(
        std::fs::read_dir(node.path("state/layers"))
            .unwrap()
            .count(),
        0
    );
}
