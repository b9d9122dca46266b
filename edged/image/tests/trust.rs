//! Images are taken by signature: what is signed right, and every way of being signed wrong.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic,
    reason = "a test may fail loudly"
)]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use edged_image::{ContentStore, ImageError, ImageTrust, PullEvent, load};
use edged_model::ImageReference;
use edged_signature::{Payload, Policy, Requirement, Rule, Signatures, Signer, Validity, tag};
use fixture::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const LONG_AGO: u64 = 946_684_800;

fn quiet(_: PullEvent) {}

/// Serves each path of [`scene`] at `registry/team/web`; `ROOT` stands for the registry's address in rules.
struct Scene {
    site: Site,
    /// The rule for the registry.
    needs: Requirement,
    /// Other keys and their times, beside "team".
    keys: Vec<(&'static str, String, Validity)>,
    team: Validity,
    default: Requirement,
    prefix: &'static str,
}

fn needs(identity: bool, release: bool) -> Requirement {
    Requirement::Signature(Signatures {
        keys: vec!["team".to_owned()],
        identity,
        release: release.then(|| "release".to_owned()),
    })
}

/// Whom the tests trust.
struct Team {
    signer: Signer,
    image: Parts,
}

impl Team {
    fn new() -> Self {
        Self {
            signer: Signer::generate().unwrap(),
            image: Parts::new(),
        }
    }

    fn manifest(&self) -> Vec<u8> {
        self.image.manifest.to_string().into_bytes()
    }

    fn payload(&self, release: u64) -> Payload {
        let more = BTreeMap::from([("release".to_owned(), release.to_string())]);
        Payload::new("ROOT/team/web", &digest(&self.manifest()), more)
    }

    fn scene(&self) -> Scene {
        Scene {
            site: self.image.site(),
            needs: needs(false, false),
            keys: Vec::new(),
            team: Validity::default(),
            default: Requirement::Deny,
            prefix: "ROOT",
        }
    }
}

impl Scene {
    /// Lays a signature beside the image of that digest.
    fn sign(mut self, over: &[u8], signer: &Signer, payload: &Payload) -> Self {
        let documents = signer.documents(payload).unwrap();
        self.lay(over, documents);
        self
    }

    fn lay(&mut self, over: &[u8], [payload, config, manifest]: [Vec<u8>; 3]) {
        for blob in [payload, config] {
            self.site
                .insert(format!("blobs/{}", digest(&blob)), Reply::ok(blob));
        }
        let path = format!("manifests/{}", tag(&digest(over)));
        self.site.insert(path, Reply::typed(MANIFEST, manifest));
    }

    /// A signature whose payload or manifest is bent by hand; the payload is signed before or after.
    fn bent(
        mut self,
        over: &[u8],
        signer: &Signer,
        payload: &str,
        bend: impl FnOnce(&mut Value, &mut Vec<u8>),
    ) -> Self {
        let mut payload = payload.as_bytes().to_vec();
        let signature = signer.sign(&payload).unwrap();
        let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}").as_str(), "size": 2},
            "layers": [{"mediaType": edged_signature::LAYER, "digest": digest(&payload).as_str(), "size": payload.len(),
                "annotations": {"dev.cosignproject.cosign/signature": signature}}]});
        bend(&mut manifest, &mut payload);
        let named = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        self.site
            .insert(format!("blobs/{named}"), Reply::ok(payload));
        let path = format!("manifests/{}", tag(&digest(over)));
        self.site.insert(
            path,
            Reply::typed(MANIFEST, manifest.to_string().into_bytes()),
        );
        self
    }

    /// A store under this scene's policy.
    fn store(&self, team: &Team, root: &str) -> (TempDir, ContentStore) {
        let folder = TempDir::new().unwrap();
        let trust = ImageTrust::open(&folder.path().join("policy.json"), Policy::signed()).unwrap();
        let name = "team".parse().unwrap();
        trust
            .add_key(name, &team.signer.public(), self.team)
            .unwrap();
        for (name, pem, validity) in &self.keys {
            trust
                .add_key(name.parse().unwrap(), pem, *validity)
                .unwrap();
        }
        let prefix = self.prefix.replace("ROOT", root);
        let needs = self.needs.clone();
        trust
            .set_policy(Policy {
                default: self.default.clone(),
                local: Requirement::Deny,
                rules: vec![Rule { prefix, needs }],
            })
            .unwrap();
        let store = ContentStore::guarded(&folder.path().join("images"), trust).unwrap();
        (folder, store)
    }
}

