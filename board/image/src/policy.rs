//! The signed policies in an image: whoever's PCR 11 holds what this image measures may use the data, and the policy key
//! says so. A later image brings its own signatures; nothing has to be sealed anew.
//!
//! There are two. One holds in the phase in which the data partition opens, and systemd reads it. The other holds in the
//! running box, for the keys that edged has in the TPM. It is signed for that purpose alone, so that nobody opens the data
//! partition with it.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_evidence::golden::phases;
use edged_evidence::policy::{holds, running, to_sign};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::der::elements;
use crate::pcr::{Event, Value, replay};

/// The register with the image.
const PCR: u8 = 11;
/// The names of the lists of signatures: systemd looks for the bank's alone.
const OPENING: &str = "sha256";
const RUNNING: &str = "umec-running";

/// The policy digest for what an image measures, after so many phases.
fn digest(sections: &[Event], phases: &[Event]) -> Value {
    let held = replay(&[sections, phases].concat());
    holds(held.get(&PCR).copied().unwrap_or_default())
}

/// The signatures as systemd reads them (`tpm2-pcr-signature.json`), and ours beside.
///
/// # Errors
/// The key cannot be used, or its public half is not RSA.
pub fn signature(
    sections: &[Event],
    public: &[u8],
    sign: &dyn Fn(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<String> {
    let fingerprint = fingerprint(public)?.to_string();
    let one = |policy: Value, message: &[u8]| -> anyhow::Result<Json> {
        Ok(json!([{
            "pcrs": [PCR],
            "pkfp": fingerprint,
            "pol": policy.to_string(),
            "sig": STANDARD.encode(sign(message)?),
        }]))
    };
    let [opening, leaving] = phases();
    let early = digest(sections, std::slice::from_ref(&opening));
    let late = digest(sections, &[opening, leaving]);
    let signed = json!({
        OPENING: one(early, &early.0)?,
        RUNNING: one(late, &to_sign(late, running()))?,
    });
    Ok(signed.to_string())
}

/// The hash of an RSA key: of the part of `SubjectPublicKeyInfo` that is the key itself.
fn fingerprint(public: &[u8]) -> anyhow::Result<Value> {
    let key = || {
        let whole = elements(public).ok()?;
        let fields = elements(whole.first()?.content).ok()?;
        // A BIT STRING begins with the number of its unused bits.
        fields.get(1)?.content.get(1..)
    };
    let key = key().context("the public key of the PCR policy is not a SubjectPublicKeyInfo")?;
    Ok(Value(Sha256::digest(key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_hold_in_one_phase_of_one_image_each() {
        let image = |content: &[u8]| vec![Event::of(PCR, ".linux", content)];
        let [opening, leaving] = phases();
        let early = digest(&image(b"one"), std::slice::from_ref(&opening));
        assert_ne!(
            early,
            digest(&image(b"two"), std::slice::from_ref(&opening))
        );
        assert_ne!(early, digest(&image(b"one"), &[opening, leaving]));
    }

    #[test]
    fn what_is_signed_is_the_policy_and_for_the_running_box_its_purpose_as_well() {
        let public = crate::der::sequence(&[&crate::der::sequence(&[]), b"\x03\x03\x00ab"]);
        let text = signature(&[], &public, &|message| Ok(message.to_vec())).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap();
        let one = &json["sha256"][0];
        let [opening, leaving] = phases();
        let early = digest(&[], std::slice::from_ref(&opening));
        assert_eq!(one["pol"], early.to_string());
        assert_eq!(one["sig"], STANDARD.encode(early.0));
        assert_eq!(one["pkfp"], Value::of(b"ab").to_string());
        let late = digest(&[], &[opening, leaving]);
        let message = [late.0, running().0].concat();
        assert_eq!(json["umec-running"][0]["sig"], STANDARD.encode(message));
    }
}
