//! Bundles that a box must not take, and its slots seen from outside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use board::process;
use board_keys::Name;
use board_qemu::Guest;
use board_qemu::tamper::images;
use edged_update::{Hash, Manifest, Release, UpdateKey, signed};
use umec_tests::ground::Ground;

/// Magic and the manifest's length; the signature's length and the signature.
const BEGIN: usize = 12;
const SIGNATURE: usize = 2 + 384;

/// A bundle, taken apart.
struct Apart {
    manifest: Manifest,
    /// The bytes before the parts.
    head: usize,
    bytes: Vec<u8>,
}

impl Apart {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)?;
        let length = bytes.get(8..BEGIN).context("it is cut off")?;
        let length = usize::try_from(u32::from_le_bytes(length.try_into()?))?;
        let json = bytes.get(BEGIN..BEGIN + length).context("it is cut off")?;
        Ok(Self {
            manifest: serde_json::from_slice(json)?,
            head: BEGIN + length + SIGNATURE,
            bytes,
        })
    }

    /// The same parts below another manifest, which is signed by whoever signs.
    fn with(
        &self,
        change: impl FnOnce(&mut Manifest),
        sign: impl FnOnce(&Path, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut manifest = self.manifest.clone();
        change(&mut manifest);
        let head = signed(&manifest)?;
        let folder = tempfile::tempdir()?;
        let (message, signature) = (
            folder.path().join("message"),
            folder.path().join("signature"),
        );
        std::fs::write(&message, &head)?;
        sign(&message, &signature)?;
        let signature = std::fs::read(signature)?;
        let length = u16::try_from(signature.len())?.to_le_bytes();
        let parts = self.bytes.get(self.head..).unwrap_or_default();
        Ok([&head[..], &length, &signature, parts].concat())
    }
}

/// Signs with a key that no box knows; its fingerprint.
fn foreign(folder: &Path) -> anyhow::Result<(PathBuf, Hash)> {
    let (key, public) = (folder.join("foreign.key"), folder.join("foreign.pub"));
    let openssl = |words: &[&str], to: &Path| {
        process::output(Command::new("openssl").args(words).arg("-out").arg(to)).map(drop)
    };
    openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:3072",
        ],
        &key,
    )?;
    openssl(&["pkey", "-pubout", "-in", &key.to_string_lossy()], &public)?;
    let public = UpdateKey::from_pem(&std::fs::read_to_string(&public)?)?;
    Ok((key, public.fingerprint()))
}

/// The same bundle with the signature of somebody else.
pub fn signed_by_another(ground: &Ground, good: &Path) -> anyhow::Result<Vec<u8>> {
    let (key, _) = foreign(ground.folder.path())?;
    Apart::read(good)?.with(
        |_| (),
        |message, signature| sign_with(&key, message, signature),
    )
}

fn sign_with(key: &Path, message: &Path, signature: &Path) -> anyhow::Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(key);
    process::output(openssl.arg("-out").arg(signature).arg(message)).map(drop)
}

/// Each kind is refused in its own sentence, and both images on the disk are what they were.
pub fn a_bad_bundle_is_refused_before_a_byte_reaches_a_slot(
    guest: &Guest,
    ground: &Ground,
    good: &Path,
) -> anyhow::Result<()> {
    let apart = Apart::read(good)?;
    let ours = |message: &Path, signature: &Path| {
        let keys = &ground.parts.keys;
        keys.sign(&ground.root, Name::Update, message, signature)
    };
    let (key, fingerprint) = foreign(ground.folder.path())?;
    let theirs = |message: &Path, signature: &Path| sign_with(&key, message, signature);
    let mut flipped = apart.bytes.clone();
    let middle = flipped.get_mut(apart.head + (1 << 20));
    *middle.context("the image is smaller than a megabyte")? ^= 1;
    let cut = apart.bytes.len() - 1;
    let kinds = [
        (flipped, "the bundle's uki is damaged"),
        (
            apart.bytes.get(..cut).unwrap_or_default().to_vec(),
            "the bundle is cut off",
        ),
        (
            apart.with(|manifest| manifest.key = fingerprint, theirs)?,
            "takes updates by",
        ),
        (
            apart.with(|_| (), theirs)?,
            "the bundle's signature is wrong",
        ),
        (
            apart.with(|manifest| manifest.release = Release::new(1), ours)?,
            "only a newer one is taken",
        ),
        (
            apart.with(|manifest| manifest.board = String::from("rpi4"), ours)?,
            "is for the board rpi4",
        ),
        (
            apart.with(|manifest| manifest.release = Release::new(99), ours)?,
            "the image in the bundle says",
        ),
    ];
    let before = images(&ground.root, guest.folder)?;
    for (bundle, why) in kinds {
        let path = ground.folder.path().join("bad.update");
        std::fs::write(&path, bundle)?;
        let answer = guest.door()?.say(&["update", "install"], Some(&path))?;
        let said = String::from_utf8_lossy(&answer.stderr);
        ensure!(
            !answer.status.success() && said.contains(why),
            "wanted `{why}`: {said}"
        );
        let after = images(&ground.root, guest.folder)?;
        ensure!(before == after, "an image has changed: {why}");
    }
    Ok(())
}