/// Pulls `team/web:1`; the sentence, or none where it was taken, and that nothing was kept of what was refused.
async fn pulled(team: &Team, scene: Scene) -> Option<String> {
    let server = Server::site(scene.site.clone()).await;
    let root = server.address.to_string();
    let (_folder, store) = scene.store(team, &root);
    let reference = server.reference("team/web:1");
    match puller(&store, &root).pull(&reference, &quiet).await {
        Ok(_) => None,
        Err(error) => {
            assert!(matches!(error, ImageError::Refused { .. }), "{error}");
            assert_eq!(blobs(&store), [""; 0], "{error}");
            assert!(store.resolve(&reference).is_none(), "{error}");
            Some(error.to_string().replace(&root, "ROOT"))
        }
    }
}

fn typical(digest: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"ROOT/team/web"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}

#[tokio::test]
async fn an_image_is_taken_whose_manifest_or_index_is_signed() {
    let team = Team::new();
    let scene = team
        .scene()
        .sign(&team.manifest(), &team.signer, &team.payload(1));
    assert_eq!(pulled(&team, scene).await, None);

    // Signed as cosign does it: over the index, for the platforms of all.
    let manifest = team.manifest();
    let host = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": digest(&manifest).as_str(), "size": manifest.len(),
         "platform": {"architecture": host, "os": "linux"}}]})
    .to_string()
    .into_bytes();
    let payload = Payload::new("ROOT/team/web", &digest(&index), BTreeMap::new());
    let mut scene = team.scene().sign(&index, &team.signer, &payload);
    scene
        .site
        .insert("manifests/1".to_owned(), Reply::typed(INDEX, index.clone()));
    let server = Server::site(scene.site.clone()).await;
    let (_folder, store) = scene.store(&team, &server.address.to_string());
    let reference = server.reference("team/web:1");
    let image = puller(&store, &server.address.to_string())
        .pull(&reference, &quiet)
        .await
        .unwrap();
    assert_eq!(image.manifest, digest(&manifest));
    let voucher = store.voucher(&reference).unwrap();
    assert_eq!(
        (voucher.key.as_str(), voucher.digest),
        ("team", digest(&index))
    );
}

