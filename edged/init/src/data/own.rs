//! Whether the volume is the one that this box has made.
//!
//! What it is known by ([`edged_tpm::Volume`]): the digest of its key, which only that key fits, and how its blocks are
//! encrypted: with another cipher, or none, the right key would open what somebody else wrote. Both are in the volume's
//! metadata (LUKS2 on-disk format specification, 3.3 and 3.4), which nobody signs. Keys may be added and taken away.

use std::path::Path;

use edged_tpm::{Mark, Volume};

use super::seal::{said, tool};
use crate::{slot, tpm};

/// From here on the volume is the box's, and no other.
pub fn remember(device: &Path) -> Result<(), String> {
    let mark = look(device)?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    Volume(&mut tpm)
        .remember(&mark)
        .map_err(|error| error.to_string())
}

/// Refuses another one. A box that was made before there was a mark takes the one that it has.
pub fn check(device: &Path) -> Result<(), String> {
    let mark = look(device)?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    let mut volume = Volume(&mut tpm);
    match volume.known().map_err(|error| error.to_string())? {
        Some(known) if known == mark => Ok(()),
        Some(_) => Err(format!(
            "{} opens and is not the volume that this box has made: give the box its own disk back, or empty the partition to have it made ready",
            device.display()
        )),
        // What comes after a trial may be a release that knows of no mark, and makes another volume.
        None if slot::may_be_b() => Ok(()),
        None => volume.remember(&mark).map_err(|error| error.to_string()),
    }
}

/// As cryptsetup understands the metadata, of which there are two copies: this is what it opens by.
fn look(device: &Path) -> Result<Mark, String> {
    let mut dump = tool("/usr/sbin/cryptsetup");
    dump.args(["luksDump", "--dump-json-metadata"]).arg(device);
    let metadata = said(&mut dump, 0)?;
    mark(&metadata).ok_or_else(|| {
        format!(
            "the metadata of {} is not such as this box makes",
            device.display()
        )
    })
}

/// Each key is looked for where it stands once: what is opened must have it, so a second one would be there to deceive.
fn mark(metadata: &str) -> Option<Mark> {
    let compact: String = metadata.split_whitespace().collect();
    let segments = object(only(&compact, "\"segments\":{")?)?;
    let (digest, _) = only(&compact, "\"digest\":\"")?.split_once('"')?;
    // A slash may be escaped, as the library likes.
    Mark::of(&format!("{digest} {segments}").replace("\\/", "/"))
}

/// What follows these words, where they stand once. Within a JSON string they would be escaped.
fn only<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    (!rest.contains(words)).then_some(rest)
}

/// As far as the end of the object whose beginning was cut off.
fn object(text: &str) -> Option<&str> {
    let (mut depth, mut inside, mut escaped) = (1_u32, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = inside,
            '"' => inside = !inside,
            '{' if !inside => depth += 1,
            '}' if !inside => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(..at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As cryptsetup prints that of a volume that a box has made, without its tokens.
    const METADATA: &str = r#"{
  "keyslots":{
    "0":{
      "type":"luks2",
      "area":{"type":"raw", "encryption":"aes-xts-plain64", "key_size":64},
      "kdf":{"type":"pbkdf2", "hash":"sha256", "iterations":1000, "salt":"YWiL+s="}
    }
  },
  "tokens":{
  },
  "segments":{
    "0":{
      "type":"crypt",
      "offset":"16777216",
      "size":"dynamic",
      "iv_tweak":"0",
      "encryption":"aes-xts-plain64",
      "sector_size":4096
    }
  },
  "digests":{
    "0":{
      "type":"pbkdf2",
      "keyslots":[
        "0"
      ],
      "segments":[
        "0"
      ],
      "hash":"sha256",
      "iterations":1000,
      "salt":"fNCJsTc3izFlqvWVN0Jh4XsPSrWj+nx23VyGWl/FZGU=",
      "digest":"EKw4YDXyJb6qnu9Xw6ZuiGAsGQYXGmcqr1PHMH1uuAQ="
    }
  },
  "config":{
    "json_size":"12288",
    "keyslots_size":"16744448"
  }
}"#;

    fn changed(from: &str, to: &str) -> Option<Mark> {
        assert!(METADATA.contains(from), "{from}");
        mark(&METADATA.replacen(from, to, 1))
    }

    #[test]
    fn a_volume_is_known_by_its_key_and_its_cipher() {
        let own = mark(METADATA).unwrap();
        for (from, to) in [
            ("EKw4", "FKw4"),
            (
                "\"0\",\n      \"encryption\":\"aes-xts-plain64\"",
                "\"0\",\n      \"encryption\":\"cipher_null-ecb\"",
            ),
            ("\"type\":\"crypt\"", "\"type\":\"linear\""),
            ("\"offset\":\"16777216\"", "\"offset\":\"33554432\""),
        ] {
            assert_ne!(changed(from, to), Some(own), "{to}");
        }
        assert_eq!(
            changed("EKw4YDXyJb6qnu9X", "EKw4YDXyJb6qn\\/9X"),
            changed("EKw4YDXyJb6qnu9X", "EKw4YDXyJb6qn/9X")
        );
        assert_eq!(
            changed(
                "\"0\"\n      ],\n      \"seg",
                "\"0\",\"1\"\n      ],\n      \"seg"
            ),
            Some(own),
            "a key was added"
        );
    }

    #[test]
    fn a_mark_that_stands_there_twice_is_none() {
        for decoy in [
            r#""0":{"type":"x","digest":"EKw4YDXyJb6qnu9Xw6ZuiGAsGQYXGmcqr1PHMH1uuAQ="}"#,
            r#""0":{"type":"x","segments":{"0":{"type":"crypt"}}}"#,
        ] {
            let tokens = format!("\"tokens\":{{\n{decoy}");
            assert_eq!(changed("\"tokens\":{\n", &tokens), None, "{decoy}");
        }
        // As a word in a string it says nothing.
        let word = r#""0":{"type":"\"digest\":\"}{"}"#;
        let tokens = format!("\"tokens\":{{\n{word}");
        assert_eq!(changed("\"tokens\":{\n", &tokens), mark(METADATA));
        assert_eq!(mark(""), None);
        assert_eq!(mark("\"segments\":{\"digest\":\"x\""), None);
    }
}
