//! On-boarding: a package that came is opened, judged, and its image brought in; then it is there, or nothing of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use edged_model::{AppName, ImageReference, PACKAGE_REGISTRY};
use edged_package::{
    AppDescriptor, Hash, ImageSource, Limits, Package, PackageError, Trust, VerifiedReader,
};
use mec_api::Problem;
use mec_api::package_management::NotificationType;

use super::arrival::Arrived;
use super::folder::{Folder, disk};
use super::record::{Content, OwnImage, PackageId, Stage};
use super::{PackageManagement, rules};
use crate::Platform;

/// What a refused package's problem is called.
const REFUSED: &str = "The package is refused";
/// Longest pull of a package's image, 8 GiB over 10 Mbit/s: one that drips must not hold up every other package.
const PULL_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Characters of an application's name in the name of its image.
const NAME_MAX: usize = 64;

/// A package that was opened and verified.
struct Examined {
    content: Content,
    source: ImageSource,
}

impl<P: Platform> PackageManagement<P> {
    /// Checks what came; the package tells the result.
    pub(super) async fn onboard(self, arrived: Arrived) {
        let id = arrived.id.clone();
        // Never closed.
        let _turn = self.mec().packages.turn.acquire().await;
        match self.try_onboard(arrived).await {
            Ok(()) => {
                if let Some(package) = self.mec().packages.at(&id) {
                    self.tell(&package, NotificationType::AppPackageOnBoarded);
                }
            }
            Err(problem) => {
                tracing::info!(package = %id, reason = problem.detail(), "a package is refused");
                self.forget_image(&id).await;
                self.refuse(&id, &problem);
            }
        }
    }

    async fn try_onboard(&self, arrived: Arrived) -> Result<(), Problem> {
        let id = &arrived.id;
        self.compare(&arrived)?;
        let examined = self.examine(id).await?;
        let Examined { content, source } = examined;
        self.judge(&content)?;
        let reference = match &source {
            ImageSource::Inside(_) => own_name(&content.descriptor, id)?,
            ImageSource::Registry(reference, digest) => reference.with_digest(digest.clone()),
        };
        let shared = self.mec().platform.has_image(&reference);
        let image = OwnImage { reference, shared };
        // Said before it comes, so that a restart knows what to take away.
        self.change(id, |package| package.image = Some(image.clone()))?;
        self.bring(id, &source, &image.reference).await?;
        let folder = self.folder();
        folder.settle(id).map_err(|error| disk(&error))?;
        self.change(id, |package| {
            package.stage = Stage::Onboarded;
            package.enabled = true;
            package.failure = None;
            package.size = arrived.size;
            package.checksum.get_or_insert(arrived.hash.clone());
            package.content = Some(content.clone());
        })
    }

    /// The content is what was announced.
    fn compare(&self, arrived: &Arrived) -> Result<(), Problem> {
        let package = self.find(arrived.id.as_str())?;
        match &package.checksum {
            Some(announced) if *announced != arrived.hash => Err(fault(
                "package",
                "/checksum",
                &format!(
                    "the content has {} {}, but {} was announced; send the file that was announced",
                    arrived.hash.algorithm, arrived.hash.hex, announced.hex
                ),
            )),
            _ => Ok(()),
        }
    }

    async fn examine(&self, id: &PackageId) -> Result<Examined, Problem> {
        let trust = super::signers::trust_of(&self.mec().facts)?;
        let (folder, id) = (self.folder(), id.clone());
        let examined = tokio::task::spawn_blocking(move || examine(&folder, &id, &trust));
        examined.await.map_err(|error| {
            tracing::error!(%error, "a package could not be examined");
            Problem::internal("the package could not be examined; send it again")
        })?
    }

    /// Whether the box can run it and keep what it asks for.
    fn judge(&self, content: &Content) -> Result<(), Problem> {
        let (descriptor, file) = (&content.descriptor, content.definitions.as_str());
        if let Some(other) = self.mec().packages.by_appd(&descriptor.app_d_id) {
            let text = format!(
                "descriptor {} is on-boarded by package {}; delete that one first",
                descriptor.app_d_id, other.id
            );
            return Err(Problem::conflict(format!("{file} at /appDId: {text}")).titled(REFUSED));
        }
        // Any name and image will do: what is asked is whether there can be such an application.
        let stand_in = "package".parse::<AppName>().ok();
        let image = format!("{PACKAGE_REGISTRY}/package:1").parse().ok();
        if let Some((name, image)) = stand_in.zip(image)
            && let Err(error) = descriptor.spec(name, image)
        {
            return Err(fault(file, "/osContainerDescriptor", &error.to_string()));
        }
        let rules =
            rules(descriptor).map_err(|rule| fault(file, &rule.field, rule.problem.detail()))?;
        for (at, rule) in rules.traffic.iter().enumerate() {
            self.mec().platform.feasible(rule).map_err(|problem| {
                if problem.status().is_server_error() {
                    return problem;
                }
                fault(file, &format!("/appTrafficRule/{at}"), problem.detail())
            })?;
        }
        Ok(())
    }

