//! The TOSCA documents of a package: definitions and what they import, types and node templates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::error::PackageError;
use crate::yaml::{self, Node};

/// Documents of one descriptor; ETSI's examples have two.
const DOCUMENTS_MAX: u64 = 16;
/// How far types derive from each other.
const DERIVATIONS_MAX: usize = 8;
/// ETSI's definitions of the types: known here, whether or not the package carries a copy.
const ETSI_TYPES: &str = "MecAppDTypes.yaml";
const VERSIONS: [&str; 2] = ["tosca_simple_yaml_1_2", "tosca_simple_yaml_1_3"];
const TOP: [&str; 18] = [
    "tosca_definitions_version",
    "namespace",
    "metadata",
    "template_name",
    "template_author",
    "template_version",
    "description",
    "imports",
    "artifact_types",
    "data_types",
    "capability_types",
    "interface_types",
    "relationship_types",
    "node_types",
    "group_types",
    "policy_types",
    "topology_template",
    "dsl_definitions",
];

/// The node types of MEC 037 that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MecApp,
    OsContainer,
    DeployableUnit,
    Connection,
    /// A Helm chart for container clusters: of no use here, and of no harm.
    Chart,
    /// A virtual machine or its disks.
    Machine,
}

fn known(name: &str) -> Option<Kind> {
    match name {
        "tosca.nodes.mec.MecApp" => Some(Kind::MecApp),
        "tosca.nodes.nfv.Vdu.OsContainer" => Some(Kind::OsContainer),
        "tosca.nodes.nfv.Vdu.OsContainerDeployableUnit" => Some(Kind::DeployableUnit),
        "tosca.nodes.nfv.VduCp" => Some(Kind::Connection),
        "tosca.nodes.nfv.Mciop" => Some(Kind::Chart),
        "tosca.nodes.nfv.Vdu.Compute"
        | "tosca.nodes.nfv.Vdu.VirtualBlockStorage"
        | "tosca.nodes.nfv.Vdu.VirtualObjectStorage"
        | "tosca.nodes.nfv.Vdu.VirtualFileStorage" => Some(Kind::Machine),
        _ => None,
    }
}

/// The documents as they were read, first the entry.
#[derive(Debug)]
pub(super) struct Documents(Vec<(String, Value)>);

impl Documents {
    /// Reads the entry and its imports. `text` gives a file of the package, or `None` where there is none.
    pub(super) fn read(
        entry: &str,
        mut text: impl FnMut(&str) -> Result<Option<String>, PackageError>,
        needed_by: &str,
    ) -> Result<Self, PackageError> {
        let mut documents = Vec::new();
        let mut seen = BTreeSet::new();
        let mut waiting = VecDeque::from([(entry.to_owned(), needed_by.to_owned())]);
        while let Some((file, importer)) = waiting.pop_front() {
            if !seen.insert(file.clone()) {
                continue;
            }
            let count = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            PackageError::bound(&file, "imported documents", count, DOCUMENTS_MAX)?;
            let Some(content) = text(&file)? else {
                if file.rsplit('/').next() == Some(ETSI_TYPES) {
                    continue;
                }
                return Err(PackageError::missing(&file, &importer));
            };
            let value = yaml::parse(&file, &content)?;
            for import in imports(&Node::root(&file, &value))? {
                waiting.push_back((import, file.clone()));
            }
            documents.push((file, value));
        }
        Ok(Self(documents))
    }

    pub(super) fn topology(&self) -> Result<Topology<'_>, PackageError> {
        let mut topology = Topology {
            types: BTreeMap::new(),
            templates: Vec::new(),
            description: None,
        };
        let mut names = BTreeSet::new();
        for (file, value) in &self.0 {
            let root = Node::root(file, value);
            root.only(&TOP)?;
            let version = root.require("tosca_definitions_version")?;
            if !VERSIONS.contains(&version.text()?) {
                return Err(version.error(format!(
                    "this version is not known; write {}",
                    VERSIONS.join(" or ")
                )));
            }
            if let Some(description) = root.get("description")? {
                topology.description.get_or_insert(description.text()?);
            }
            if let Some(types) = root.get("node_types")? {
                for (name, node) in types.members()? {
                    if topology.types.insert(name, node.clone()).is_some() {
                        return Err(node.error("this type is defined twice; keep one definition"));
                    }
                }
            }
            let Some(template) = root.get("topology_template")? else {
                continue;
            };
            if let Some(nodes) = template.get("node_templates")? {
                for (name, node) in nodes.members()? {
                    if !names.insert(name) {
                        return Err(node.error("this node is there twice; keep one"));
                    }
                    topology.templates.push((name, node));
                }
            }
        }
        Ok(topology)
    }
}

