//! The packages of the node: one owner for the REST interface, the console and life-cycle management.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edged_model::{ImageReference, InstanceId};
use edged_package::AppDescriptor;
use edged_store::Store;
use mec_api::Problem;
use tokio::sync::Semaphore;

use super::record::{PackageId, Stage, StoredPackage};

/// Packages at once: far more than a box of 1 GiB runs, and a list of them stays below a mebibyte.
pub const PACKAGES: usize = 256;
/// Packages whose content comes at once: each may take 2 GiB of the disk before anything of it is known.
pub const ARRIVALS: usize = 4;
/// Seconds after which somebody who announces too many may try again: packages go by hand.
const COME_BACK_S: u32 = 60;

/// An on-boarded package as life-cycle management needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct OnboardedPackage {
    /// `appPkgId`.
    pub id: PackageId,
    /// Its descriptor.
    pub appd: AppDescriptor,
    /// Its image, in the content store.
    pub image: ImageReference,
    /// Whether new instances may be made of it.
    pub enabled: bool,
}

impl OnboardedPackage {
    fn of(package: &StoredPackage) -> Option<Self> {
        let content = package.onboarded().ok()?;
        Some(Self {
            id: package.id.clone(),
            appd: content.descriptor.clone(),
            image: package.image.as_ref()?.reference.clone(),
            enabled: package.enabled,
        })
    }
}

#[derive(Debug, Default)]
struct Known {
    packages: BTreeMap<PackageId, Arc<StoredPackage>>,
    /// Which instances use which package.
    users: BTreeMap<PackageId, BTreeSet<InstanceId>>,
}

/// The packages of the node. What is here is durable; who uses them is told anew after a restart.
#[derive(Debug)]
pub struct Packages {
    known: Mutex<Known>,
    /// Packages are checked one after the other: each needs the disk and memory of its image.
    pub(super) turn: Semaphore,
    pub(super) arriving: Arc<Semaphore>,
}

impl Default for Packages {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turn: Semaphore::new(1),
            arriving: Arc::new(Semaphore::new(ARRIVALS)),
        }
    }
}

impl Packages {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The on-boarded package with this descriptor.
    pub fn by_appd(&self, appd_id: &str) -> Option<OnboardedPackage> {
        self.known()
            .by_appd(appd_id)
            .and_then(|found| OnboardedPackage::of(found))
    }

    /// The on-boarded package with this id.
    pub fn by_id(&self, id: &str) -> Option<OnboardedPackage> {
        let known = self.known();
        known
            .packages
            .get(id)
            .and_then(|found| OnboardedPackage::of(found))
    }

    /// Says that an instance is made of the package with this descriptor, which then is in use and stays until
    /// [`release`](Self::release). Checked and said in one step: a package that is being disabled or deleted at this
    /// moment is either used or gone.
    ///
    /// # Errors
    /// 404 where there is no such package, 409 where it is disabled.
    pub fn hold(&self, appd_id: &str, instance: &InstanceId) -> Result<OnboardedPackage, Problem> {
        let mut known = self.known();
        let found = known
            .by_appd(appd_id)
            .and_then(|found| OnboardedPackage::of(found));
        let found = found.ok_or_else(|| {
            Problem::not_found(format!(
                "there is no on-boarded package with descriptor {appd_id:?}"
            ))
        })?;
        if !found.enabled {
            return Err(Problem::conflict(format!(
                "the package of descriptor {appd_id} is disabled; enable it first"
            )));
        }
        known.hold(&found.id, instance);
        Ok(found)
    }

    /// Says again, after a restart, that an instance is made of a package; whether there still is one.
    pub fn resume(&self, appd_id: &str, instance: &InstanceId) -> bool {
        let mut known = self.known();
        let id = known.by_appd(appd_id).map(|found| found.id.clone());
        id.is_some_and(|id| {
            known.hold(&id, instance);
            true
        })
    }

    /// Says that an instance is gone.
    pub fn release(&self, instance: &InstanceId) {
        self.known().users.retain(|_, users| {
            users.remove(instance);
            !users.is_empty()
        });
    }

    /// Whether instances made of the package with this descriptor exist (`usageState`).
    pub fn in_use(&self, appd_id: &str) -> bool {
        let known = self.known();
        known
            .by_appd(appd_id)
            .is_some_and(|found| known.is_used(&found.id))
    }

    /// The package that keeps an image, so that nobody removes it under it.
    pub fn user_of_image(&self, reference: &ImageReference) -> Option<Arc<StoredPackage>> {
        let known = self.known();
        let mut packages = known.packages.values();
        packages
            .find(|package| {
                let image = package.image.as_ref();
                image.is_some_and(|image| image.reference == *reference)
            })
            .cloned()
    }