#[tokio::test]
async fn every_attack_on_image_trust_is_refused_for_its_own_reason() {
    let team = Team::new();
    let (manifest, mallory) = (team.manifest(), Signer::generate().unwrap());
    let good = digest(&manifest).to_string();
    let other = digest(b"another image");
    let signed = |release| {
        team.scene()
            .sign(&manifest, &team.signer, &team.payload(release))
    };
    let bent = |payload: &str, bend: fn(&mut Value, &mut Vec<u8>)| {
        team.scene().bent(&manifest, &team.signer, payload, bend)
    };
    let mut attacks: Vec<(&str, Scene, &str)> = vec![
        ("unsigned", team.scene(), "nobody signed it"),
        (
            "a key of nobody",
            team.scene().sign(&manifest, &mallory, &team.payload(1)),
            "none of the keys team made its signature",
        ),
        (
            "the key of another team",
            Scene {
                keys: vec![("lab", mallory.public(), Validity::default())],
                ..team.scene().sign(&manifest, &mallory, &team.payload(1))
            },
            "it is signed by lab, whose images the policy does not take from here",
        ),
        (
            "another image's signature",
            team.scene().sign(
                &manifest,
                &team.signer,
                &Payload::new("ROOT/team/web", &other, BTreeMap::new()),
            ),
            "its signature is of the image sha256:",
        ),
        (
            "an expired key",
            Scene {
                team: Validity {
                    from: None,
                    until: Some(LONG_AGO),
                },
                ..signed(1)
            },
            "whose key has expired",
        ),
        (
            "a key of next century",
            Scene {
                team: Validity {
                    from: Some(LONG_AGO * 10),
                    until: None,
                },
                ..signed(1)
            },
            "whose key is not valid yet",
        ),
        (
            "a stripped annotation",
            bent(&typical(&good), |manifest, _| {
                manifest["layers"][0]["annotations"] = json!({});
            }),
            "its signature was taken off",
        ),
        (
            "one character of the signature",
            bent(&typical(&good), |manifest, _| {
                let signature =
                    &mut manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"];
                // 'M' becomes no character of base64 (the first of DER is always 'M').
                *signature = json!(format!("~{}", &signature.as_str().unwrap()[1..]));
            }),
            "its signature is damaged",
        ),
        (
            "one bit of the payload",
            bent(&typical(&good), |_, payload| payload[200] ^= 1),
            "was asked for and the content has digest",
        ),
        (
            "a payload that was changed and described anew",
            bent(&typical(other.as_str()), |manifest, payload| {
                let text = String::from_utf8(payload.clone()).unwrap();
                *payload = text.replace("team/web", "team/wxb").into_bytes();
                manifest["layers"][0]["digest"] = json!(digest(payload).as_str());
            }),
            "none of the keys team made its signature, or the payload was changed after",
        ),
        (
            "a payload of another length than described",
            bent(&typical(&good), |manifest, _| {
                let size = manifest["layers"][0]["size"].as_u64().unwrap();
                manifest["layers"][0]["size"] = json!(size + 1);
            }),
            "is described with",
        ),
        (
            "a payload without an end",
            bent(&typical(&good), |manifest, _| {
                manifest["layers"][0]["size"] = json!(1_u64 << 40)
            }),
            "a payload of its signatures has 1099511627776 bytes",
        ),
        (
            "a replayed old release",
            Scene {
                needs: needs(false, true),
                ..signed(6)
            },
            "it is release 6 and 7 was taken before",
        ),
        (
            "no release where one is wanted",
            Scene {
                needs: needs(false, true),
                ..bent(&typical(&good), |_, _| {})
            },
            "has no number of a release named \"release\"",
        ),
        (
            "a signature for another repository",
            Scene {
                needs: needs(true, false),
                ..bent(&typical(&good), |_, _| {})
            },
            "its signature is for the repository \"ROOT/team/web\"",
        ),
        (
            "a signature of something else",
            bent(
                &typical(&good).replace("container image", "tax return"),
                |_, _| {},
            ),
            "its signature is of a \"cosign tax return signature\" and not of an image",
        ),
        (
            "two digests in one payload",
            bent(
                &typical(&good).replace(
                    "\"docker-manifest-digest\"",
                    &format!("\"docker-manifest-digest\":\"{other}\",\"docker-manifest-digest\""),
                ),
                |_, _| {},
            ),
            "it has the member \"docker-manifest-digest\" twice",
        ),
        (
            "a member nobody knows",
            bent(
                &typical(&good).replace("\"type\"", "\"also\":1,\"type\""),
                |_, _| {},
            ),
            "the payload of its signature is not valid: unknown field `also`",
        ),
        (
            "a bundle of cosign 3",
            bent(&typical(&good), |manifest, _| {
                manifest["layers"][0]["mediaType"] =
                    json!("application/vnd.dev.sigstore.bundle.v0.3+json");
            }),
            "sign with `--new-bundle-format=false`",
        ),
        (
            "an image under the signature's tag",
            bent(&typical(&good), |manifest, _| {
                manifest["layers"][0]["mediaType"] =
                    json!("application/vnd.oci.image.layer.v1.tar");
            }),
            "holds no signature",
        ),
        (
            "more signatures than anybody reads",
            bent(&typical(&good), |manifest, _| {
                let layer = manifest["layers"][0].clone();
                manifest["layers"] = json!(vec![layer; 17]);
            }),
            "it has 17 signatures and at most 16 are looked at",
        ),
        (
            "a registry that no rule names",
            Scene {
                prefix: "ROOT/teams",
                ..signed(1)
            },
            "the policy takes nothing from ROOT/team/web",
        ),
    ];
    // The signed manifest is served as if it were the index that lists it, and the other way round.
    let mut swapped = signed(1);
    swapped.site.insert(
        "manifests/1".to_owned(),
        Reply::typed(INDEX, manifest.clone()),
    );
    attacks.push((
        "manifest for index",
        swapped,
        "but its content is an image manifest",
    ));
    let mut swapped = signed(1);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": good, "size": manifest.len()}]});
    let mut evil = Parts::new();
    evil.layers[0] = noise(77);
    evil.describe();
    let evil = evil.manifest.to_string().into_bytes();
    swapped.site.insert(
        "manifests/1".to_owned(),
        Reply::typed(INDEX, index.to_string().into_bytes()),
    );
    swapped
        .site
        .insert(format!("manifests/{good}"), Reply::typed(MANIFEST, evil));
    attacks.push((
        "another manifest below the index",
        swapped,
        "was asked for and the content has digest",
    ));

    let mut sentences = BTreeSet::new();
    for (attack, scene, sentence) in attacks {
        let refused = if attack == "a replayed old release" {
            replayed(&team, scene).await
        } else {
            pulled(&team, scene)
                .await
                .unwrap_or_else(|| panic!("{attack}: taken"))
        };
        assert!(refused.contains(sentence), "{attack}: {refused}");
        sentences.insert(sentence);
    }
    // What mathematics cannot tell apart, and what is the same lie in two places, share their words.
    assert!(sentences.len() >= 20, "{sentences:#?}");
}

