//! Packages: the operator's hand on what the MEC interface owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use edged_console::{
    ErrorKind, PackageDetail, PackageView, PlatformError, Progress, SignerView, Step,
};
use edged_mec::package_management::{
    Announcement, CERTIFICATE_MAX, PackageId, Stage, StoredPackage, TrustedSigner,
};
use edged_model::{Bytes, ImageReference};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Door;
use super::error::problem as failed;

/// Bytes of a package that are read at once.
const CHUNK: usize = 64 << 10;

impl Door {
    /// Takes a package until the end of `input`; a refused one is gone again.
    pub(super) async fn take_package(
        &self,
        mut input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<PackageView, PlatformError> {
        let announced = self.packages.announce(Announcement::default());
        let id = announced.map_err(|problem| failed(&problem))?.id.clone();
        // Whatever happens from here on, the announcement without a content is of no use to anybody.
        let announcement = Withdrawn {
            door: self.clone(),
            id: Some(id.clone()),
        };
        let received = self.packages.receive(&id).await;
        let mut arrival = received.map_err(|problem| failed(&problem))?;
        let mut chunk = vec![0; CHUNK];
        let mut done = 0_u64;
        loop {
            let count = input.read(&mut chunk).await.map_err(|error| {
                let message = format!("the package broke off: {error}");
                PlatformError::new(ErrorKind::Invalid, message).with_hint("send it again")
            })?;
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            arrival
                .write(bytes)
                .await
                .map_err(|problem| failed(&problem))?;
            done = done.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            progress.tell(Step {
                step: "taking the package".to_owned(),
                done: Some(Bytes(done)),
                total: None,
            });
        }
        progress.say("checking the package");
        let accepted = self.packages.accept(arrival).await;
        let checked = accepted.map_err(|problem| failed(&problem))?.await;
        checked.map_err(|_| ending())?;
        let package = self.found(id.as_str())?;
        if let Some(failure) = &package.failure {
            let kind = match failure.status {
                409 => ErrorKind::Conflict,
                500.. => ErrorKind::Unavailable,
                _ => ErrorKind::Invalid,
            };
            announcement.withdraw().await;
            return Err(PlatformError::new(kind, failure.detail.clone()));
        }
        announcement.keep();
        Ok(self.package_view(&package))
    }

    /// Whether the package that brought an image may be made instances of.
    pub(super) fn vouched(&self, image: &ImageReference) -> Result<(), PlatformError> {
        let package = self.packages.user_of_image(image).ok_or_else(|| {
            let message = format!("image {image} came with a package that is not here any more");
            PlatformError::new(ErrorKind::Conflict, message).with_hint("install the package again")
        })?;
        let vouched = self.packages.vouched(&package);
        vouched.map_err(|problem| {
            failed(&problem).with_hint("`package trust add` takes the packages of a signer again")
        })
    }

    pub(super) fn found(&self, package: &str) -> Result<Arc<StoredPackage>, PlatformError> {
        self.packages.find(package).map_err(|problem| {
            failed(&problem).with_hint("`package ls` lists the packages of this box")
        })
    }

    pub(super) fn package_views(&self) -> Vec<PackageView> {
        let packages = self.packages.all();
        packages
            .iter()
            .map(|package| self.package_view(package))
            .collect()
    }

    fn package_view(&self, package: &StoredPackage) -> PackageView {
        let content = package.content.as_ref();
        let read = content.map(|content| &content.descriptor);
        PackageView {
            id: package.id.to_string(),
            app_d_id: package.appd_id().map(str::to_owned),
            name: read.map_or_else(|| package.name.clone(), |read| read.app_name.clone()),
            version: read.map_or_else(String::new, |read| read.app_soft_version.clone()),
            provider: read
                .map(|read| read.app_provider.clone())
                .or_else(|| package.provider.clone()),
            onboarding_state: match package.stage {
                Stage::Created | Stage::Deleting => "CREATED",
                Stage::Uploading => "UPLOADING",
                Stage::Processing => "PROCESSING",
                Stage::Onboarded => "ONBOARDED",
            }
            .to_owned(),
            enabled: package.enabled,
            in_use: self.packages.is_used(package),
            size: Bytes(package.size),
            image: package.image.as_ref().map(|image| image.reference.clone()),
            signer: content.and_then(|content| content.signer.clone()),
            failure: package
                .failure
                .as_ref()
                .map(|failure| failure.detail.clone()),
        }
    }

    pub(super) fn package_detail(&self, package: &str) -> Result<PackageDetail, PlatformError> {
        let package = self.found(package)?;
        let mut files = BTreeMap::new();
        let mut descriptor = None;
        if let Some(content) = &package.content {
            let shown = serde_json::to_value(&content.descriptor);
            descriptor = Some(
                shown
                    .map_err(|error| PlatformError::new(ErrorKind::Internal, error.to_string()))?,
            );
            for (name, hash) in &content.artifacts {
                files.insert(name.clone(), format!("{} {}", hash.algorithm, hash.hex));
            }
        }
        Ok(PackageDetail {
            view: self.package_view(&package),
            descriptor,
            files,
        })
    }

    pub(super) fn switch_package(&self, package: &str, enabled: bool) -> Result<(), PlatformError> {
        let id = self.found(package)?.id.clone();
        let changed = self.packages.enable(&id, enabled);
        changed.map(drop).map_err(|problem| failed(&problem))
    }

    pub(super) async fn delete_package(&self, package: &str) -> Result<(), PlatformError> {
        let id = self.found(package)?.id.clone();
        let deleted = self.packages.delete(&id).await;
        deleted.map_err(|problem| {
            failed(&problem).with_hint(format!("`package disable {package}` first"))
        })
    }

    pub(super) fn signer_views(&self) -> Result<Vec<SignerView>, PlatformError> {
        let signers = self
            .packages
            .signers()
            .map_err(|problem| failed(&problem))?;
        Ok(signers.into_iter().map(signer_view).collect())
    }

    pub(super) async fn add_signer(
        &self,
        name: &str,
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<SignerView, PlatformError> {
        let mut pem = String::new();
        // One byte more than is taken shows that there is more.
        let bound = u64::try_from(CERTIFICATE_MAX).unwrap_or(u64::MAX);
        let mut input = input.take(bound.saturating_add(1));
        input.read_to_string(&mut pem).await.map_err(|_| {
            PlatformError::new(ErrorKind::Invalid, "this is no certificate in PEM")
                .with_hint("`edgectl package keygen` makes one")
        })?;
        let added = self.packages.add_signer(name, &pem);
        added.map(signer_view).map_err(|problem| failed(&problem))
    }

    pub(super) fn drop_signer(&self, name: &str) -> Result<(), PlatformError> {
        self.packages.remove_signer(name).map_err(|problem| {
            failed(&problem).with_hint("`package trust ls` lists the trusted signers")
        })
    }
}

/// An announcement that is taken back when whoever made it goes.
struct Withdrawn {
    door: Door,
    id: Option<PackageId>,
}

impl Withdrawn {
    fn keep(mut self) {
        self.id = None;
    }

    /// Now, and not some time after.
    async fn withdraw(mut self) {
        if let Some(id) = self.id.take() {
            take_back(&self.door, &id).await;
        }
    }
}

impl Drop for Withdrawn {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let door = self.door.clone();
        tokio::spawn(async move { take_back(&door, &id).await });
    }
}

async fn take_back(door: &Door, id: &PackageId) {
    // One that is being checked stays: it was whole, and its check goes on.
    if let Err(problem) = door.packages.delete(id).await {
        tracing::info!(package = %id, reason = problem.detail(), "an announcement stays");
    }
}

fn signer_view(signer: TrustedSigner) -> SignerView {
    SignerView {
        name: signer.name,
        fingerprints: signer.fingerprints,
    }
}

fn ending() -> PlatformError {
    PlatformError::new(
        ErrorKind::Unavailable,
        "edged is ending; try again in a moment",
    )
}
