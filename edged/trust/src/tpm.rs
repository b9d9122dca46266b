//! One TPM, asked by one thread.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use edged_authority::{POINT, SIGNATURE};
use edged_evidence::attest::{Attest, Content};
use edged_evidence::pcr::Value;
use edged_evidence::{Credential, Identity, Public as Key, hash};
use ring::aead;
use ring::rand::{SecureRandom as _, SystemRandom};
use tss_esapi::Context;
use tss_esapi::abstraction::ek;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::{AuthHandle, KeyHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Data, Digest, EncryptedSecret, HashcheckTicket, IdObject, Nonce, Private, Public,
    SensitiveData, SignatureScheme,
};
use tss_esapi::traits::Marshall as _;
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::utils::TpmsContext;

use crate::blob::Blob;
use crate::error::{Asked as _, TrustError, is_foreign, is_policy};
use crate::guard::{Guard, flush};
use crate::object::{
    attestation, connect, endorsement, endorsement_curve, handles, registers, said, selection,
    storage, with_policy,
};
use crate::template;

/// A maker's certificate for the endorsement key on P-256 (TCG EK Credential Profile, 2.2.1.4).
const CERTIFICATE: u32 = 0x01c0_000a;
/// Quotes for one question: a register may change between a quote and the look at what it holds, a few times in a boot.
const QUOTES: usize = 3;
/// Bytes of a key of AES-256.
const SECRET: usize = 32;

/// What a key of the box is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// HTTPS.
    Tls,
    /// Tokens of applications.
    Token,
    /// The box's certificates.
    Ca,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tls, Self::Token, Self::Ca];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Token => "token",
            Self::Ca => "ca",
        }
    }
}

/// What the TPM says, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

/// Where a TPM is, and where what it made is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As the TPM's library names it: `device:/dev/tpmrm0`, `swtpm:host=…,port=…`.
    pub place: String,
    /// The folder of its objects.
    pub folder: PathBuf,
    /// Whose word opens them; nobody's where they are bound to the TPM alone.
    pub guard: Option<Guard>,
}

/// A TPM. It is opened when it is asked something and can be let go at any time ([`Tpm::release`]).
#[derive(Debug)]
pub struct Tpm {
    settings: Settings,
    /// Keys as the TPM gave them out of its memory: good until the machine starts anew.
    saved: HashMap<Purpose, (TpmsContext, [u8; POINT])>,
    open: Option<Open>,
}

/// A connection.
#[derive(Debug)]
struct Open {
    context: Context,
    /// The key that was used last, still loaded: most signatures are by the same one.
    hot: Option<(Purpose, KeyHandle)>,
    /// Nobody else of this box is connected as long as this is there. Without a resource manager two would flush each
    /// other's keys, and sign with them. Goes last.
    _alone: File,
}

