//! A good package in its parts, to be spoilt and packed again.

use edged_package::SigningIdentity;
use ring::digest;

use super::zip::{Entry, stored, zip};
use super::{IMAGE, MANIFEST, META, YAML};

pub fn hex(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> String {
    digest::digest(algorithm, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[derive(Clone)]
pub struct Draft {
    pub meta: String,
    pub yaml: String,
    pub image: Vec<u8>,
    pub metadata: String,
    pub more: Vec<(String, Vec<u8>)>,
    /// Behind the groups of digests.
    pub tail: String,
}

impl Draft {
    pub fn good() -> Self {
        let identity = super::identity("draft");
        let mut out = std::io::Cursor::new(Vec::new());
        let built = edged_package::PackageBuilder::from_toml("package.toml", super::TOML)
            .unwrap()
            .build(
                edged_package::Image::Archive(super::file(&super::image())),
                &identity,
                &mut out,
            )
            .unwrap();
        Self {
            meta: format!(
                "TOSCA-Meta-File-Version: 1.0\nCSAR-Version: 1.1\nCreated-By: me\nEntry-Definitions: {YAML}\n\
                 ETSI-Entry-Manifest: {MANIFEST}\n"
            ),
            yaml: built.definitions,
            image: super::image(),
            metadata: "metadata:\n  vnfd_id: sensor-page-1.0.0\n  vnf_provider_id: Example Works\n  \
                       vnf_product_name: sensor-page\n  vnf_release_date_time: 2026-01-31T12:00:00Z\n  \
                       vnf_software_version: 1.0.0\n  vnf_package_version: 1.0.0\n  \
                       compatible_specification_versions: 2.7.1\n  mec_versions: 3.1.1\n"
                .to_owned(),
            more: Vec::new(),
            tail: String::new(),
        }
    }

    /// With a piece of the descriptor replaced.
    pub fn yaml(mut self, from: &str, to: &str) -> Self {
        assert!(
            self.yaml.contains(from),
            "{from:?} is not in\n{}",
            self.yaml
        );
        self.yaml = self.yaml.replacen(from, to, 1);
        self
    }

    pub fn meta(mut self, from: &str, to: &str) -> Self {
        assert!(self.meta.contains(from), "{from:?}");
        self.meta = self.meta.replacen(from, to, 1);
        self
    }

    pub fn metadata(mut self, from: &str, to: &str) -> Self {
        assert!(self.metadata.contains(from), "{from:?}");
        self.metadata = self.metadata.replacen(from, to, 1);
        self
    }

    pub fn with(mut self, name: &str, data: &[u8]) -> Self {
        self.more.push((name.to_owned(), data.to_vec()));
        self
    }

    pub fn tail(mut self, text: &str) -> Self {
        self.tail.push_str(text);
        self
    }

    /// Everything but the manifest.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![
            (META.to_owned(), self.meta.clone().into_bytes()),
            (YAML.to_owned(), self.yaml.clone().into_bytes()),
            (IMAGE.to_owned(), self.image.clone()),
        ];
        files.extend(self.more.clone());
        files
    }

    /// The manifest without a signature.
    pub fn manifest(&self) -> String {
        let mut text = self.metadata.clone();
        for (name, data) in self.files() {
            let hash = hex(&digest::SHA256, &data);
            text.push_str(&format!(
                "\nSource: {name}\nAlgorithm: SHA-256\nHash: {hash}\n"
            ));
        }
        text.push_str(&self.tail);
        text
    }

    pub fn entries(&self, manifest: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .files()
            .iter()
            .map(|(name, data)| stored(name, data))
            .collect();
        entries.insert(1, stored(MANIFEST, manifest.as_bytes()));
        entries
    }

    pub fn signed_entries(&self, identity: &SigningIdentity) -> Vec<Entry> {
        self.entries(&sign(&self.manifest(), identity))
    }

    pub fn pack(&self, identity: &SigningIdentity) -> Vec<u8> {
        zip(&self.signed_entries(identity))
    }
}

/// A manifest with its signature behind it.
pub fn sign(manifest: &str, identity: &SigningIdentity) -> String {
    let der = identity.sign(manifest.as_bytes()).unwrap();
    format!("{manifest}{}", pem("CMS", &der))
}

pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