/// Takes release 7, then is offered what the scene has.
async fn replayed(team: &Team, old: Scene) -> String {
    let mut newer = Team {
        signer: Signer::from_pkcs8(team.signer.pkcs8()).unwrap(),
        image: Parts::new(),
    };
    newer.image.layers[0] = noise(99);
    newer.image.describe();
    let new = newer
        .scene()
        .sign(&newer.manifest(), &newer.signer, &newer.payload(7));
    let moved = std::sync::Arc::new(AtomicBool::new(false));
    let (now, later, flag) = (new.site.clone(), old.site.clone(), moved.clone());
    let server = Server::start(move |request| {
        let site = if flag.load(Ordering::Relaxed) {
            &later
        } else {
            &now
        };
        let found = site
            .iter()
            .find(|(path, _)| request.path.ends_with(path.as_str()));
        found.map_or_else(|| Reply::status(404, "{}"), |(_, reply)| reply.clone())
    })
    .await;
    let root = server.address.to_string();
    let (_folder, store) = old.store(team, &root);
    let reference = server.reference("team/web:1");
    let taken = puller(&store, &root)
        .pull(&reference, &quiet)
        .await
        .unwrap();
    let before = blobs(&store);
    moved.store(true, Ordering::Relaxed);
    let error = puller(&store, &root)
        .pull(&reference, &quiet)
        .await
        .unwrap_err();
    assert_eq!(blobs(&store), before);
    assert_eq!(store.resolve(&reference), Some(taken.manifest));
    error.to_string()
}

#[tokio::test]
async fn a_tag_that_moves_after_the_verification_changes_nothing() {
    let team = Team::new();
    let scene = team
        .scene()
        .sign(&team.manifest(), &team.signer, &team.payload(1));
    let mut evil = Parts::new();
    evil.layers[0] = noise(77);
    evil.describe();
    let (site, evil) = (scene.site.clone(), evil.site());
    let asked = Mutex::new(false);
    let server = Server::start(move |request| {
        // As soon as the signature was asked for, the tag is another image's.
        let moved = std::mem::replace(&mut *asked.lock().unwrap(), request.path.ends_with(".sig"));
        *asked.lock().unwrap() |= moved;
        let sites = if moved {
            [&evil, &site]
        } else {
            [&site, &evil]
        };
        let found = sites
            .into_iter()
            .flatten()
            .find(|(path, _)| request.path.ends_with(path.as_str()));
        found.map_or_else(|| Reply::status(404, "{}"), |(_, reply)| reply.clone())
    })
    .await;
    let root = server.address.to_string();
    let (_folder, store) = scene.store(&team, &root);
    let reference = server.reference("team/web:1");
    let image = puller(&store, &root)
        .pull(&reference, &quiet)
        .await
        .unwrap();
    assert_eq!(image.manifest, digest(&team.manifest()));
    // Asked for again, the tag is judged again, and what was taken stays.
    let before = blobs(&store);
    let error = puller(&store, &root)
        .pull(&reference, &quiet)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nobody signed it"), "{error}");
    assert_eq!(
        (blobs(&store), store.resolve(&reference)),
        (before, Some(image.manifest))
    );
}

