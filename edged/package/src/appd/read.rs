//! From TOSCA to the descriptor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::container::{Image, container};
use super::rule::Fault;
use super::topology::{Documents, Kind, Topology, properties};
use super::{
    AppDescriptor, AppExternalCpd, AppNetworkPolicy, ChangeAppInstanceStateOpConfig,
    DnsRuleDescriptor, Extensions, OsContainerDescriptor, SteeredNetwork,
    TerminateAppInstanceOpConfig, TrafficRuleDescriptor,
};
use crate::error::PackageError;
use crate::yaml::Node;

const TEMPLATE: [&str; 7] = [
    "type",
    "description",
    "metadata",
    "properties",
    "requirements",
    "capabilities",
    "artifacts",
];
/// Properties of `tosca.nodes.mec.MecApp` (MEC 037, 5.2.4.1.2, and those of `tosca.nodes.nfv.VNF` that have a meaning).
const MEC_APP: [&str; 24] = [
    "descriptor_id",
    "provider",
    "product_name",
    "software_version",
    "descriptor_version",
    "product_info_name",
    "product_info_description",
    "vnfm_info",
    "flavour_id",
    "flavour_description",
    "lcm_operations_configuration",
    "mec_version",
    "app_service_required",
    "app_service_optional",
    "app_service_produced",
    "app_feature_required",
    "app_feature_optional",
    "transport_dependencies",
    "app_traffic_rule",
    "app_dns_rule",
    "app_latency",
    "user_context_transfer_capability",
    "app_network_policy",
    "default_localization_language",
];
/// Rules of one kind in one descriptor; the kernel's side has its own bound.
const RULES_MAX: u64 = 256;

/// A descriptor as it was read, and what the rest of the package has to fit.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) descriptor: AppDescriptor,
    /// Its images, in the order of the containers.
    pub(crate) images: Vec<Image>,
    /// `vnfm_info`, for the manifest.
    pub(crate) vnfm_info: Option<Vec<String>>,
    /// The file with the application's node, and the way to the node's properties by name.
    pub(crate) file: String,
}

impl Read {
    /// Reads the descriptor at `entry`. `text` gives a file of the package; `exists` says whether there is one.
    pub(crate) fn from_tosca(
        entry: &str,
        text: impl FnMut(&str) -> Result<Option<String>, PackageError>,
        exists: impl Fn(&str) -> bool,
    ) -> Result<Self, PackageError> {
        let documents = Documents::read(entry, text, crate::meta::PATH)?;
        let topology = documents.topology()?;
        let mut parts = Parts::default();
        for (name, template) in &topology.templates {
            template.only(&TEMPLATE)?;
            let (kind, chain) = topology.kind(template)?;
            match kind {
                Kind::MecApp => parts.apps.push(App {
                    template: template.clone(),
                    values: properties(template, &chain)?,
                }),
                Kind::OsContainer => {
                    let (container, image) = container(name, template, &exists)?;
                    parts.containers.push(container);
                    parts.images.push(image);
                }
                Kind::DeployableUnit => parts.units.push(template.clone()),
                Kind::Connection => parts.connections.push(AppExternalCpd {
                    cpd_id: (*name).to_owned(),
                    description: template
                        .get("description")?
                        .map(|node| node.text().map(str::to_owned))
                        .transpose()?,
                }),
                Kind::Chart => {}
                Kind::Machine => {
                    return Err(template.error(
                        "this node needs a virtual machine and here are containers only; use tosca.nodes.nfv.Vdu.OsContainer",
                    ));
                }
            }
        }
        parts.check_units()?;
        parts.finish(&topology, entry)
    }
}

/// The application's node.
#[derive(Debug)]
struct App<'a> {
    template: Node<'a>,
    values: BTreeMap<&'a str, Node<'a>>,
}

#[derive(Debug, Default)]
struct Parts<'a> {
    apps: Vec<App<'a>>,
    containers: Vec<OsContainerDescriptor>,
    images: Vec<Image>,
    units: Vec<Node<'a>>,
    connections: Vec<AppExternalCpd>,
}

