//! What a program inside a default container can and cannot do, and the escapes of other runtimes' history.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use edged_model::{Bytes, ExitCode, MilliCpus};
use edged_protocol::worker::{Command, Event, Reply};
use support::{FIRST_UID, Node, id};

#[test]
fn privileges_are_what_the_table_says() {
    let mut node = Node::start();
    let status = node.output(
        "plain",
        "cat /proc/self/status /proc/self/uid_map /proc/self/gid_map",
    );
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(
        (field("NoNewPrivs:"), field("Seccomp:")),
        ("1".to_owned(), "2".to_owned())
    );
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service.
    let table = format!("{:016x}", edged_worker::container::enter::capability_mask());
    assert_eq!(table, "00000000000005fb");
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(field(set), table, "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    let map = format!("0 {FIRST_UID} 65536");
    let maps = status
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(maps.filter(|line| *line == map).count(), 2, "{status}");
}

#[test]
fn a_user_other_than_root_has_no_capability_and_a_command_inside_has_no_more_than_the_container() {
    let mut node = Node::start();
    let mut spec = node.spec("web", &["sh", "-c", "grep Cap /proc/self/status; sleep 60"]);
    spec.user = "web".to_owned();
    node.run(spec);
    while node.log("web").len() < 5 {
        std::thread::yield_now();
    }
    let log = node.log("web");
    assert!(
        log.iter()
            .any(|line| line.text == "CapEff:\t0000000000000000"),
        "{log:?}"
    );
    let spec = node.spec("root", &["sleep", "60"]);
    node.run(spec);
    let entered = exec(
        &mut node,
        "root",
        "cat /proc/self/status /proc/self/uid_map; hostname; ls /proc/self/fd; cat /proc/self/cgroup",
    );
    for expected in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t00000000000005fb",
        "CapBnd:\t00000000000005fb",
        "root\n",
    ] {
        assert!(entered.contains(expected), "{expected} is not in {entered}");
    }
    assert!(entered.contains(&FIRST_UID.to_string()), "{entered}");
    assert!(
        !entered.contains("/edged-test-"),
        "its cgroup is its own root: {entered}"
    );
    let namespaces = "for n in user pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; readlink /proc/1/ns/$n; done";
    let links = exec(&mut node, "root", namespaces);
    let links: Vec<&str> = links.lines().collect();
    assert_eq!(links.len(), 14);
    for pair in links.chunks(2) {
        assert_eq!(
            pair[0], pair[1],
            "a command joins every namespace of the container"
        );
        let own = pair[0].split(':').next().unwrap();
        let host = std::fs::read_link(format!("/proc/self/ns/{own}")).unwrap();
        assert_ne!(host.to_str().unwrap(), pair[0]);
    }
}

fn exec(node: &mut Node, instance: &str, script: &str) -> String {
    use base64::Engine as _;
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let reply = node.ask(Command::Exec {
        instance: id(instance),
        command,
        input: false,
    });
    assert!(matches!(reply, Reply::ExecStarted { .. }), "{reply:?}");
    let mut out = Vec::new();
    loop {
        match node
            .client()
            .event(|event| matches!(event, Event::ExecOutput { .. } | Event::ExecEnded { .. }))
        {
            Event::ExecOutput { bytes, .. } => {
                out.extend(
                    base64::engine::general_purpose::STANDARD
                        .decode(bytes)
                        .unwrap(),
                );
            }
            _ => return String::from_utf8(out).unwrap(),
        }
    }
}