#[tokio::test]
async fn a_registry_that_nothing_is_taken_from_is_not_asked() {
    let team = Team::new();
    let scene = Scene {
        prefix: "elsewhere.example",
        ..team.scene()
    };
    let server = Server::site(scene.site.clone()).await;
    let root = server.address.to_string();
    let (_folder, store) = scene.store(&team, &root);
    let error = puller(&store, &root)
        .pull(&server.reference("team/web:1"), &quiet)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the policy takes nothing from"),
        "{error}"
    );
    assert_eq!(server.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_pinned_is_used_although_its_key_is_gone() {
    let team = Team::new();
    let scene = Scene {
        needs: Requirement::Allow,
        ..team.scene()
    };
    let server = Server::site(scene.site.clone()).await;
    let root = server.address.to_string();
    let (folder, store) = scene.store(&team, &root);
    let reference = server.reference("team/web:1");
    let image = puller(&store, &root)
        .pull(&reference, &quiet)
        .await
        .unwrap();
    store.trust().remove_key("team").unwrap();
    let closed = Policy {
        default: Requirement::Deny,
        local: Requirement::Deny,
        rules: Vec::new(),
    };
    store.trust().set_policy(closed).unwrap();
    let pinned = store.image_at(&reference, &image.manifest).await.unwrap();
    assert_eq!(pinned.manifest, image.manifest);
    // And the policy outlives the process.
    let again = ImageTrust::open(&folder.path().join("policy.json"), Policy::open()).unwrap();
    assert_eq!(
        (again.policy().0.default, again.keys().len()),
        (Requirement::Deny, 0)
    );
}

#[test]
fn a_damaged_policy_takes_nothing_until_an_operator_sets_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("policy.json");
    for text in [
        "",
        "{}",
        r#"{"version":2}"#,
        r#"{"version":1,"policy":"allow"}"#,
    ] {
        std::fs::write(&path, text).unwrap();
        let trust = ImageTrust::open(&path, Policy::open()).unwrap();
        assert_eq!(trust.policy().0, Policy::closed(), "{text}");
        // A key alone opens nothing, and neither does the next start; what was there is kept.
        let (name, key) = ("team".parse().unwrap(), Team::new().signer.public());
        trust.add_key(name, &key, Validity::default()).unwrap();
        let trust = ImageTrust::open(&path, Policy::open()).unwrap();
        assert_eq!(trust.policy().0, Policy::closed(), "{text}");
        assert_eq!(trust.keys().len(), 1, "{text}");
        let aside = std::fs::read_to_string(folder.path().join("policy.unread")).unwrap();
        assert_eq!(aside, text);
        trust.set_policy(Policy::signed()).unwrap();
        let again = ImageTrust::open(&path, Policy::open()).unwrap();
        assert_eq!(again.policy(), (Policy::signed(), true), "{text}");
    }
}

/// An OCI layout in a tar, with whatever signatures; the image is called `demo/web:1`.
fn archive(team: &Team, signatures: &[[Vec<u8>; 3]]) -> Vec<u8> {
    let manifest = team.manifest();
    let entry = |bytes: &[u8], name: &str| {
        json!({"mediaType": MANIFEST, "digest": digest(bytes).as_str(), "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": name}})
    };
    let mut entries = vec![entry(&manifest, "demo/web:1")];
    let config = team.image.config.to_string().into_bytes();
    let mut files = vec![manifest.clone(), config];
    files.extend(team.image.layers.iter().cloned());
    for documents in signatures {
        entries.push(entry(&documents[2], &tag(&digest(&manifest))));
        files.extend(documents.iter().cloned());
    }
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    let named: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|bytes| (format!("blobs/sha256/{}", digest(&bytes).hex()), bytes))
        .collect();
    let mut all = vec![("index.json", index.as_bytes())];
    all.extend(
        named
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    );
    tar_of(&all)
}

