//! Inside a default container: what a process finds of its cage.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use board::client::until;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

/// Variables of the contract with applications.
const VARIABLES: [&str; 9] = [
    "MEC_HOST",
    "MEC_APP_INSTANCE_ID",
    "MEC_TOKEN_URL",
    "MEC_CLIENT_ID",
    "MEC_CLIENT_SECRET_FILE",
    "MQTT_URL",
    "MQTT_USERNAME",
    "MQTT_PASSWORD_FILE",
    "MEC_ZONE",
];

/// A container with nothing asked for but small limits.
struct Cage(Lab);

impl Cage {
    fn new() -> anyhow::Result<Self> {
        let lab = Lab::start()?;
        // A shell that waits collects what others leave behind; `sleep` as process 1 would not.
        let idle = lab.image("idle", |layout| {
            images::busybox(layout, "while :; do sleep 100000; done")
        })?;
        let limits = ["--memory", "64m", "--pids", "20", "--cpus", "0.5"];
        lab.run("cage", &limits, &idle)?;
        Ok(Self(lab))
    }

    fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        self.0.node.verb(&[&["exec", "cage", "--"], words].concat())
    }

    fn shell(&self, line: &str) -> anyhow::Result<String> {
        self.exec(&["sh", "-c", line])
    }
}

#[test]
fn a_default_container_is_a_cage() -> anyhow::Result<()> {
    let cage = Cage::new()?;
    privileges(&cage)?;
    paths(&cage)?;
    mounts(&cage)?;
    environment(&cage)?;
    limits(&cage)?;
    cage.0.node.verb(&["rm", "--force", "cage"])?;
    cage.0.node.stop()
}

fn privileges(cage: &Cage) -> anyhow::Result<()> {
    let status = cage.exec(&["cat", "/proc/self/status"])?;
    let fields: BTreeMap<&str, &str> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let field = |name: &str| {
        let value = fields.get(name).copied();
        value.with_context(|| format!("no {name} in {status}"))
    };
    ensure!(field("NoNewPrivs")? == "1", "new privileges are possible");
    ensure!(field("Seccomp")? == "2", "no system call filter");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        let bits = field(set)?;
        ensure!(bits.trim_start_matches('0').is_empty(), "{set} = {bits}");
    }
    let map = cage.exec(&["cat", "/proc/self/uid_map"])?;
    let words = map.split_whitespace();
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    ensure!(
        matches!(numbers[..], [0, host, 65_536] if host > 0),
        "user namespace: {map}"
    );
    let first = cage.exec(&["cat", "/proc/1/comm"])?;
    ensure!(first.trim() == "sh", "process 1 is {first}");
    ensure!(
        cage.exec(&["unshare", "-r", "true"]).is_err(),
        "it made a user namespace of its own"
    );
    let mounted = cage.exec(&["mount", "-t", "tmpfs", "none", "/tmp"]);
    ensure!(mounted.is_err(), "it mounted");
    Ok(())
}

fn paths(cage: &Cage) -> anyhow::Result<()> {
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list"] {
        let shown = cage.shell(&format!("cat {path} 2>/dev/null | head -c 10 | wc -c"))?;
        ensure!(shown.trim() == "0", "{path} is not masked: {shown}");
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/written",
    ] {
        let written = cage.shell(&format!("echo 1 > {path}"));
        ensure!(written.is_err(), "{path} takes writes");
    }
    cage.shell("echo 1 > /tmp/written")
        .context("/tmp takes no writes")?;
    Ok(())
}

fn mounts(cage: &Cage) -> anyhow::Result<()> {
    let mounts = cage.exec(&["cat", "/proc/self/mountinfo"])?;
    for word in ["worker.sock", "guardian.sock", "state.db", "docker.sock"] {
        ensure!(!mounts.contains(word), "{word} is mounted inside: {mounts}");
    }
    let sockets = cage.shell("find / -xdev -type s 2>/dev/null")?;
    ensure!(sockets.trim().is_empty(), "sockets inside: {sockets}");
    let links = cage.shell("cut -d: -f1 /proc/net/dev | tail -n +3")?;
    let mut names: Vec<&str> = links.split_whitespace().collect();
    names.sort_unstable();
    ensure!(names == ["eth0", "lo"], "links inside: {names:?}");
    Ok(())
}

fn limits(cage: &Cage) -> anyhow::Result<()> {
    let bomb = "n=0; while [ $n -lt 40 ]; do sleep 2 & n=$((n+1)); done; echo all";
    let all = cage.shell(bomb).unwrap_or_default();
    ensure!(all.trim() != "all", "40 processes where 20 are allowed");
    // The processes that did start end by themselves; until then there is no place for another one.
    until(SOON, || cage.exec(&["true"]).map(Some))?;
    let stats = cage.0.node.verb(&["stats", "--output", "json", "cage"])?;
    for expected in ["67108864", "500", "20"] {
        ensure!(stats.contains(expected), "{expected} is not in {stats}");
    }
    Ok(())
}

fn environment(cage: &Cage) -> anyhow::Result<()> {
    let environment = cage.exec(&["env"])?;
    for name in VARIABLES {
        let set = environment
            .lines()
            .any(|line| line.starts_with(&format!("{name}=")));
        ensure!(set, "{name} is not set:\n{environment}");
    }
    for file in ["MQTT_PASSWORD_FILE", "MEC_CLIENT_SECRET_FILE"] {
        let secret = cage.shell(&format!("cat ${file}"))?;
        ensure!(!secret.trim().is_empty(), "{file} is empty");
        ensure!(
            !environment.contains(secret.trim()),
            "a secret is in the environment"
        );
        let kind = cage.shell(&format!("stat -f -c %T $(dirname ${file})"))?;
        ensure!(kind.trim() == "tmpfs", "{file} is on {kind}");
    }
    Ok(())
}