#[test]
fn the_box_is_neither_told_of_nor_changed() {
    let mut node = Node::start();
    let script = "
        for f in kcore keys timer_list interrupts kallsyms sched_debug; do
            test -e /proc/$f && echo $f $(head -c 100 /proc/$f 2>/dev/null | wc -c); done
        ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w
        for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper; do
            (echo x > $f) 2>/dev/null && echo wrote $f; done
        touch /proc/sys/x /sys/x 2>/dev/null && echo wrote
        mount -t tmpfs none /tmp 2>/dev/null && echo mounted
        umount /proc/keys 2>/dev/null && echo unmounted
        unshare -U true 2>/dev/null && echo unshared
        chroot /tmp true 2>/dev/null && echo chrooted
        mknod /tmp/disk b 8 0 2>/dev/null && echo made a device
        mknod /tmp/null c 1 3 2>/dev/null && echo made a device
        hostname other 2>/dev/null && echo renamed
        nsenter -t 1 -m true 2>/dev/null && echo entered
        ping -c 1 127.0.0.1 >/dev/null 2>&1 && echo raw socket
        find / -xdev -name '*.sock' 2>/dev/null; find / -type s 2>/dev/null
        echo end";
    let seen = node.output("curious", script);
    for line in seen.lines() {
        let silent = line == "end" || line == "0" || line.ends_with(" 0");
        assert!(silent, "{line:?} in {seen}");
    }
}

#[test]
fn limits_are_in_force() {
    let mut node = Node::start();
    let mut spec = node.spec("small", &["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo $(ls -d /proc/[0-9]* | wc -w)"]);
    spec.limits.pids = 6;
    spec.limits.cpus = MilliCpus(500);
    spec.limits.memory = Bytes(32 << 20);
    node.run(spec);
    for (one, two, expected) in [
        (
            ("memory", "memory.limit_in_bytes"),
            "memory.max",
            "33554432",
        ),
        (("cpu", "cpu.cfs_quota_us"), "cpu.max", "50000"),
        (("pids", "pids.max"), "pids.max", "6"),
    ] {
        let path = node.group_file("small", one, two);
        let text = std::fs::read_to_string(&path).unwrap();
        // Version 2 tells the period behind the quota.
        let value = text.split_whitespace().next();
        assert_eq!(value, Some(expected), "{}", path.display());
    }
    // Where swap has a limit of its own, a container has none of it: memory ends where its limit is.
    let swap = node.group_file("small", ("", ""), "memory.swap.max");
    if let Ok(limit) = std::fs::read_to_string(&swap) {
        assert_eq!(limit.trim(), "0", "{}", swap.display());
    }
    node.exited("small");
    let full = node.output("filled", "dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>&1; dd if=/dev/zero of=/run/x bs=1M count=100 2>&1");
    assert_eq!(full.matches("No space left").count(), 2, "{full}");
}

#[test]
fn no_other_device_opens_in_a_container_s_cgroup_even_for_root_of_the_box() {
    let mut node = Node::start();
    let spec = node.spec("fenced", &["sleep", "60"]);
    node.run(spec);
    let procs = node.group_file("fenced", ("devices", "cgroup.procs"), "cgroup.procs");
    let open = |device: &str| {
        let script = format!("echo $$ > {} && : < {device}", procs.display());
        let tried = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        (
            tried.status.success(),
            String::from_utf8_lossy(&tried.stderr).into_owned(),
        )
    };
    for device in ["/dev/null", "/dev/urandom", "/dev/ptmx"] {
        assert!(open(device).0, "{device}: {}", open(device).1);
    }
    std::fs::File::open("/dev/kmsg").unwrap();
    let (opened, why) = open("/dev/kmsg");
    assert!(!opened && why.contains("not permitted"), "{why}");
}