#[tokio::test]
async fn an_archive_is_taken_with_its_signature_and_not_without() {
    let team = Team::new();
    let folder = TempDir::new().unwrap();
    let trust = ImageTrust::open(&folder.path().join("policy.json"), Policy::signed()).unwrap();
    let store = ContentStore::guarded(&folder.path().join("images"), trust.clone()).unwrap();
    let signed = archive(&team, &[team.signer.documents(&team.payload(1)).unwrap()]);
    let error = load(&store, &signed[..], None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no key is trusted yet"), "{error}");
    trust
        .add_key(
            "team".parse().unwrap(),
            &team.signer.public(),
            Validity::default(),
        )
        .unwrap();
    let mallory = Signer::generate().unwrap();
    for (signatures, sentence) in [
        (vec![], "nobody signed it"),
        (
            vec![mallory.documents(&team.payload(1)).unwrap()],
            "none of the keys team made",
        ),
    ] {
        let error = load(&store, &archive(&team, &signatures)[..], None)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(sentence), "{error}");
        assert!(store.images().await.unwrap().is_empty());
    }
    // A stranger's signature beside the right one does no harm.
    let both = archive(
        &team,
        &[
            mallory.documents(&team.payload(1)).unwrap(),
            team.signer.documents(&team.payload(1)).unwrap(),
        ],
    );
    let images = load(&store, &both[..], None).await.unwrap();
    assert_eq!(store.voucher(&images[0].reference).unwrap().key, "team");
}

/// `openssl` has none of our code: its key and its signature are taken.
#[tokio::test]
async fn a_signature_by_openssl_is_taken() {
    let team = Team::new();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| run("openssl", arguments);
    openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        &path("key"),
    ]);
    let public = openssl(&["ec", "-in", &path("key"), "-pubout"]);
    let payload = typical(digest(&team.manifest()).as_str());
    std::fs::write(path("payload"), &payload).unwrap();
    openssl(&[
        "dgst",
        "-sha256",
        "-sign",
        &path("key"),
        "-out",
        &path("signature"),
        &path("payload"),
    ]);
    let signature = openssl(&["base64", "-A", "-in", &path("signature")]);
    let mut scene = team
        .scene()
        .bent(&team.manifest(), &team.signer, &payload, |manifest, _| {
            manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"] =
                json!(signature.trim());
        });
    scene.keys = vec![("openssl", public, Validity::default())];
    scene.needs = Requirement::Signature(Signatures {
        keys: vec!["openssl".to_owned()],
        identity: false,
        release: None,
    });
    assert_eq!(pulled(&team, scene).await, None);
}

/// By any key of the box, from anywhere.
fn by_any_key() -> Requirement {
    Requirement::Signature(Signatures {
        keys: vec!["*".to_owned()],
        identity: false,
        release: None,
    })
}

