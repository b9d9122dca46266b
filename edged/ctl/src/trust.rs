//! `edgectl trust enrol|verify`: who a box is, and what it booted, judged on the operator's machine.

#![allow(clippy::doc_markdown)] // These texts are the help that people read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use edged_console::Nonce;
use edged_evidence::golden::Golden;
use edged_evidence::pcr::Value;
use edged_evidence::wire::WireError;
use edged_evidence::{
    Activated, Credential, CredentialError, Evidence, Expectation, Identity, Public, Refusal,
    Verdict, printable, printable_json, verify,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::de::DeserializeOwned;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::args::Destination;
use crate::enrolled::Enrolled;
use crate::error::CtlError;
use crate::session;

/// Bytes that nobody guesses: of a nonce, and of a secret.
const RANDOM: usize = 32;

/// Why a box is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("this box was not enrolled: nothing is known to compare with; run trust enrol first")]
    NotEnrolled,
    #[error(
        "this box was enrolled with another TPM; if that was replaced, add --replace, else somebody is in between"
    )]
    OtherIdentity,
    #[error("what the box sent is not understood: {0}")]
    Answer(serde_json::Error),
    #[error("the {0} key of the box cannot be read: {1}")]
    Key(&'static str, WireError),
    #[error("the box's attestation key is not one: it would sign anything")]
    NoAttestationKey,
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(
        "the box did not open what was made for its TPM: its attestation key is not beside its endorsement key"
    )]
    NotOpened,
    #[error("the maker's certificate is for another key than the TPM's endorsement key")]
    Certificate,
    #[error("what the box shows as the maker's certificate is none")]
    NoCertificate,
    #[error("the kernel gives no randomness")]
    Random,
    #[error("a file of evidence needs the nonce that it was asked with: --nonce HEX")]
    NoNonce,
    #[error("{path} holds no golden values: {source}")]
    Golden {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
}

/// `edgectl trust …` as far as this machine does it.
#[derive(Debug, Parser)]
#[command(
    name = "edgectl trust",
    no_binary_name = true,
    disable_help_subcommand = true
)]
struct TrustArgs {
    #[command(subcommand)]
    verb: TrustVerb,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Words.
    Table,
    /// One JSON document.
    Json,
}

/// What is judged here.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Have the box prove that its attestation key is in its TPM, and remember both.
    Enrol {
        /// Forget what was remembered of this box: another TPM, or a machine that was rightly changed.
        #[arg(long)]
        replace: bool,
    },
    /// Ask the box what it booted, and say whether that is true and as its build foretold.
    Verify {
        /// Evidence from `trust attest`, instead of asking the box.
        #[arg(value_name = "EVIDENCE", requires = "nonce")]
        evidence: Option<PathBuf>,
        /// The nonce that the evidence was asked with.
        #[arg(long, value_name = "HEX")]
        nonce: Option<Nonce>,
        /// What the build of the image foretold: its golden.json. Without it, what booted is shown and not compared.
        #[arg(long, value_name = "FILE")]
        golden: Option<PathBuf>,
        /// How to answer.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

impl TrustVerb {
    /// What is asked, if it is for this machine.
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        match words {
            [first, second, ..]
                if first == "trust" && (second == "enrol" || second == "verify") =>
            {
                let rest = words.get(1..).unwrap_or_default();
                // A usage error or help ends the process as that of any other option does.
                let args = TrustArgs::try_parse_from(rest).unwrap_or_else(|error| error.exit());
                Some(args.verb)
            }
            _ => None,
        }
    }

    /// Does it.
    pub(crate) async fn perform(self, destination: &Destination) -> Result<(), CtlError> {
        match self {
            Self::Enrol { replace } => enrol(destination, replace).await,
            Self::Verify {
                evidence,
                nonce,
                golden,
                output,
            } => {
                let golden = golden.as_deref().map(read_golden).transpose()?;
                let (nonce, evidence) = match (evidence, nonce) {
                    (Some(path), Some(nonce)) => (nonce, parse(&read(&path)?)?),
                    (Some(_), None) => return Err(TrustError::NoNonce.into()),
                    (None, nonce) => {
                        let nonce = match nonce {
                            Some(nonce) => nonce,
                            None => random()?.try_into().map_err(|_| TrustError::Random)?,
                        };
                        let evidence = attest(destination, &nonce).await?;
                        (nonce, evidence)
                    }
                };
                let (verdict, known) =
                    judge(destination, nonce.as_bytes(), &evidence, golden.as_ref())?;
                let mut text = match output {
                    Output::Json => document(&verdict)?,
                    Output::Table => told(&verdict, &known),
                };
                text.push('\n');
                Ok(io::stdout().write_all(text.as_bytes())?)
            }
        }
    }
}

