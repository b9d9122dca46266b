//! Signed archives: boxes take no others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use edged_model::Digest;
use edged_signature::{Payload, Signer, digest_of, tag};
use serde_json::{Value, json};

use super::{Image, umoci};
use crate::process;

/// The annotation that names an image in a layout (image specification, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Who signed an archive of [`Image::signed_archive`]: the public key, for `trust keys add`.
pub fn maker(archive: &Path) -> PathBuf {
    archive.with_extension("pub")
}

impl Image {
    /// Writes it into an archive that is an OCI layout, under a name and signed as cosign signs, by a key of its own;
    /// [`maker`] says where the public half is.
    pub fn signed_archive(&self, to: &Path, name: &str) -> anyhow::Result<()> {
        umoci(&["gc", "--layout", &self.layout.to_string_lossy()])?;
        let mut entry = self.entry()?;
        let digest = entry.get("digest").cloned().unwrap_or_default();
        let digest: Digest = serde_json::from_value(digest)?;
        annotate(&mut entry, name);
        let folder = to.with_extension("layout");
        let mut copy = Command::new("cp");
        copy.args(["--recursive", "--no-target-directory"]);
        process::output(copy.args([&self.layout, &folder]))?;
        let signer = Signer::generate()?;
        let [payload, config, manifest] =
            signer.documents(&Payload::new(name, &digest, BTreeMap::new()))?;
        let mut signature = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest_of(&manifest), "size": manifest.len(),
        });
        annotate(&mut signature, &tag(&digest));
        let blobs = folder.join("blobs/sha256");
        for document in [payload, config, manifest] {
            write(&blobs.join(digest_of(&document).hex()), &document)?;
        }
        let index = json!({"schemaVersion": 2, "manifests": [entry, signature]});
        write(&folder.join("index.json"), index.to_string().as_bytes())?;
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(to);
        tar.arg("--directory").arg(&folder);
        process::output(tar.args(["oci-layout", "index.json", "blobs"]))?;
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
        write(&maker(to), signer.public().as_bytes())
    }

    /// The layout's only image.
    fn entry(&self) -> anyhow::Result<Value> {
        let path = self.layout.join("index.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; make the image anew", path.display()))?;
        let index: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON; make the image anew", path.display()))?;
        let entry = index.pointer("/manifests/0").cloned();
        entry.with_context(|| format!("{} lists no image; make it anew", path.display()))
    }
}

fn annotate(entry: &mut Value, name: &str) {
    if let Some(members) = entry.as_object_mut() {
        members.insert("annotations".to_owned(), json!({REF_NAME: name}));
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