impl Parts<'_> {
    /// Units hold containers that exist, and there is one of each (MEC 037, 5.2.4.9).
    fn check_units(&self) -> Result<(), PackageError> {
        let names: BTreeSet<&str> = self
            .containers
            .iter()
            .map(|container| container.os_container_desc_id.as_str())
            .collect();
        for unit in &self.units {
            for item in unit
                .get("requirements")?
                .map_or(Ok(Vec::new()), |list| list.items())?
            {
                if let Some(container) = item.get("container")?
                    && !names.contains(container.text()?)
                {
                    return Err(container.error(
                        "there is no such node of type tosca.nodes.nfv.Vdu.OsContainer; name one",
                    ));
                }
            }
            let Some(profile) = unit
                .get("properties")?
                .map_or(Ok(None), |properties| properties.get("vdu_profile"))?
            else {
                continue;
            };
            for bound in ["min_number_of_instances", "max_number_of_instances"] {
                if let Some(node) = profile.get(bound)?
                    && node.read::<u32>()? != 1
                {
                    return Err(node.error("an application runs once here; write 1"));
                }
            }
        }
        Ok(())
    }

    fn finish(self, topology: &Topology<'_>, entry: &str) -> Result<Read, PackageError> {
        let mut apps = self.apps.iter();
        let app = apps.next().ok_or_else(|| {
            PackageError::field_of(
                entry,
                "/topology_template/node_templates",
                "there is no application; add a node of a type derived from tosca.nodes.mec.MecApp",
            )
        })?;
        if let Some(other) = apps.next() {
            let (first, second) = (app.name("descriptor_id")?, other.name("descriptor_id")?);
            let reason = if first == second {
                format!(
                    "two applications have the one descriptor_id {first:?}; a package has one application"
                )
            } else {
                format!(
                    "there is a second application, {second:?} beside {first:?}; make a package of each"
                )
            };
            return Err(other.template.error(reason));
        }
        if self.containers.is_empty() {
            return Err(app.template.error(
                "the application has no container; add a node of type tosca.nodes.nfv.Vdu.OsContainer",
            ));
        }
        let vnfm_info = app.read("vnfm_info")?;
        let file = app.template.file().to_owned();
        let descriptor = app.descriptor(self.containers, self.connections, topology.description)?;
        Ok(Read {
            descriptor,
            images: self.images,
            vnfm_info,
            file,
        })
    }
}

