//! A package as it is kept: what was announced, how far it has come, and what was read from it.

use std::collections::BTreeMap;
use std::fmt;

use edged_model::ImageReference;
use edged_package::{AppDescriptor, Hash};
use edged_store::Record;
use mec_api::Problem;
use mec_api::common::ProblemDetails;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `appPkgId`: made here, never changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageId(String);

impl PackageId {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for PackageId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How far a package has come (`onboardingState`), and the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// Announced; its content has not come, or was refused.
    Created,
    /// Its content comes.
    Uploading,
    /// Its content is checked.
    Processing,
    /// Instances can be made of it.
    Onboarded,
    /// It goes: nobody sees it any more, and a restart goes on with it.
    Deleting,
}

/// The image that was brought in for a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnImage {
    /// Its name in the content store.
    pub reference: ImageReference,
    /// Whether somebody else had brought it before: then it stays when the package goes.
    pub shared: bool,
}

/// What was read from a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Its descriptor.
    pub descriptor: AppDescriptor,
    /// The file of the descriptor in the package.
    pub definitions: String,
    /// Who signed it, as RFC 4514 writes names.
    pub signer: Option<String>,
    /// The signer's certificate, PEM.
    pub certificate: Option<String>,
    /// The certificate and what lies between it and its authority, PEM: the signer is asked for again.
    #[serde(default)]
    pub chain: Option<String>,
    /// The image file in the package: its digest and its size in bytes.
    pub image: Option<(Hash, u64)>,
    /// The other files and their digests.
    pub artifacts: BTreeMap<String, Hash>,
}

impl Content {
    /// What its signer is asked for again by: one that was on-boarded before chains were kept has the signer's own
    /// certificate.
    pub(super) fn chain(&self) -> Option<&str> {
        self.chain.as_deref().or(self.certificate.as_deref())
    }
}

/// A package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPackage {
    /// Its id.
    pub id: PackageId,
    /// `appPkgName`.
    pub name: String,
    /// `appPkgVersion`.
    pub version: String,
    /// `appProvider`, as it was announced.
    pub provider: Option<String>,
    /// The checksum that was announced, or that its content turned out to have.
    pub checksum: Option<Hash>,
    /// `userDefinedData`.
    pub user_data: Option<Map<String, Value>>,
    /// Unix seconds.
    pub created: u64,
    /// How far it has come.
    pub stage: Stage,
    /// `operationalState`.
    pub enabled: bool,
    /// Bytes of its content.
    pub size: u64,
    /// `onboardingFailureDetails`.
    pub failure: Option<ProblemDetails>,
    /// The image that belongs to it, known before it is brought in.
    pub image: Option<OwnImage>,
    /// What was read from it, once it is on-boarded.
    pub content: Option<Content>,
}

impl Record for StoredPackage {
    const KIND: &'static str = "package";
    fn key(&self) -> &str {
        self.id.as_str()
    }
}

impl StoredPackage {
    /// The id of its descriptor, once it is on-boarded.
    pub fn appd_id(&self) -> Option<&str> {
        let content = self.content.as_ref();
        content.map(|content| content.descriptor.app_d_id.as_str())
    }

    /// What is there once it is on-boarded.
    ///
    /// # Errors
    /// 409 before.
    pub(super) fn onboarded(&self) -> Result<&Content, Problem> {
        let content = self.content.as_ref();
        content
            .filter(|_| self.stage == Stage::Onboarded)
            .ok_or_else(|| {
                Problem::conflict(format!(
                    "package {} is not on-boarded; its onboardingState says how far it is",
                    self.id
                ))
            })
    }

    /// It is as it was when it was announced, but for what went wrong.
    pub(super) fn refused(&self, problem: &Problem) -> Self {
        Self {
            stage: Stage::Created,
            enabled: false,
            size: 0,
            failure: Some(problem.details()),
            image: None,
            content: None,
            ..self.clone()
        }
    }
}