    /// Every package that is not on its way out, oldest first.
    pub fn all(&self) -> Vec<Arc<StoredPackage>> {
        let known = self.known();
        let there = known.packages.values();
        let mut all: Vec<_> = there
            .filter(|package| package.stage != Stage::Deleting)
            .cloned()
            .collect();
        all.sort_by_key(|package| package.created);
        all
    }

    /// A package by its id or, on-boarded, by its descriptor's.
    pub(super) fn find(&self, id: &str) -> Option<Arc<StoredPackage>> {
        let known = self.known();
        let found = known.packages.get(id).or_else(|| known.by_appd(id));
        found
            .filter(|found| found.stage != Stage::Deleting)
            .cloned()
    }

    /// A package by its id, on its way out too.
    pub(super) fn at(&self, id: &PackageId) -> Option<Arc<StoredPackage>> {
        self.known().packages.get(id).cloned()
    }

    /// Whether another package has this image too.
    pub(super) fn share_image(&self, id: &PackageId, reference: &ImageReference) -> bool {
        let known = self.known();
        let mut others = known.packages.values().filter(|other| other.id != *id);
        others.any(|other| {
            let image = other.image.as_ref();
            image.is_some_and(|image| image.reference == *reference)
        })
    }

    pub(super) fn is_used(&self, id: &PackageId) -> bool {
        self.known().is_used(id)
    }

    /// Takes what the store has.
    pub(super) fn fill(&self, packages: Vec<StoredPackage>) {
        let packages = packages
            .into_iter()
            .map(|package| (package.id.clone(), Arc::new(package)));
        self.known().packages.extend(packages);
    }

    /// Adds a package, where its name and version are free.
    pub(super) fn add(
        &self,
        store: &Store,
        package: StoredPackage,
    ) -> Result<Arc<StoredPackage>, Problem> {
        let mut known = self.known();
        let mut packages = known.packages.values();
        if packages.any(|other| other.name == package.name && other.version == package.version) {
            return Err(Problem::conflict(format!(
                "package {} {} exists; delete it first, or choose another version",
                package.name, package.version
            )));
        }
        if known.packages.len() >= PACKAGES {
            return Err(Problem::too_many_requests(
                format!("the node has {PACKAGES} packages; delete one first"),
                COME_BACK_S,
            ));
        }
        known.put(store, package)
    }

    /// Changes a package: `change` sees it as it is now and gives what it is to be.
    pub(super) fn change(
        &self,
        store: &Store,
        id: &PackageId,
        change: impl FnOnce(&StoredPackage, bool) -> Result<StoredPackage, Problem>,
    ) -> Result<Arc<StoredPackage>, Problem> {
        let mut known = self.known();
        let used = known.is_used(id);
        let now = known.packages.get(id).ok_or_else(|| unknown(id.as_str()))?;
        let new = change(now, used)?;
        // Two packages with one descriptor: whoever is first has it.
        if let Some(appd_id) = new.appd_id()
            && let Some(other) = known.by_appd(appd_id).filter(|other| other.id != new.id)
        {
            return Err(Problem::conflict(format!(
                "descriptor {appd_id} is on-boarded by package {}",
                other.id
            )));
        }
        known.put(store, new)
    }

    pub(super) fn forget(&self, store: &Store, id: &PackageId) -> Result<(), Problem> {
        let mut known = self.known();
        store
            .remove_record::<StoredPackage>(id.as_str())
            .map_err(|error| not_kept(&error))?;
        known.packages.remove(id);
        Ok(())
    }
}

impl Known {
    fn by_appd(&self, appd_id: &str) -> Option<&Arc<StoredPackage>> {
        let mut packages = self.packages.values();
        packages
            .find(|package| package.stage == Stage::Onboarded && package.appd_id() == Some(appd_id))
    }

    fn is_used(&self, id: &PackageId) -> bool {
        self.users.contains_key(id)
    }

    fn hold(&mut self, id: &PackageId, instance: &InstanceId) {
        let users = self.users.entry(id.clone()).or_default();
        users.insert(instance.clone());
    }

    fn put(
        &mut self,
        store: &Store,
        package: StoredPackage,
    ) -> Result<Arc<StoredPackage>, Problem> {
        store
            .put_record(&package)
            .map_err(|error| not_kept(&error))?;
        let package = Arc::new(package);
        self.packages
            .insert(package.id.clone(), Arc::clone(&package));
        Ok(package)
    }
}

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no package {id:?}"))
}

pub(super) fn not_kept(error: &edged_store::StoreError) -> Problem {
    tracing::error!(%error, "a package was not kept");
    Problem::unavailable("the node's state cannot be written; try again later")
}