impl App<'_> {
    fn value(&self, name: &str) -> Option<&Node<'_>> {
        self.values.get(name)
    }

    fn missing(&self, name: &str) -> PackageError {
        self.template
            .require("properties")
            .and_then(|properties| properties.require(name))
            .err()
            .unwrap_or_else(|| {
                self.template
                    .error(format!("property {name} is missing; add it"))
            })
    }

    fn name(&self, name: &str) -> Result<String, PackageError> {
        let node = self.value(name).ok_or_else(|| self.missing(name))?;
        match node.text()? {
            "" => Err(node.error("this must not be empty; give it a value")),
            text => Ok(text.to_owned()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PackageError> {
        self.value(name).map(Node::read).transpose()
    }

    fn list<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, PackageError> {
        Ok(self.read(name)?.unwrap_or_default())
    }

    /// A list of rules: each makes sense, and no two have one id.
    fn rules<T: DeserializeOwned>(
        &self,
        name: &str,
        id: impl Fn(&T) -> &str,
        fault: impl Fn(&T) -> Option<Fault>,
    ) -> Result<Vec<T>, PackageError> {
        let Some(node) = self.value(name) else {
            return Ok(Vec::new());
        };
        let mut rules = Vec::new();
        let mut ids = BTreeSet::new();
        for item in node.items()? {
            let rule: T = item.read()?;
            if let Some((field, reason)) = fault(&rule) {
                return Err(item.get(field)?.unwrap_or(item).error(reason));
            }
            if !ids.insert(id(&rule).to_owned()) {
                return Err(item.error(format!(
                    "a rule with the id {:?} is there already; rename one",
                    id(&rule)
                )));
            }
            rules.push(rule);
        }
        let count = u64::try_from(rules.len()).unwrap_or(u64::MAX);
        PackageError::bound(node.file(), "rules of one kind", count, RULES_MAX)?;
        Ok(rules)
    }

    fn mec_version(&self) -> Result<Vec<String>, PackageError> {
        let node = self
            .value("mec_version")
            .ok_or_else(|| self.missing("mec_version"))?;
        // The type's definition has a list, its table a text with commas.
        let versions: Vec<String> = match node.value().as_str() {
            Some(text) => text
                .split(',')
                .map(|version| version.trim().to_owned())
                .collect(),
            None => node.read()?,
        };
        let number =
            |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let fits =
            |version: &String| version.split('.').count() == 3 && version.split('.').all(number);
        if versions.is_empty() || !versions.iter().all(fits) {
            return Err(node.error("versions of MEC 010-2 look like 3.1.1; correct the list"));
        }
        Ok(versions)
    }

    fn descriptor(
        &self,
        containers: Vec<OsContainerDescriptor>,
        connections: Vec<AppExternalCpd>,
        description: Option<&str>,
    ) -> Result<AppDescriptor, PackageError> {
        for (name, node) in &self.values {
            if !MEC_APP.contains(name) {
                return Err(node.error("this property is not one of tosca.nodes.mec.MecApp that is known here; leave it out"));
            }
        }
        let operations: Option<Operations> = self.read("lcm_operations_configuration")?;
        let operations = operations.unwrap_or_default();
        let extensions = match self.template.get("metadata")? {
            Some(metadata) => Extensions::read(&metadata)?,
            None => Extensions::default(),
        };
        let descriptor = AppDescriptor {
            app_d_id: self.name("descriptor_id")?,
            app_name: self.name("product_name")?,
            app_provider: self.name("provider")?,
            app_soft_version: self.name("software_version")?,
            app_d_version: self.name("descriptor_version")?,
            mec_version: self.mec_version()?,
            app_info_name: self.read("product_info_name")?,
            app_description: match self.read("product_info_description")? {
                Some(text) => text,
                None => description
                    .map(str::to_owned)
                    .ok_or_else(|| self.missing("product_info_description"))?,
            },
            sw_image_descriptor: containers
                .iter()
                .map(|container| container.sw_image_desc.clone())
                .collect(),
            os_container_descriptor: containers,
            app_ext_cpd: connections,
            app_service_required: self.list("app_service_required")?,
            app_service_optional: self.list("app_service_optional")?,
            app_service_produced: self.list("app_service_produced")?,
            app_feature_required: self.list("app_feature_required")?,
            app_feature_optional: self.list("app_feature_optional")?,
            transport_dependencies: self.list("transport_dependencies")?,
            app_traffic_rule: self.rules(
                "app_traffic_rule",
                |rule: &TrafficRuleDescriptor| &rule.traffic_rule_id,
                TrafficRuleDescriptor::fault,
            )?,
            app_dns_rule: self.rules(
                "app_dns_rule",
                |rule: &DnsRuleDescriptor| &rule.dns_rule_id,
                DnsRuleDescriptor::fault,
            )?,
            app_latency: self.read("app_latency")?,
            terminate_app_instance_op_config: operations.terminate,
            change_app_instance_state_op_config: operations.operate,
            user_context_transfer_capability: self.read("user_context_transfer_capability")?,
            app_network_policy: self
                .read("app_network_policy")?
                .map(|steered_network: SteeredNetwork| AppNetworkPolicy { steered_network }),
            extensions,
        };
        self.check_services(&descriptor)?;
        Ok(descriptor)
    }

    /// A port is for a service that the application produces.
    fn check_services(&self, descriptor: &AppDescriptor) -> Result<(), PackageError> {
        let produced: BTreeSet<&str> = descriptor
            .app_service_produced
            .iter()
            .map(|service| service.ser_name.as_str())
            .collect();
        for name in descriptor.extensions.services.keys() {
            if !produced.contains(name.as_str()) {
                return Err(self
                    .template
                    .require("metadata")?
                    .require(&format!("umec.service.{name}"))?
                    .error("no entry of app_service_produced has this ser_name; add it or leave the port out"));
            }
        }
        Ok(())
    }
}

/// `lcm_operations_configuration` (SOL 001, 6.2.28), the two operations that MEC 010-2 has.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Operations {
    terminate: Option<TerminateAppInstanceOpConfig>,
    operate: Option<ChangeAppInstanceStateOpConfig>,
}