fn imports(root: &Node<'_>) -> Result<Vec<String>, PackageError> {
    let Some(list) = root.get("imports")? else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for item in list.items()? {
        let node = if item.value().is_object() {
            item.require("file")?
        } else {
            item
        };
        let name = node.text()?;
        // Nothing is fetched: what types there are at ETSI's addresses is known here.
        if name.contains("://") {
            continue;
        }
        files
            .push(beside(root.file(), name).ok_or_else(|| {
                node.error("this path leads out of the package; put the file in")
            })?);
    }
    Ok(files)
}

/// A path as a file at `from` means it; `None` when it leads out of the package.
pub(super) fn beside(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            "" => return None,
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Types and node templates of all documents.
#[derive(Debug)]
pub(super) struct Topology<'a> {
    types: BTreeMap<&'a str, Node<'a>>,
    pub(super) templates: Vec<(&'a str, Node<'a>)>,
    pub(super) description: Option<&'a str>,
}

impl<'a> Topology<'a> {
    /// What a template is, and the chain of own types it derives through, nearest first.
    pub(super) fn kind(&self, template: &Node<'a>) -> Result<(Kind, Vec<Node<'a>>), PackageError> {
        let type_node = template.require("type")?;
        let mut name = type_node.text()?;
        let mut chain = Vec::new();
        while chain.len() < DERIVATIONS_MAX {
            if let Some(kind) = known(name) {
                return Ok((kind, chain));
            }
            let Some(definition) = self.types.get(name) else {
                break;
            };
            chain.push(definition.clone());
            name = definition.require("derived_from")?.text()?;
        }
        Err(type_node.error(format!(
            "node type {name:?} is not known; derive it from tosca.nodes.mec.MecApp or use a type of MEC 037"
        )))
    }
}

/// The properties of a template: defaults of its types, then its own, each checked against the types' constraints.
pub(super) fn properties<'a>(
    template: &Node<'a>,
    chain: &[Node<'a>],
) -> Result<BTreeMap<&'a str, Node<'a>>, PackageError> {
    let mut values = BTreeMap::new();
    let mut definitions = Vec::new();
    for definition in chain.iter().rev() {
        let Some(all) = definition.get("properties")? else {
            continue;
        };
        for (name, property) in all.members()? {
            if let Some(default) = property.get("default")? {
                values.insert(name, default);
            }
            definitions.push((name, property));
        }
    }
    if let Some(own) = template.get("properties")? {
        for (name, value) in own
            .members()?
            .into_iter()
            .filter(|(_, value)| !value.value().is_null())
        {
            values.insert(name, value);
        }
    }
    for (name, property) in definitions {
        if let (Some(value), Some(constraints)) = (values.get(name), property.get("constraints")?) {
            for constraint in constraints.items()? {
                constrained(value, &constraint)?;
            }
        }
    }
    Ok(values)
}

/// The two constraints that SOL 001, 6.8.1.8 wants; others are for orchestrators that take inputs.
fn constrained(value: &Node<'_>, constraint: &Node<'_>) -> Result<(), PackageError> {
    if let Some(equal) = constraint.get("equal")?
        && equal.value() != value.value()
    {
        return Err(
            value.error("the node type has another value as its constraint; make them the same")
        );
    }
    if let Some(valid) = constraint.get("valid_values")?
        && !valid
            .items()?
            .iter()
            .any(|item| item.value() == value.value())
    {
        return Err(
            value.error("the node type does not have this among its valid values; use one of them")
        );
    }
    Ok(())
}