async fn enrol(destination: &Destination, replace: bool) -> Result<(), CtlError> {
    let known = Enrolled::read(&destination.target)?;
    let identity: Identity = parse(&ask(destination, &["trust", "enrol"]).await?)?;
    let endorsement = Public::read(&identity.endorsement)
        .map_err(|error| TrustError::Key("endorsement", error))?;
    let key = Public::read(&identity.key).map_err(|error| TrustError::Key("attestation", error))?;
    if !key.attests() {
        return Err(TrustError::NoAttestationKey.into());
    }
    let point = endorsement.point().unwrap_or([0; 65]);
    let certificate = identity.certificate.as_deref();
    let issuer = certificate.map(|der| issuer(der, &point)).transpose()?;
    let secret = random()?;
    let credential =
        Credential::make(&endorsement, &key.name(), &secret).map_err(TrustError::from)?;
    let credential = serde_json::to_string(&credential).map_err(TrustError::Answer)?;
    let words = ["trust", "enrol", "--credential", &credential];
    let opened: Activated = parse(&ask(destination, &words).await?)?;
    if *opened.secret != *secret {
        return Err(TrustError::NotOpened.into());
    }
    let enrolled = match known {
        Some(known) if known.identity == identity && !replace => known,
        Some(_) if !replace => return Err(TrustError::OtherIdentity.into()),
        _ => Enrolled {
            identity,
            machine: BTreeMap::new(),
            seen: None,
        },
    };
    enrolled.write(&destination.target)?;
    let certificate = match issuer {
        Some(issuer) => format!(
            "for the endorsement key, and says that {} made it; whether it did is not verified here",
            printable(&issuer)
        ),
        None => "none: compare the endorsement key with what the box's maker says".to_owned(),
    };
    let text = format!(
        "endorsement key  {}\nattestation key  {}\ncertificate      {certificate}\n",
        Value::of(endorsement.raw()),
        Value::of(key.raw()),
    );
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Whom a certificate of this key names as its issuer. Its signature is for who has the authorities of TPMs' makers.
fn issuer(der: &[u8], point: &[u8; 65]) -> Result<String, TrustError> {
    // Makers fill the rest of the TPM's index up with whatever they like.
    let (certificate, _) =
        Certificate::from_der_partial(der).map_err(|_| TrustError::NoCertificate)?;
    let certificate = certificate.tbs_certificate();
    let key = &certificate.subject_public_key_info().subject_public_key;
    if key.raw_bytes() == point {
        Ok(certificate.issuer().to_string())
    } else {
        Err(TrustError::Certificate)
    }
}

async fn attest(destination: &Destination, nonce: &Nonce) -> Result<Evidence, CtlError> {
    let words = ["trust", "attest", "--nonce", &nonce.to_string()];
    parse(&ask(destination, &words).await?)
}

/// What is proven, and what was known of the machine before.
fn judge(
    destination: &Destination,
    nonce: &[u8],
    evidence: &Evidence,
    golden: Option<&Golden>,
) -> Result<(Verdict, BTreeMap<String, Value>), CtlError> {
    let mut enrolled = Enrolled::read(&destination.target)?.ok_or(TrustError::NotEnrolled)?;
    let key = Public::read(&enrolled.identity.key)
        .map_err(|error| TrustError::Key("enrolled attestation", error))?;
    let verdict = verify(
        evidence,
        &Expectation {
            nonce,
            key: &key,
            golden,
            machine: &enrolled.machine,
            seen: enrolled.seen,
        },
    )
    .map_err(TrustError::from)?;
    enrolled.seen = Some(verdict.clock);
    let known = enrolled.machine.clone();
    enrolled.machine.extend(verdict.machine.clone());
    enrolled.write(&destination.target)?;
    Ok((verdict, known))
}

/// A verdict for programs, which somebody may look at all the same.
fn document(verdict: &Verdict) -> Result<String, TrustError> {
    let text = serde_json::to_string_pretty(verdict).map_err(TrustError::Answer)?;
    Ok(printable_json(&text))
}

/// A verdict in words.
fn told(verdict: &Verdict, known: &BTreeMap<String, Value>) -> String {
    let mut lines = vec![
        "ok       the TPM that was enrolled signed this for this question".to_owned(),
        format!(
            "ok       boot {} of its machine, after {} ms of the TPM's life",
            verdict.clock.resets, verdict.clock.milliseconds
        ),
    ];
    if verdict.compared {
        lines.push("ok       every event of the boot is one that the build foretold".to_owned());
        let machine = verdict.machine.iter();
        lines.extend(machine.map(|(name, value)| {
            if known.contains_key(name) {
                format!("ok       {name}: as when it was first compared, {value}")
            } else {
                format!("new      {name}: first compared now, and remembered, {value}")
            }
        }));
    } else {
        lines.push(
            "off      what booted was not compared: give the build's golden.json with --golden"
                .to_owned(),
        );
    }
    let statement = verdict.statement.iter();
    lines.extend(
        statement.map(|statement| format!("         the box says {}", printable(statement))),
    );
    lines.join("\n")
}

async fn ask(destination: &Destination, words: &[&str]) -> Result<Vec<u8>, CtlError> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    session::ask(destination, words).await
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, CtlError> {
    Ok(serde_json::from_slice(text).map_err(TrustError::Answer)?)
}

fn read(path: &Path) -> Result<Vec<u8>, CtlError> {
    fs::read(path).map_err(|source: io::Error| CtlError::Input {
        path: path.to_owned(),
        source,
    })
}

fn read_golden(path: &Path) -> Result<Golden, CtlError> {
    let text = read(path)?;
    let golden = serde_json::from_slice(&text).map_err(|source| TrustError::Golden {
        path: path.to_owned(),
        source,
    });
    Ok(golden?)
}

fn random() -> Result<Vec<u8>, TrustError> {
    let mut bytes = vec![0; RANDOM];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| TrustError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use edged_evidence::attest::Clock;

    use super::*;

    fn verdict(statement: &str) -> Verdict {
        Verdict {
            clock: Clock {
                resets: 1,
                restarts: 0,
                milliseconds: 1,
            },
            registers: BTreeMap::new(),
            statement: Some(statement.to_owned()),
            compared: true,
            machine: BTreeMap::from([("1 DTB DATA".to_owned(), Value::of(b"tree"))]),
        }
    }

    #[test]
    fn what_was_never_compared_is_said_to_be_new() {
        let verdict = verdict("{}");
        let first = told(&verdict, &BTreeMap::new());
        assert!(first.contains("new      1 DTB DATA: first"), "{first}");
        let later = told(&verdict, &verdict.machine);
        assert!(later.contains("ok       1 DTB DATA: as when"), "{later}");
    }

    #[test]
    fn what_a_box_says_does_nothing_to_the_terminal() {
        let text = told(
            &verdict("\u{1b}[2J\nok       all is well"),
            &BTreeMap::new(),
        );
        assert!(
            text.ends_with(r"says \u{1b}[2J\nok       all is well"),
            "{text}"
        );
        let text = document(&verdict("\u{9b}2J\u{202e}")).unwrap();
        assert!(text.contains(r#""\u009b2J\u202e""#), "{text}");
    }
}
