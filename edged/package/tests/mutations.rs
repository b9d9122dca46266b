//! Packages with random damage: never a panic, and never taken unless what they say is unchanged.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use edged_package::{AppDescriptor, Package, SigningIdentity, Trust};
use proptest::prelude::*;
use support::draft::{Draft, pem, sign};
use support::zip::{deflated, zip};
use support::{MANIFEST, identity, open, trust};

struct Good {
    identity: SigningIdentity,
    trust: Trust,
    draft: Draft,
    bytes: Vec<u8>,
    says: Says,
}

/// Everything that somebody acts on.
#[derive(Debug, PartialEq)]
struct Says {
    descriptor: AppDescriptor,
    files: BTreeMap<String, Vec<u8>>,
    signer: Option<String>,
}

fn says(package: &Package) -> Says {
    let content = |name: &String| {
        let mut bytes = Vec::new();
        package
            .file(name)
            .unwrap()
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        (name.clone(), bytes)
    };
    Says {
        descriptor: package.descriptor().clone(),
        // The signature's own text may be wrapped in another way.
        files: package
            .files()
            .keys()
            .filter(|name| *name != MANIFEST)
            .map(content)
            .collect(),
        signer: package.signer().map(|signer| signer.certificate.clone()),
    }
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let identity = identity("Example Works");
    let trust = trust(&identity);
    let mut draft = Draft::good();
    let long = support::image();
    let short = &long[..600];
    let hash = |bytes: &[u8]| support::draft::hex(&ring::digest::SHA256, bytes);
    draft = draft.yaml(&hash(&long), &hash(short));
    // Small, so that damage meets headers and texts as often as content.
    draft.image = short.to_vec();
    let mut entries = draft.signed_entries(&identity);
    let last = entries.len() - 1;
    entries[last] = deflated(&entries[last].name, &entries[last].packed);
    let bytes = zip(&entries);
    let says = says(&open(&bytes, &trust).unwrap());
    Good {
        identity,
        trust,
        draft,
        bytes,
        says,
    }
});

#[derive(Debug, Clone)]
enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Copy(prop::sample::Index, prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => (at(), 1..40_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), at(), 1..200_usize).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
        1 => at().prop_map(Damage::Cut),
    ]
}

fn spoil(bytes: &mut Vec<u8>, damages: &[Damage]) {
    for damage in damages {
        if bytes.is_empty() {
            return;
        }
        match damage {
            Damage::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Damage::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Damage::Remove(at, count) => {
                let start = at.index(bytes.len());
                let end = (start + count).min(bytes.len());
                bytes.drain(start..end);
            }
            Damage::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Copy(from, to, count) => {
                let from = from.index(bytes.len());
                let part = bytes[from..(from + count).min(bytes.len())].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, part);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn spoilt_text(text: &str, damages: &[Damage]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    spoil(&mut bytes, damages);
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_package_is_refused_or_says_the_same(damages in prop::collection::vec(damage(), 1..4)) {
        let mut bytes = GOOD.bytes.clone();
        spoil(&mut bytes, &damages);
        if let Ok(package) = open(&bytes, &GOOD.trust) {
            prop_assert_eq!(&says(&package), &GOOD.says);
        }
    }

    #[test]
    fn a_damaged_signature_is_refused_or_the_same(damages in prop::collection::vec(damage(), 1..3)) {
        let manifest = GOOD.draft.manifest();
        let der = GOOD.identity.sign(manifest.as_bytes()).unwrap();
        let mut bad = der.clone();
        spoil(&mut bad, &damages);
        let bytes = zip(&GOOD.draft.entries(&(manifest + &pem("CMS", &bad))));
        if let Ok(package) = open(&bytes, &GOOD.trust) {
            prop_assert_eq!(&says(&package).signer, &GOOD.says.signer);
        }
    }

    #[test]
    fn nonsense_that_is_signed_never_panics(
        meta in prop::collection::vec(damage(), 0..2),
        yaml in prop::collection::vec(damage(), 0..4),
        manifest in prop::collection::vec(damage(), 0..2),
    ) {
        let mut draft = GOOD.draft.clone();
        draft.meta = spoilt_text(&draft.meta, &meta);
        draft.yaml = spoilt_text(&draft.yaml, &yaml);
        let manifest = sign(&spoilt_text(&draft.manifest(), &manifest), &GOOD.identity);
        if let Err(error) = open(&zip(&draft.entries(&manifest)), &GOOD.trust) {
            prop_assert!(!error.file().is_empty());
            prop_assert!(!error.is_ours(), "{}", error);
        }
    }
}
