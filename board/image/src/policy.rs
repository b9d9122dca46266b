//! The signed policy in an image: whoever's PCR 11 holds what this image measures may use the data, and the policy key
//! says so. A later image brings its own signature; nothing has to be sealed anew.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::der::elements;
use crate::golden::PHASES;
use crate::pcr::{Event, Value, replay};

/// The register with the image.
const PCR: u8 = 11;
/// `TPM2_PolicyPCR` and what it selects: one bank, SHA-256, three bytes, of which the second's fourth bit is PCR 11.
const POLICY_PCR: [u8; 4] = [0, 0, 0x01, 0x7f];
const SELECTION: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x00, 0x08, 0x00];

/// The policy digest for what an image measures, in the phase in which the data partition opens.
pub fn digest(sections: &[Event]) -> Value {
    let [unsealing, _] = PHASES;
    let phase = Event::of(PCR, unsealing, unsealing.as_bytes());
    let held = replay(&[sections, &[phase]].concat())
        .remove(&PCR)
        .unwrap_or_default();
    let before = Value::default();
    let values = Value::of(&held.0);
    Value::of(&[before.0.as_slice(), &POLICY_PCR, &SELECTION, &values.0].concat())
}

/// The signature as systemd reads it (`tpm2-pcr-signature.json`).
///
/// # Errors
/// The key cannot be used, or its public half is not RSA.
pub fn signature(
    sections: &[Event],
    public: &[u8],
    sign: &dyn Fn(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<String> {
    let policy = digest(sections);
    let signed = json!({"sha256": [{
        "pcrs": [PCR],
        "pkfp": fingerprint(public)?.to_string(),
        "pol": policy.to_string(),
        "sig": STANDARD.encode(sign(&policy.0)?),
    }]});
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
    fn the_policy_holds_in_one_phase_of_one_image() {
        let image = |content: &[u8]| vec![Event::of(PCR, ".linux", content)];
        let one = digest(&image(b"one"));
        assert_ne!(one, digest(&image(b"two")));
        let mut later = image(b"one");
        later.push(Event::of(PCR, PHASES[0], PHASES[0].as_bytes()));
        assert_ne!(one, digest(&later));
    }

    #[test]
    fn what_is_signed_is_the_policy() {
        let public = crate::der::sequence(&[&crate::der::sequence(&[]), b"\x03\x03\x00ab"]);
        let text = signature(&[], &public, &|message| Ok(message.to_vec())).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let one = &json["sha256"][0];
        assert_eq!(one["sig"], STANDARD.encode(digest(&[]).0));
        assert_eq!(one["pkfp"], Value::of(b"ab").to_string());
    }
}
