//! Where the worker keeps what: every path of an instance follows from its id.

use std::path::PathBuf;

use edged_config::Node;
use edged_model::{Digest, InstanceId};

/// The paths of one instance beneath RUN/worker/INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub instance: InstanceId,
    /// The folder itself.
    pub dir: PathBuf,
    /// Where its network namespace is pinned.
    pub netns: PathBuf,
    /// Its cgroup, absolute within each hierarchy.
    pub cgroup: PathBuf,
}

impl Place {
    /// The place of an instance.
    pub fn of(node: &Node, instance: &InstanceId) -> Self {
        Self {
            instance: instance.clone(),
            dir: node.containers().join(instance.as_str()),
            netns: node.netns().join(instance.as_str()),
            cgroup: PathBuf::from(&node.cgroup).join(instance.as_str()),
        }
    }
    /// What is known of the container; see [`crate::record`].
    pub fn record(&self) -> PathBuf {
        self.dir.join("record.json")
    }
    /// The mounted root.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }
    /// Where layers are attached while the root is made.
    pub fn lower(&self) -> PathBuf {
        self.dir.join("lower")
    }
    /// The tmpfs that takes a writable root's writes.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }
    /// The tmpfs of secrets.
    pub fn secrets(&self) -> PathBuf {
        self.dir.join("secrets")
    }
    /// The worker's own tree on top of the image; see [`crate::container::etc`].
    pub fn top(&self) -> PathBuf {
        self.dir.join("top")
    }
    /// libcontainer's own state, which holds the socket that releases the program.
    pub fn runtime(&self) -> PathBuf {
        self.dir.join("runtime")
    }
    /// The pipe of standard output or standard error.
    pub fn stream(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
    /// A file of the log's ring: 0 is being written, 1 is full.
    pub fn log(&self, number: u8) -> PathBuf {
        self.dir.join(format!("log.{number}"))
    }
}

/// A blob of the content store.
pub fn blob(node: &Node, digest: &Digest) -> PathBuf {
    node.content()
        .join("blobs")
        .join("sha256")
        .join(digest.hex())
}

/// An unpacked layer.
pub fn layer(node: &Node, diff_id: &Digest) -> PathBuf {
    node.layers().join(diff_id.hex())
}

/// A layer that is being unpacked.
pub fn partial_layer(node: &Node, diff_id: &Digest) -> PathBuf {
    node.layers().join(format!("{}.partial", diff_id.hex()))
}
