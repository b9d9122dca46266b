//! A package as the interface answers it.

use edged_package::{Algorithm, Hash};
use mec_api::Problem;
use mec_api::common::LinkType;
use mec_api::package_management::{
    AppPkgArtifactInfo, AppPkgInfo, AppPkgInfoLinks, AppPkgSWImageInfo, BASE, Checksum,
    OnboardingState, OperationalState, UsageState,
};

use super::record::{Content, Stage, StoredPackage};
use crate::Caller;
use crate::query::{Attribute, ListSchema, Scalar, Shape};

const TEXT: Shape = Shape::Scalar(Scalar::Text);
const LIST: Shape = Shape::List(&Shape::Opaque);

/// `AppD`, for filters and selectors on one descriptor: whole by default.
pub(super) const APPD: ListSchema = ListSchema {
    name: "AppD",
    attributes: &[
        Attribute::required("appDId", TEXT),
        Attribute::required("appName", TEXT),
        Attribute::required("appProvider", TEXT),
        Attribute::required("appSoftVersion", TEXT),
        Attribute::required("appDVersion", TEXT),
        Attribute::required("mecVersion", TEXT),
        Attribute::optional("appInfoName", TEXT),
        Attribute::required("appDescription", TEXT),
        Attribute::optional("osContainerDescriptor", LIST),
        Attribute::required("swImageDescriptor", LIST),
        Attribute::required("appExtCpd", LIST),
        Attribute::optional("appServiceRequired", LIST),
        Attribute::optional("appServiceOptional", LIST),
        Attribute::optional("appServiceProduced", LIST),
        Attribute::optional("appFeatureRequired", LIST),
        Attribute::optional("appFeatureOptional", LIST),
        Attribute::optional("transportDependencies", LIST),
        Attribute::optional("appTrafficRule", LIST),
        Attribute::optional("appDNSRule", LIST),
        Attribute::optional("appLatency", Shape::Opaque),
        Attribute::optional("terminateAppInstanceOpConfig", Shape::Opaque),
        Attribute::optional("changeAppInstanceStateOpConfig", Shape::Opaque),
        Attribute::optional("userContextTransferCapability", Shape::Opaque),
        Attribute::optional("appNetworkPolicy", Shape::Opaque),
        Attribute::optional("umec", Shape::Opaque),
    ],
};

/// `operationalState`.
pub(super) fn operational(enabled: bool) -> OperationalState {
    if enabled {
        OperationalState::Enabled
    } else {
        OperationalState::Disabled
    }
}

/// `usageState`.
pub(super) fn usage(used: bool) -> UsageState {
    if used {
        UsageState::InUse
    } else {
        UsageState::NotInUse
    }
}

/// The package as `caller` sees it.
pub(super) fn info(caller: &Caller, package: &StoredPackage, used: bool) -> AppPkgInfo {
    let link = |rest: &str| LinkType {
        href: caller.href(format_args!("{BASE}/app_packages/{}{rest}", package.id)),
    };
    let content = package.content.as_ref();
    let read = content.map(|content| &content.descriptor);
    AppPkgInfo {
        id: package.id.to_string(),
        appd_id: read.map_or_else(String::new, |read| read.app_d_id.clone()),
        app_provider: read
            .map(|read| read.app_provider.clone())
            .or_else(|| package.provider.clone()),
        app_name: read.map_or_else(|| package.name.clone(), |read| read.app_name.clone()),
        app_software_version: read.map_or_else(String::new, |read| read.app_soft_version.clone()),
        appd_version: read.map_or_else(
            || package.version.clone(),
            |read| read.app_d_version.clone(),
        ),
        checksum: match &package.checksum {
            Some(hash) => checksum(hash),
            None => Checksum {
                algorithm: Algorithm::Sha256.to_string(),
                hash: String::new(),
            },
        },
        signing_certificate: content.and_then(|content| content.certificate.clone()),
        software_images: content.map(images).unwrap_or_default(),
        additional_artifacts: content.map(artifacts),
        onboarding_state: match package.stage {
            Stage::Created | Stage::Deleting => OnboardingState::Created,
            Stage::Uploading => OnboardingState::Uploading,
            Stage::Processing => OnboardingState::Processing,
            Stage::Onboarded => OnboardingState::Onboarded,
        },
        operational_state: operational(package.enabled),
        usage_state: usage(used),
        mec_info: read.map_or_else(Vec::new, |read| read.mec_version.clone()),
        user_defined_data: package.user_data.clone(),
        onboarding_failure_details: package.failure.clone(),
        links: AppPkgInfoLinks {
            itself: link(""),
            appd: link("/appd"),
            app_pkg_content: link("/package_content"),
            vnf_pkg_info: None,
        },
    }
}

fn images(content: &Content) -> Vec<AppPkgSWImageInfo> {
    let images = content.descriptor.sw_image_descriptor.iter();
    images
        .map(|image| AppPkgSWImageInfo {
            id: image.id.clone(),
            name: image.name.clone(),
            version: image.version.clone(),
            container_format: image.container_format.clone(),
            checksum: image.checksum.as_ref().map(checksum),
            #[allow(
                clippy::cast_precision_loss,
                clippy::as_conversions,
                reason = "a package has less than 2^53 bytes"
            )]
            size: content.image.as_ref().map(|(_, size)| *size as f64),
        })
        .collect()
}

fn artifacts(content: &Content) -> Vec<AppPkgArtifactInfo> {
    let files = content.artifacts.iter();
    files
        .map(|(path, hash)| AppPkgArtifactInfo {
            artifact_path: path.clone(),
            checksum: checksum(hash),
        })
        .collect()
}

fn checksum(hash: &Hash) -> Checksum {
    Checksum {
        algorithm: hash.algorithm.to_string(),
        hash: hash.hex.clone(),
    }
}

/// A checksum that somebody announced.
///
/// # Errors
/// 400 naming the member that cannot be.
pub(super) fn announced(checksum: &Checksum) -> Result<Hash, Problem> {
    let algorithm: Algorithm = checksum
        .algorithm
        .parse()
        .map_err(|error| Problem::bad_request(format!("checksum/algorithm: {error}")))?;
    let digits = match algorithm {
        Algorithm::Sha256 => 64,
        Algorithm::Sha384 => 96,
        Algorithm::Sha512 => 128,
    };
    let hex = checksum.hash.to_ascii_lowercase();
    if hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::bad_request(format!(
            "checksum/hash: {algorithm} has {digits} hexadecimal digits"
        )));
    }
    Ok(Hash { algorithm, hex })
}