impl Tpm {
    /// A TPM that is not asked yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            saved: HashMap::new(),
            open: None,
        }
    }

    /// Whether its keys are bound to signed images, or to the TPM alone.
    pub fn is_guarded(&self) -> bool {
        self.settings.guard.is_some()
    }

    /// Forgets everything in the TPM's memory and lets go of it: a software TPM talks to one at a time.
    pub fn release(&mut self) {
        self.open = None;
    }

    /// Who the box is.
    pub fn identity(&mut self) -> Result<Identity, TrustError> {
        let key = self.attestation_public()?;
        let context = self.cold()?;
        let has_certificate = handles(context, CERTIFICATE)?.first() == Some(&CERTIFICATE);
        let certificate = has_certificate
            .then(|| ek::retrieve_ek_pubcert(context, endorsement_curve()))
            .transpose()
            .asked("show its maker's certificate")?;
        let (handle, public) = endorsement(context)?;
        flush(context, handle.into())?;
        Ok(Identity {
            endorsement: public.into(),
            certificate: certificate.map(Into::into),
            key: key.raw().to_vec().into(),
        })
    }

    /// The public half of the attestation key.
    pub fn attestation_public(&mut self) -> Result<Key, TrustError> {
        let context = self.cold()?;
        let handle = attestation(context)?;
        let (public, _, _) = context
            .execute_without_session(|context| context.read_public(handle))
            .asked("show its attestation key")?;
        let raw = public.marshall().asked("show its attestation key")?;
        Key::read(&raw).asked("show its attestation key")
    }

    /// Opens a credential that was made for this TPM and its attestation key.
    pub fn activate(&mut self, credential: &Credential) -> Result<Vec<u8>, TrustError> {
        const WHAT: &str = "open the credential";
        let blob = IdObject::try_from(credential.blob.0.clone()).asked(WHAT)?;
        let secret = EncryptedSecret::try_from(credential.secret.0.clone()).asked(WHAT)?;
        let context = self.cold()?;
        let attestation = attestation(context)?;
        let (endorsement, _) = endorsement(context)?;
        let opened = with_policy(
            context,
            |context, session| {
                context
                    .execute_with_session(Some(AuthSession::Password), |context| {
                        context.policy_secret(
                            session,
                            AuthHandle::Endorsement,
                            Nonce::default(),
                            Digest::default(),
                            Nonce::default(),
                            None,
                        )
                    })
                    .asked(WHAT)
                    .map(drop)
            },
            |context, session| {
                let sessions = (Some(AuthSession::Password), Some(session), None);
                context
                    .execute_with_sessions(sessions, |context| {
                        context.activate_credential(attestation, endorsement, blob, secret)
                    })
                    .asked(WHAT)
            },
        );
        flush(context, endorsement.into())?;
        Ok(opened?.value().to_vec())
    }

    /// The TPM's word for what its registers hold, for this question, and what they hold.
    pub fn quote(&mut self, qualifying: &[u8]) -> Result<(Quote, BTreeMap<u8, Value>), TrustError> {
        const WHAT: &str = "quote its registers";
        let context = self.cold()?;
        let handle = attestation(context)?;
        for _ in 0..QUOTES {
            let data = Data::try_from(qualifying.to_vec()).asked(WHAT)?;
            let (attest, signature) = context
                .execute_with_session(Some(AuthSession::Password), |context| {
                    context.quote(handle, data, SignatureScheme::Null, selection()?)
                })
                .asked(WHAT)?;
            let registers = registers(context)?;
            let quote = said(&attest, &signature)?;
            if holds(&quote, &registers) {
                return Ok((quote, registers));
            }
        }
        Err(TrustError::Command {
            what: WHAT,
            reason: "they change all the time".to_owned(),
        })
    }

    /// The TPM's word that it has a key, for this question.
    pub fn certify(&mut self, purpose: Purpose, qualifying: &[u8]) -> Result<Quote, TrustError> {
        const WHAT: &str = "certify its key";
        let key = self.hot(purpose)?;
        let context = self.context()?;
        let attestation = attestation(context)?;
        let data = Data::try_from(qualifying.to_vec()).asked(WHAT)?;
        let both = (
            Some(AuthSession::Password),
            Some(AuthSession::Password),
            None,
        );
        let (attest, signature) = context
            .execute_with_sessions(both, |context| {
                context.certify(key.into(), attestation, data, SignatureScheme::Null)
            })
            .asked(WHAT)?;
        said(&attest, &signature)
    }

    /// The public half of a key; the key is made where it is missing.
    pub fn public(&mut self, purpose: Purpose) -> Result<[u8; POINT], TrustError> {
        if let Some((_, public)) = self.saved.get(&purpose) {
            return Ok(*public);
        }
        self.hot(purpose)?;
        self.saved
            .get(&purpose)
            .map(|(_, public)| *public)
            .ok_or(TrustError::Ended)
    }

    /// Signs a SHA-256 hash (ECDSA): r and s.
    pub fn sign(
        &mut self,
        purpose: Purpose,
        digest: [u8; 32],
    ) -> Result<[u8; SIGNATURE], TrustError> {
        const WHAT: &str = "sign";
        let key = self.hot(purpose)?;
        let digest = Digest::try_from(digest.as_slice()).asked(WHAT)?;
        // The key is not restricted, so nobody has to say where the hash comes from.
        let anywhere = TPMT_TK_HASHCHECK {
            tag: TPM2_ST_HASHCHECK,
            hierarchy: TPM2_RH_NULL,
            digest: Digest::default().into(),
        };
        let anywhere = HashcheckTicket::try_from(anywhere).asked(WHAT)?;
        let signature = self
            .context()?
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.sign(key, digest, SignatureScheme::Null, anywhere)
            })
            .asked(WHAT)?;
        let raw = signature.marshall().asked(WHAT)?;
        match edged_evidence::Signature::read(&raw).asked(WHAT)? {
            edged_evidence::Signature::Ecdsa(both) => Ok(both),
            edged_evidence::Signature::Rsassa(_) => Err(TrustError::Command {
                what: WHAT,
                reason: "its signature is of another kind".to_owned(),
            }),
        }
    }

    /// Keeps a secret in a file of the folder that only this TPM opens again.
    pub fn seal(&mut self, name: &str, secret: &[u8]) -> Result<(), TrustError> {
        const WHAT: &str = "seal a secret";
        let random = || TrustError::Command {
            what: WHAT,
            reason: "the kernel gives no randomness".to_owned(),
        };
        let mut key = [0; SECRET];
        SystemRandom::new().fill(&mut key).map_err(|_| random())?;
        let inside = SensitiveData::try_from(key.to_vec()).asked(WHAT)?;
        let public = template::sealed()?;
        let made = self.below_storage(WHAT, |context, parent| {
            context.create(parent, public, None, Some(inside), None, None)
        })?;
        let mut blob = Blob::new(made.out_public, made.out_private);
        let mut hidden = secret.to_vec();
        // The key is used once, so its nonce may be the same always.
        cipher(&key)
            .and_then(|cipher| {
                let nonce = aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN]);
                cipher.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut hidden)
            })
            .map_err(|_| random())?;
        blob.hidden = hidden;
        blob.write(&self.file(name))
    }

    /// A secret that was sealed; nothing where none is there.
    pub fn unseal(&mut self, name: &str) -> Result<Option<Vec<u8>>, TrustError> {
        const WHAT: &str = "unseal a secret";
        let path = self.file(name);
        let Some(blob) = Blob::read(&path)? else {
            return Ok(None);
        };
        let (private, public) = (blob.private, blob.public);
        let loaded = self.load(&path, private, public)?;
        let context = self.context()?;
        let key = context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.unseal(loaded.into())
            })
            .asked(WHAT);
        flush(context, loaded.into())?;
        let key = key?;
        let malformed = || TrustError::Malformed { path: path.clone() };
        let mut hidden = blob.hidden;
        let nonce = aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN]);
        let cipher = cipher(key.value()).map_err(|_| malformed())?;
        let secret = cipher
            .open_in_place(nonce, aead::Aad::empty(), &mut hidden)
            .map_err(|_| malformed())?;
        Ok(Some(secret.to_vec()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.settings.folder.join(format!("{name}.blob"))
    }

    /// Waits until no other process of this box is connected; a killed one is not.
    fn alone(&self) -> Result<File, TrustError> {
        let path = self.settings.folder.join("lock");
        std::fs::create_dir_all(&self.settings.folder)
            .and_then(|()| File::create(&path))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| TrustError::File {
                path,
                reason: error.to_string(),
            })
    }

    /// The connection, made where there is none.
    fn context(&mut self) -> Result<&mut Context, TrustError> {
        let open = if let Some(open) = self.open.take() {
            open
        } else {
            let alone = self.alone()?;
            Open {
                context: connect(&self.settings.place)?,
                hot: None,
                _alone: alone,
            }
        };
        Ok(&mut self.open.insert(open).context)
    }

    /// The connection, with no key loaded: a TPM has room for three objects.
    fn cold(&mut self) -> Result<&mut Context, TrustError> {
        self.context()?;
        if let Some(open) = &mut self.open
            && let Some((_, key)) = open.hot.take()
        {
            flush(&mut open.context, key.into())?;
        }
        self.context()
    }

    /// A key, loaded.
    fn hot(&mut self, purpose: Purpose) -> Result<KeyHandle, TrustError> {
        if let Some(Open {
            hot: Some((loaded, key)),
            ..
        }) = &self.open
            && *loaded == purpose
        {
            return Ok(*key);
        }
        let saved = self.saved.get(&purpose).map(|(saved, _)| saved.clone());
        let context = self.cold()?;
        let key = match saved.and_then(|saved| context.context_load(saved).ok()) {
            Some(key) => key.into(),
            // Never loaded, or the machine started anew since.
            None => self.load_or_make(purpose)?,
        };
        if let Some(open) = &mut self.open {
            open.hot = Some((purpose, key));
        }
        Ok(key)
    }

    fn load_or_make(&mut self, purpose: Purpose) -> Result<KeyHandle, TrustError> {
        let path = self.file(purpose.name());
        let blob = Blob::kept(&path, || {
            let public = template::signing()?;
            let made = self.below_storage("make a key", |context, parent| {
                context.create(parent, public, None, None, None, None)
            })?;
            tracing::info!(key = purpose.name(), "made a key in the TPM");
            Ok(Blob::new(made.out_public, made.out_private))
        })?;
        let raw = blob.public.marshall().asked("show its key")?;
        let public = Key::read(&raw).ok().and_then(|key| key.point());
        let public = public.ok_or_else(|| TrustError::Malformed { path: path.clone() })?;
        let key = self.load(&path, blob.private, blob.public)?;
        let saved = self
            .context()?
            .context_save(key.into())
            .asked("lend a key")?;
        self.saved.insert(purpose, (saved, public));
        Ok(key)
    }

    fn load(
        &mut self,
        path: &Path,
        private: Private,
        public: Public,
    ) -> Result<KeyHandle, TrustError> {
        let mut foreign = false;
        let loaded = self.below_storage("load a key", |context, parent| {
            context
                .load(parent, private, public)
                .inspect_err(|error| foreign = is_foreign(*error))
        });
        loaded.map_err(|error| {
            if foreign {
                TrustError::Foreign {
                    path: path.to_owned(),
                }
            } else {
                error
            }
        })
    }

    /// Does something below the storage key, whose policy is satisfied first.
    fn below_storage<T>(
        &mut self,
        what: &'static str,
        run: impl FnOnce(&mut Context, KeyHandle) -> tss_esapi::Result<T>,
    ) -> Result<T, TrustError> {
        let guard = self.settings.guard.clone();
        let path = self.file("storage");
        let context = self.cold()?;
        let parent = storage(context, &path, guard.as_ref())?;
        let refused = |error: tss_esapi::Error| {
            if is_policy(error) {
                TrustError::Policy("PCR 11 is not as the policy key's signature says".to_owned())
            } else {
                TrustError::Command {
                    what,
                    reason: error.to_string(),
                }
            }
        };
        let done = match guard {
            None => context
                .execute_with_session(Some(AuthSession::Password), |context| run(context, parent))
                .map_err(refused),
            Some(guard) => with_policy(
                context,
                |context, session| guard.satisfy(context, session),
                |context, session| {
                    context
                        .execute_with_session(Some(session), |context| run(context, parent))
                        .map_err(refused)
                },
            ),
        };
        flush(context, parent.into())?;
        done
    }
}

fn cipher(key: &[u8]) -> Result<aead::LessSafeKey, ring::error::Unspecified> {
    aead::UnboundKey::new(&aead::AES_256_GCM, key).map(aead::LessSafeKey::new)
}

/// Whether a quote is about these values.
fn holds(quote: &Quote, registers: &BTreeMap<u8, Value>) -> bool {
    let said = Attest::read(&quote.attest).map(|attest| attest.content);
    matches!(said, Ok(Content::Quote { digest, .. }) if digest == hash(registers))
}