async fn refusal(store: &ContentStore, reference: &ImageReference) -> String {
    store.admitted(reference).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_here_is_judged_again_by_the_keys_and_the_policy_of_now() {
    let team = Team::new();
    let mallory = Signer::generate().unwrap();
    let add = |trust: &ImageTrust, name: &str, pem: &str| {
        let added = trust.add_key(name.parse().unwrap(), pem, Validity::default());
        added.unwrap();
    };
    let mut scene = team
        .scene()
        .sign(&team.manifest(), &team.signer, &team.payload(5));
    scene.needs = by_any_key();
    let server = Server::site(scene.site.clone()).await;
    let root = server.address.to_string();
    let (folder, store) = scene.store(&team, &root);
    let reference = server.reference("team/web:1");
    let image = puller(&store, &root).pull(&reference, &quiet).await;
    let manifest = image.unwrap().manifest;
    // From here on nobody can be asked.
    drop(server);
    let trust = store.trust().clone();
    assert_eq!(store.admitted(&reference).await.unwrap().manifest, manifest);
    assert_eq!(store.objection(&reference, &manifest), None);

    trust.remove_key("team").unwrap();
    let gone = "signed by team, a key that is trusted no more";
    assert!(refusal(&store, &reference).await.contains(gone));
    assert!(store.objection(&reference, &manifest).is_some());
    // A key of the same name is another key.
    add(&trust, "team", &mallory.public());
    assert!(refusal(&store, &reference).await.contains(gone));
    // And the same key of another name is the same.
    add(&trust, "crew", &team.signer.public());
    store.admitted(&reference).await.unwrap();

    let set = |default: Requirement| {
        let policy = Policy {
            default,
            local: Requirement::Deny,
            rules: Vec::new(),
        };
        trust.set_policy(policy).unwrap();
    };
    set(Requirement::Deny);
    let denied = refusal(&store, &reference).await;
    assert!(denied.contains("the policy takes nothing from"), "{denied}");
    set(needs(false, true));
    let other = refusal(&store, &reference).await;
    assert!(other.contains("signed by crew, whose images"), "{other}");
    trust.remove_key("crew").unwrap();
    set(by_any_key());
    trust.remove_key("team").unwrap();
    add(&trust, "team", &team.signer.public());
    set(needs(false, true));

    // What was said for it outlives the collector and a restart.
    store.gc(&[]).await.unwrap();
    drop(store);
    let store = ContentStore::guarded(&folder.path().join("images"), trust).unwrap();
    store.admitted(&reference).await.unwrap();
    store.remove(&reference).await.unwrap();
    store.gc(&[]).await.unwrap();
    assert_eq!(blobs(&store), [""; 0]);
}

#[tokio::test]
async fn what_came_unsigned_is_not_made_anew_once_a_signature_is_needed() {
    let team = Team::new();
    let mut scene = team
        .scene()
        .sign(&team.manifest(), &team.signer, &team.payload(1));
    scene.needs = Requirement::Allow;
    let server = Server::site(scene.site.clone()).await;
    let root = server.address.to_string();
    let (folder, store) = scene.store(&team, &root);
    let reference = server.reference("team/web:1");
    let pull = async |store: &ContentStore| {
        puller(store, &root).pull(&reference, &quiet).await.unwrap();
    };
    pull(&store).await;
    store.admitted(&reference).await.unwrap();
    let trust = store.trust().clone();
    trust.set_policy(Policy::signed()).unwrap();
    let says = refusal(&store, &reference).await;
    assert!(says.contains("pull or load it again, signed"), "{says}");
    pull(&store).await;
    store.admitted(&reference).await.unwrap();

    // An index by a release that kept less says too little.
    drop(store);
    let images = folder.path().join("images");
    let mut index: Value = read_json(&images.join("index.json"));
    let kept = index["manifests"][0]["annotations"]
        .as_object_mut()
        .unwrap();
    assert!(kept.remove("edged.origin").is_some());
    assert!(kept.remove("edged.signed.testimony").is_some());
    std::fs::write(images.join("index.json"), index.to_string()).unwrap();
    let store = ContentStore::guarded(&images, trust.clone()).unwrap();
    let says = refusal(&store, &reference).await;
    assert!(says.contains("pull or load it again, signed"), "{says}");
    trust.set_policy(Policy::open()).unwrap();
    store.admitted(&reference).await.unwrap();
}

fn read_json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_loaded_is_judged_as_an_archive_whatever_its_name() {
    let team = Team::new();
    let folder = TempDir::new().unwrap();
    let trust = ImageTrust::open(&folder.path().join("policy.json"), Policy::open()).unwrap();
    let store = ContentStore::guarded(&folder.path().join("images"), trust.clone()).unwrap();
    let name = "team".parse().unwrap();
    let key = team.signer.public();
    trust.add_key(name, &key, Validity::default()).unwrap();
    let policy = |local| Policy {
        default: Requirement::Allow,
        local,
        rules: Vec::new(),
    };
    trust.set_policy(policy(by_any_key())).unwrap();
    let signed = archive(&team, &[team.signer.documents(&team.payload(1)).unwrap()]);
    let images = load(&store, &signed[..], None).await.unwrap();
    let reference = &images[0].reference;
    store.admitted(reference).await.unwrap();
    trust.remove_key("team").unwrap();
    assert!(refusal(&store, reference).await.contains("trusted no more"));
    trust.set_policy(policy(Requirement::Deny)).unwrap();
    assert!(refusal(&store, reference).await.contains("archives"));
}
