//! Which images are taken, and which application's would not be taken again.

use std::collections::BTreeSet;

use edged_console::{Finding, FindingState, PlatformError};
use edged_image::{ContentStore, Origin};
use edged_model::{AppName, ImageReference};

use crate::snapshot::Snapshot;

/// Names that are written out; whoever has more asks `ps`.
const NAMED: usize = 8;

/// The finding about images; `unvouched` are those of packages whose signer is trusted no more.
pub(super) async fn image_finding(
    images: &ContentStore,
    now: &Snapshot,
    unvouched: BTreeSet<ImageReference>,
) -> Result<Finding, PlatformError> {
    let pinned: Vec<_> = now
        .instances
        .values()
        .map(|status| {
            let instance = &status.instance;
            let image = instance.spec.image.clone();
            (
                instance.spec.name.clone(),
                image,
                instance.image.manifest.clone(),
            )
        })
        .collect();
    let store = images.clone();
    let judging = tokio::task::spawn_blocking(move || {
        let refused = pinned.into_iter().filter(|(_, image, manifest)| {
            let is_package = store.origin(image) == Some(Origin::Package);
            (is_package && unvouched.contains(image)) || store.objection(image, manifest).is_some()
        });
        refused.map(|(name, ..)| name).collect::<Vec<_>>()
    });
    let refused = judging.await.map_err(|error| super::failed(&error))?;
    Ok(told(images, &refused))
}

fn told(images: &ContentStore, refused: &[AppName]) -> Finding {
    const WHAT: &str = "signed images";
    let (policy, is_given) = images.trust().policy();
    let which = if is_given {
        "the policy that was set"
    } else {
        "the policy that this machine came with, as none was set,"
    };
    if policy.is_open() {
        let means = format!("every image is taken, whoever made it: {which} asks for no signature");
        return Finding::new(WHAT, FindingState::Off, means).todo(
            "add the key of whoever signs them with `trust keys add`, then `trust policy set`",
        );
    }
    let keys = match images.trust().keys().len() {
        0 => "no key is trusted".to_owned(),
        1 => "1 key is trusted".to_owned(),
        count => format!("{count} keys are trusted"),
    };
    let holds = format!("{which} judges each new instance; {keys}");
    if refused.is_empty() {
        let finding = Finding::new(WHAT, FindingState::Ok, holds);
        return if images.trust().keys().is_empty() {
            finding
                .todo("add the key of whoever signs images with `trust keys add NAME < cosign.pub`")
        } else {
            finding
        };
    }
    let mut names: Vec<&str> = refused.iter().map(AppName::as_str).take(NAMED).collect();
    if refused.len() > NAMED {
        names.push("others");
    }
    let means = format!(
        "{holds}; {} of the applications here would not be made anew: {}",
        refused.len(),
        names.join(", ")
    );
    Finding::new(WHAT, FindingState::Warning, means).todo(
        "they run on; pull or load their images again, signed by a trusted key, or remove them with `rm -f`",
    )
}
