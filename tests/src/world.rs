//! What a node has in the kernel, as lines that can be compared.
//!
//! A node's things carry its tag or its folder in their names, so other work on the machine does not disturb a look.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use board::line::Line;
use board::process;

/// What to look for.
#[derive(Debug, Clone)]
pub struct Eye {
    tag: String,
    folder: PathBuf,
    subnet: String,
}

impl Eye {
    /// For a node with a temporary folder, whose name ends with the tag.
    pub fn new(line: &Line) -> anyhow::Result<Self> {
        let name = line.dir.to_string_lossy().into_owned();
        let (_, tag) = name.rsplit_once('-').context("not a temporary folder")?;
        let (subnet, _) = line.app_subnet.rsplit_once('.').context("no subnet")?;
        Ok(Self {
            tag: tag.to_owned(),
            folder: line.dir.clone(),
            subnet: format!("{subnet}."),
        })
    }

    /// Everything of the node that is there now: links, addresses, routes, tables, cgroups, mounts, processes.
    pub fn look(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut lines = BTreeSet::new();
        let looks: [(&str, &[&str]); 4] = [
            ("link", &["ip", "-o", "-brief", "link"]),
            ("netns", &["ip", "netns", "list"]),
            ("table", &["nft", "list", "tables"]),
            ("route", &["ip", "route", "show", "table", "all"]),
        ];
        for (kind, words) in looks {
            let Some((program, arguments)) = words.split_first() else {
                continue;
            };
            let shown = process::output(Command::new(program).args(arguments))?;
            lines.extend(self.ours(kind, &shown));
        }
        self.cgroups(Path::new("/sys/fs/cgroup"), &mut lines);
        lines.extend(self.ours("mount", &fs::read_to_string("/proc/self/mountinfo")?));
        self.processes(&mut lines)?;
        Ok(lines)
    }

    /// The same without what the node keeps for itself as long as it runs: its gateway and the parents of its groups.
    pub fn look_at_applications(&self) -> anyhow::Result<BTreeSet<String>> {
        let gateway = format!(" dev mec{} ", self.tag);
        let parent = format!("/edged-{}", self.tag);
        let mut lines = self.look()?;
        lines.retain(|line| !line.contains(&gateway) && !line.ends_with(&parent));
        Ok(lines)
    }

    fn is_ours(&self, text: &str) -> bool {
        text.contains(&format!("mec{}", self.tag))
            || text.contains(&format!("edged-{}", self.tag))
            || text.contains(&self.subnet)
            || text.contains(self.folder.to_string_lossy().as_ref())
    }

    fn ours(&self, kind: &str, text: &str) -> Vec<String> {
        let ours = text.lines().filter(|line| self.is_ours(line));
        ours.map(|line| format!("{kind} {line}")).collect()
    }

    fn cgroups(&self, folder: &Path, lines: &mut BTreeSet<String>) {
        // A group may vanish while it is looked at.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                lines.extend(self.ours("cgroup", &path.to_string_lossy()));
                self.cgroups(&path, lines);
            }
        }
    }

    /// Processes that run for the node, by command line or cgroup, and the mounts that only the worker sees.
    fn processes(&self, lines: &mut BTreeSet<String>) -> anyhow::Result<()> {
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let command = read("cmdline").replace('\0', " ");
            if self.is_ours(&command) || self.is_ours(&read("cgroup")) {
                lines.insert(format!("process {name} {command}"));
            }
            if command.contains("edged-worker") {
                lines.extend(self.ours("worker's mount", &mount_points(&read("mountinfo"))));
            }
        }
        Ok(())
    }
}

/// Mount points alone: their numbers change without anything being left.
fn mount_points(mountinfo: &str) -> String {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.collect::<Vec<_>>().join("\n")
}
