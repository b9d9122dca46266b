//! `service`: what the operator does with the registry of services (MEC 011).

use clap::Subcommand;
use edged_model::InstanceId;
use serde::{Deserialize, Serialize};

/// What is done with services.
#[derive(Debug, Clone, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum ServiceVerb {
    /// List services.
    Ls,
    /// Show everything about a service as MEC 011 has it, in JSON.
    Inspect {
        /// Which one, by its id or its name.
        #[arg(value_name = "SERVICE")]
        service: String,
    },
    /// Remove services from the registry; their applications may register them again.
    Rm {
        /// Which ones, by their ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// One service in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// MEC 011 `serName`.
    pub name: String,
    /// MEC 011 `serInstanceId`.
    pub id: String,
    /// Who offers it: the application's name; its id where it runs elsewhere.
    pub owner: String,
    /// MEC 011 `appInstanceId` of who offers it.
    pub app_instance_id: InstanceId,
    /// MEC 011 `state`: ACTIVE, INACTIVE or SUSPENDED.
    pub state: String,
    /// Its version.
    pub version: String,
    /// MEC 011 `type` of its transport, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transport: Option<String>,
    /// Where it is reached: URIs, names and addresses with ports.
    pub endpoints: Vec<String>,
}