    async fn bring(
        &self,
        id: &PackageId,
        source: &ImageSource,
        reference: &ImageReference,
    ) -> Result<(), Problem> {
        let platform = &self.mec().platform;
        let brought = match source {
            ImageSource::Registry(..) => {
                let pulled = platform.pull_image(reference.clone());
                let pulled = tokio::time::timeout(PULL_TIME, pulled).await;
                pulled.unwrap_or_else(|_| {
                    Err(Problem::unprocessable(
                        "its image took longer than two hours; `pull` it, then send the package again",
                    ))
                })
            }
            ImageSource::Inside(_) => {
                let archive = self.folder().image(id);
                platform.load_image(archive, reference.clone()).await
            }
        };
        let file = match source {
            ImageSource::Inside(path) => path.clone(),
            ImageSource::Registry(reference, _) => reference.to_string(),
        };
        // It has served its purpose, whatever came of it.
        let _ = tokio::fs::remove_file(self.folder().image(id)).await;
        brought.map_err(|problem| {
            if problem.status().is_server_error() {
                return problem;
            }
            Problem::unprocessable(format!("{file}: {}", problem.detail())).titled(REFUSED)
        })
    }
}

/// Why a package is refused: its file, the field, and what to do.
fn fault(file: &str, field: &str, reason: &str) -> Problem {
    Problem::unprocessable(format!("{file} at {field}: {reason}")).titled(REFUSED)
}

fn of_package(error: &PackageError) -> Problem {
    if error.is_ours() {
        tracing::error!(%error, "a package cannot be read");
        return Problem::unavailable(error.to_string());
    }
    Problem::unprocessable(error.to_string()).titled(REFUSED)
}

/// Opens and verifies a package; leaves its image, its descriptor and its definitions in files of their own. Blocks.
fn examine(folder: &Folder, id: &PackageId, trust: &Trust) -> Result<Examined, Problem> {
    let part = File::open(folder.part(id)).map_err(|error| disk(&error))?;
    let package = Package::open(part, trust, &Limits::default(), SystemTime::now());
    let package = package.map_err(|error| of_package(&error))?;
    let image = copy(
        package.image_reader().map_err(|error| of_package(&error))?,
        &folder.image(id),
    )?;
    let definitions = package.definitions();
    copy(
        package
            .file(definitions)
            .map_err(|error| of_package(&error))?,
        &folder.descriptor(id),
    )?;
    let archive = File::create(folder.definitions(id)).map_err(|error| disk(&error))?;
    package
        .write_definitions(BufWriter::new(&archive))
        .map_err(|error| of_package(&error))?;
    archive.sync_all().map_err(|error| disk(&error))?;
    let inside = match package.image() {
        ImageSource::Inside(path) => Some(path.as_str()),
        ImageSource::Registry(..) => None,
    };
    let artifacts: BTreeMap<String, Hash> = package
        .files()
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != inside)
        .map(|(name, hash)| (name.clone(), hash.clone()))
        .collect();
    Ok(Examined {
        content: Content {
            descriptor: package.descriptor().clone(),
            definitions: definitions.to_owned(),
            signer: package.signer().map(|signer| signer.subject.clone()),
            certificate: package.signer().map(|signer| signer.certificate.clone()),
            chain: package.signer().map(|signer| signer.chain.clone()),
            image: package.image_digest().cloned().zip(image),
            artifacts,
        },
        source: package.image().clone(),
    })
}

/// Copies a file of a package, verified while it is read; its size.
fn copy(reader: Option<VerifiedReader>, path: &Path) -> Result<Option<u64>, Problem> {
    let Some(mut reader) = reader else {
        return Ok(None);
    };
    let copied = || {
        let mut file = BufWriter::new(File::create(path)?);
        let size = io::copy(&mut reader, &mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok::<_, io::Error>(size)
    };
    let size = { copied }().map_err(|error| {
        let _ = fs::remove_file(path);
        disk(&error)
    })?;
    reader.finish().map_err(|error| of_package(&error))?;
    Ok(Some(size))
}

/// The name of an image that came inside a package: nobody else has it, and nobody can take its place.
fn own_name(descriptor: &AppDescriptor, id: &PackageId) -> Result<ImageReference, Problem> {
    let name: String = descriptor
        .app_name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(NAME_MAX)
        .collect();
    let name = if name.is_empty() {
        "application".to_owned()
    } else {
        name.to_ascii_lowercase()
    };
    let text = format!("{PACKAGE_REGISTRY}/{name}:{id}");
    text.parse().map_err(|error| {
        tracing::error!(%error, text, "an image cannot be named");
        Problem::internal("the package's image cannot be named; change the application's name")
    })
}