#[test]
fn nothing_of_the_host_is_mounted_or_left_open() {
    let mut node = Node::start();
    let seen = node.output("mounts", "cat /proc/self/mountinfo; echo ---; ls -l /proc/self/fd /proc/1/fd; echo ---; readlink /proc/1/cwd; readlink /proc/self/cwd; test -e /proc/1/cwd/bin/busybox && echo inside");
    let parts: Vec<&str> = seen.split("---\n").collect();
    for line in parts[0].lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = fields[fields.iter().position(|field| *field == "-").unwrap() + 1];
        let own = matches!(kind, "overlay" | "proc" | "sysfs" | "devpts" | "tmpfs");
        let from_host = fields[4].starts_with("/dev/") || fields[4].starts_with("/proc/");
        assert!(own || from_host, "{line}");
    }
    // CVE-2024-21626: no descriptor of the runtime survives into the program, nor its working directory.
    let descriptors = parts[1].lines().filter(|line| line.contains("->"));
    for line in descriptors {
        let target = line.rsplit("-> ").next().unwrap();
        let standard =
            target == "/dev/null" || target.ends_with("/stdout") || target.ends_with("/stderr");
        let own = target.starts_with("/proc/") || target.starts_with("pipe:");
        assert!(standard || own, "{line}");
    }
    assert_eq!(parts[2], "/\n/\ninside\n", "{seen}");
}

#[test]
fn the_runtime_cannot_be_overwritten_through_its_own_process() {
    // CVE-2019-5736: an image whose program is a link to /proc/self/exe would execute the runtime itself.
    let mut node = Node::start();
    let binary = support::binary();
    let before = std::fs::metadata(&binary).unwrap().modified().unwrap();
    let refusal = node.refusal(Command::Create(Box::new(node.spec("self", &["/bin/self"]))));
    assert!(refusal.sentence.contains("/bin/self"), "{refusal}");
    // Between its creation and its start a container's init executes the runtime; here is root of its user namespace,
    // with every capability there, who is more than any program inside.
    let spec = node.spec("trap", &["sleep", "60"]);
    assert_eq!(node.ask(Command::Create(Box::new(spec))), Reply::Done {});
    let record = std::fs::read(node.path("run/worker/trap/record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let pid = record["init"]["pid"].as_i64().unwrap();
    for target in [format!("/proc/{pid}/exe"), binary.clone()] {
        let tried = std::process::Command::new("nsenter")
            .args([
                "-U",
                "-t",
                &pid.to_string(),
                "sh",
                "-c",
                &format!(": >> {target}"),
            ])
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(
            !tried.status.success() && why.contains("denied"),
            "{target}: {why}"
        );
    }
    assert_eq!(
        std::fs::metadata(binary).unwrap().modified().unwrap(),
        before
    );
}

#[test]
fn hostile_links_in_an_image_do_not_lead_mounts_astray() {
    // maskedPaths and /dev/null (CVE-2025-31133), /dev/console (CVE-2025-52565): links planted where things are mounted.
    let mut node = Node::start();
    let outside = node.path("outside");
    std::fs::write(&outside, "untouched").unwrap();
    let evil = edged_model::Digest::from_sha256([7; 32]);
    let layer = node.path("state/layers").join(evil.hex());
    std::fs::create_dir_all(layer.join("etc")).unwrap();
    let link = |path: &str, target: &std::path::Path| {
        std::os::unix::fs::symlink(target, layer.join(path)).unwrap();
    };
    for name in ["proc", "sys", "dev", "run", "tmp", "var"] {
        link(name, node.dir.path());
    }
    for name in ["etc/hosts", "etc/resolv.conf", "etc/hostname"] {
        link(name, &outside);
    }
    let mut spec = node.spec(
        "led",
        &[
            "sh",
            "-c",
            "cat /etc/hosts; ls -d /proc/1; test -c /dev/null && echo null",
        ],
    );
    spec.layers.push(evil);
    let before = node.traces().len();
    node.run(spec);
    assert_eq!(node.exited("led"), ExitCode::Code(0));
    let text: Vec<String> = node.log("led").into_iter().map(|line| line.text).collect();
    assert_eq!(text, ["127.0.0.1 localhost", "/proc/1", "null"]);
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    let names: Vec<_> = std::fs::read_dir(node.dir.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    node.delete("led");
    assert_eq!(node.traces().len(), before);
}
