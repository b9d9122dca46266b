//! Whether a signature is enough.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_model::Digest;

use crate::payload::Payload;
use crate::policy::EVERY_KEY;
use crate::{KeyName, KnownKey, Record, Refusal, Signatures};

/// A payload and its signature, as they came.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// Base64; absent where somebody took it off.
    pub signature: Option<String>,
}

impl Statement {
    /// Whether it is about one of these digests; whoever made it is not known here.
    pub fn names(&self, chain: &[Digest]) -> bool {
        Payload::read(&self.payload).is_ok_and(|payload| chain.contains(payload.digest()))
    }
}

/// What has to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The index, where there is one, and the manifest: each was found through the one before it by its digest.
    pub chain: &'a [Digest],
    /// `registry/path`; absent for an archive, which comes from nowhere.
    pub repository: Option<&'a str>,
    /// Now, in seconds since 1970.
    pub at: u64,
}

/// A signature that was enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whose.
    pub key: KeyName,
    /// Over which digest of the chain.
    pub digest: Digest,
    /// The release it names, where the policy asks for one.
    pub release: Option<Release>,
}

/// A counting number that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Of which repository.
    pub repository: String,
    /// The number.
    pub number: u64,
}

impl Signatures {
    fn names(&self, key: &KeyName) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|name| name == EVERY_KEY || name == key.as_str())
    }

    /// Looks for one signature that is enough.
    ///
    /// # Errors
    /// The reason of the signature that came furthest; [`Refusal::Unsigned`] where there is none.
    pub fn verify(
        &self,
        record: &Record,
        subject: Subject<'_>,
        statements: &[Statement],
    ) -> Result<Accepted, Refusal> {
        if record.keys().is_empty() {
            return Err(Refusal::NoKeys);
        }
        let mut furthest = (0, Refusal::Unsigned);
        for statement in statements {
            match self.judge(record, subject, statement) {
                Ok(accepted) => return Ok(accepted),
                // A stranger's signature beside ours must not hide what is wrong with ours.
                Err((step, refusal)) if step > furthest.0 => furthest = (step, refusal),
                Err(_) => {}
            }
        }
        Err(furthest.1)
    }

    /// Signature first, and only then is the payload read; how far it came, where it did not.
    fn judge(
        &self,
        record: &Record,
        subject: Subject<'_>,
        statement: &Statement,
    ) -> Result<Accepted, (u8, Refusal)> {
        let text = statement.signature.as_deref();
        let text = text.ok_or((1, Refusal::Stripped))?;
        let signature = STANDARD.decode(text).map_err(|_| (1, Refusal::Damaged))?;
        let made =
            |(_, known): &(&KeyName, &KnownKey)| known.key.made(&statement.payload, &signature);
        let wanted = || {
            let names: Vec<&str> = record
                .keys()
                .keys()
                .filter(|key| self.names(key))
                .map(KeyName::as_str)
                .collect();
            names.join(", ")
        };
        let (name, known) = record
            .keys()
            .iter()
            .find(made)
            .ok_or_else(|| (2, Refusal::WrongKey(wanted())))?;
        if !self.names(name) {
            let key = name.to_string();
            return Err((
                3,
                Refusal::OtherKey {
                    key,
                    wanted: wanted(),
                },
            ));
        }
        if known.validity.from.is_some_and(|from| subject.at < from) {
            return Err((4, Refusal::NotYet(name.to_string())));
        }
        if known
            .validity
            .until
            .is_some_and(|until| subject.at >= until)
        {
            return Err((4, Refusal::Expired(name.to_string())));
        }
        let payload = Payload::read(&statement.payload).map_err(|refusal| (5, refusal))?;
        if !subject.chain.contains(payload.digest()) {
            return Err((6, Refusal::OtherImage(payload.digest().clone())));
        }
        if let Some(repository) = subject.repository.filter(|_| self.identity)
            && payload.place() != repository
        {
            let found = payload.repository().chars().take(200).collect();
            return Err((7, Refusal::OtherRepository(found)));
        }
        let release = self.release(record, subject, &payload)?;
        Ok(Accepted {
            key: name.clone(),
            digest: payload.digest().clone(),
            release,
        })
    }

    fn release(
        &self,
        record: &Record,
        subject: Subject<'_>,
        payload: &Payload,
    ) -> Result<Option<Release>, (u8, Refusal)> {
        let Some(name) = &self.release else {
            return Ok(None);
        };
        let found = payload
            .release(name)
            .ok_or_else(|| (8, Refusal::NoRelease(name.clone())))?;
        // An archive has no repository of its own; what its signer wrote is signed.
        let repository = subject
            .repository
            .map_or_else(|| payload.place(), str::to_owned);
        match record.seen(&repository) {
            Some(seen) if found < seen => Err((9, Refusal::OldRelease { found, seen })),
            _ => Ok(Some(Release {
                repository,
                number: found,
            })),
        }
    }
}
