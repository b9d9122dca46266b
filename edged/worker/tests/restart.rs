//! What a worker finds again when the one before was killed, at any point.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use edged_model::{ContainerState, ExitCode};
use edged_protocol::worker::{Command, Reply};
use edged_worker::fault::Fault;
use support::{Client, Node, id, start, stop};

#[test]
fn a_killed_worker_is_not_noticed_by_its_containers() {
    let mut node = Node::start();
    let spec = node.spec(
        "steady",
        &[
            "sh",
            "-c",
            "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done",
        ],
    );
    node.run(spec);
    let spec = node.spec("brief", &["sleep", "60"]);
    node.run(spec);
    let spec = node.spec("waiting", &["true"]);
    node.ask(Command::Create(Box::new(spec)));
    let pid = |node: &mut Node, name: &str| match node.states()[&id(name)] {
        ContainerState::Running { pid, .. } => pid,
        ref other => panic!("{other:?}"),
    };
    let (steady, brief) = (pid(&mut node, "steady"), pid(&mut node, "brief"));
    let seen = node.log("steady").len();
    node.kill_worker();
    nix_kill(brief);
    node.start_worker(&[]);
    assert_eq!(pid(&mut node, "steady"), steady, "the same process");
    assert_eq!(node.states()[&id("waiting")], ContainerState::Created);
    // Nobody saw it end.
    assert_eq!(
        node.states()[&id("brief")],
        ContainerState::Exited {
            code: ExitCode::Unknown
        }
    );
    while node.log("steady").len() < seen + 50 {
        std::thread::yield_now();
    }
    let lines = node.log("steady");
    assert!(
        lines
            .iter()
            .zip(1..)
            .all(|(line, seq)| line.seq == seq && line.text == seq.to_string()),
        "no line is lost"
    );
    node.attach("waiting");
    assert_eq!(node.ask(start("waiting")), Reply::Done {});
    assert_eq!(node.exited("waiting"), ExitCode::Unknown);
    node.ask(stop("steady", 9, 0));
    assert_eq!(node.exited("steady"), ExitCode::Unknown);
    for name in ["steady", "brief", "waiting"] {
        node.delete(name);
    }
    assert!(node.states().is_empty());
}

fn nix_kill(pid: u32) {
    let done = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(done.success());
    while std::path::Path::new(&format!("/proc/{pid}/stat")).exists()
        && !std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap_or_default()
            .contains(") Z ")
    {
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_that_is_told_to_end_leaves_containers_and_no_socket() {
    let mut node = Node::start();
    let spec = node.spec("steady", &["sleep", "60"]);
    node.run(spec);
    let pid = node.pid().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(&pid)
            .status()
            .unwrap()
            .success()
    );
    node.wait_worker();
    assert!(!node.path("run/worker.sock").exists());
    node.start_worker(&[]);
    assert!(matches!(
        node.states()[&id("steady")],
        ContainerState::Running { .. }
    ));
}

#[test]
fn every_point_of_a_life_can_be_cut_and_leaves_the_whole_or_nothing() {
    for fault in Fault::ALL {
        let mut node = Node::start_to_be_cut();
        let clean = node.traces();
        node.kill_worker();
        if fault == Fault::BeforeLayerRename {
            std::fs::remove_dir_all(node.path("state/layers")).unwrap();
        }
        node.start_worker(&[("EDGED_FAULT", fault.name())]);
        let cut = live(&mut node);
        assert!(cut, "{fault:?} was not reached");
        node.wait_worker();
        node.start_worker(&[]);
        match node.states().get(&id("cut")) {
            None => assert_eq!(node.traces(), clean, "{fault:?}"),
            Some(
                ContainerState::Created
                | ContainerState::Running { .. }
                | ContainerState::Exited { .. },
            ) => {
                node.ask(stop("cut", 9, 0));
                while !matches!(
                    node.states().get(&id("cut")),
                    Some(ContainerState::Exited { .. })
                ) {}
                node.delete("cut");
                assert_eq!(node.traces(), clean, "{fault:?}");
            }
            Some(other) => panic!("{fault:?} leaves {other:?}"),
        }
        assert_eq!(node.unpack(), Reply::Done {}, "{fault:?}");
        let spec = node.spec("again", &["true"]);
        node.run(spec);
        assert_eq!(node.exited("again"), ExitCode::Code(0), "{fault:?}");
    }
}

/// A whole life; whether it was cut short.
fn live(node: &mut Node) -> bool {
    let source = edged_protocol::worker::LayerSource {
        blob: node.layer.clone(),
        size: std::fs::metadata(
            node.path("state/edged/content/blobs/sha256")
                .join(node.layer.hex()),
        )
        .unwrap()
        .len(),
        media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
        diff_id: node.layer.clone(),
    };
    let spec = node.spec("cut", &["sleep", "60"]);
    let mut ask = |command| node.client().try_ask(command).is_none();
    if ask(Command::UnpackLayer(source)) || ask(Command::Create(Box::new(spec))) {
        return true;
    }
    node.attach("cut");
    let mut ask = |command| node.client().try_ask(command).is_none();
    if ask(start("cut")) || ask(stop("cut", 9, 0)) {
        return true;
    }
    node.exited("cut");
    node.client()
        .try_ask(Command::Delete {
            instance: id("cut"),
        })
        .is_none()
}

#[test]
fn a_purge_leaves_layers_and_nothing_else() {
    let mut node = Node::start();
    for name in ["one", "two"] {
        let spec = node.spec(name, &["sleep", "60"]);
        node.run(spec);
    }
    let spec = node.spec("three", &["sleep", "60"]);
    node.ask(Command::Create(Box::new(spec)));
    node.kill_worker();
    node.purge();
    assert_eq!(node.traces(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(node.path("run")).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_dir(node.path("state/layers"))
            .unwrap()
            .count(),
        1
    );
    for group in node.cgroups() {
        assert!(!group.exists(), "{} is left", group.display());
    }
    node.purge();
}

#[test]
fn two_workers_do_not_share_a_folder() {
    let node = Node::start();
    let second = std::process::Command::new(support::binary())
        .arg("--config")
        .arg(node.path("edged.toml"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("stop it first"));
    drop(Client::connect(&node.path("run/worker.sock")));
}
