//! What a TPM is asked for, by edged's own code and by tpm2-tools, on one software TPM.
//!
//! swtpm speaks with one program at a time, so they take turns: ours asks a block of questions over one connection, as
//! edged does; a tool is a process a question.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use board_node::port::free_pair;

use super::Means;
use super::report::{Measure, Row};
use super::sample::{Samples, milliseconds};
use super::scratch::Scratch;
use crate::client::until;
use crate::host::{dies_with_us, tpm};
use crate::process;

/// Package and example that asks as edged does.
pub const ASKER: (&str, &str) = ("edged-trust", "ask");
/// Package and example that verifies an image's signature as edged does.
pub const VERIFIER: (&str, &str) = ("edged-signature", "verify");
/// Signatures that are verified.
const SIGNATURES: u32 = 1000;
/// Blocks of questions, by turns.
const ROUNDS: u32 = 10;
/// Questions of a block.
const BLOCK: u32 = 10;
/// Registers that edged quotes (`edged_evidence::REGISTERS`), as tpm2-tools take them.
const REGISTERS: &str = "sha256:0,1,2,3,4,5,6,7,9,11,12,13";

/// A question: its name, ours, and theirs.
struct Question {
    name: &'static str,
    ours: &'static str,
    tool: &'static [&'static str],
}

const QUESTIONS: [Question; 3] = [
    Question {
        name: "quote",
        ours: "quote",
        tool: &[
            "tpm2_quote",
            "-Q",
            "-c",
            "ak.ctx",
            "-l",
            REGISTERS,
            "-q",
            "62656e6368",
            "-m",
            "quote",
            "-s",
            "signature",
        ],
    },
    Question {
        name: "unseal",
        ours: "unseal",
        tool: &["tpm2_unseal", "-Q", "-c", "sealed.ctx"],
    },
    Question {
        name: "signature of a token",
        ours: "sign",
        tool: &[
            "tpm2_sign",
            "-Q",
            "-c",
            "key.ctx",
            "-g",
            "sha256",
            "-d",
            "-f",
            "plain",
            "-o",
            "signature",
            "digest",
        ],
    },
];

/// What the tools need beforehand: keys and a sealed secret, as ours has them (P-256, below a storage key of P-256).
const PREPARED: [&[&str]; 7] = [
    &[
        "tpm2_createprimary",
        "-Q",
        "-C",
        "o",
        "-G",
        "ecc256",
        "-c",
        "storage.ctx",
    ],
    &["tpm2_createek", "-Q", "-G", "ecc", "-c", "ek.ctx"],
    &[
        "tpm2_createak",
        "-Q",
        "-C",
        "ek.ctx",
        "-G",
        "ecc",
        "-g",
        "sha256",
        "-s",
        "ecdsa",
        "-c",
        "ak.ctx",
    ],
    &[
        "tpm2_create",
        "-Q",
        "-C",
        "storage.ctx",
        "-G",
        "ecc256:ecdsa-sha256",
        "-u",
        "key.pub",
        "-r",
        "key.priv",
    ],
    &[
        "tpm2_load",
        "-Q",
        "-C",
        "storage.ctx",
        "-u",
        "key.pub",
        "-r",
        "key.priv",
        "-c",
        "key.ctx",
    ],
    &[
        "tpm2_create",
        "-Q",
        "-C",
        "storage.ctx",
        "-i",
        "secret",
        "-u",
        "sealed.pub",
        "-r",
        "sealed.priv",
    ],
    &[
        "tpm2_load",
        "-Q",
        "-C",
        "storage.ctx",
        "-u",
        "sealed.pub",
        "-r",
        "sealed.priv",
        "-c",
        "sealed.ctx",
    ],
];

/// Takes what a tool left loaded: without a resource manager, a TPM has room for three.
const TIDY: [&str; 2] = ["tpm2_flushcontext", "-t"];

/// A software TPM that ends with its value.
struct Swtpm(Child);

impl Drop for Swtpm {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("trust")?;
    let folder = scratch.folder("tools")?;
    let port = free_pair()?;
    let _tpm = start(&scratch.folder("tpm")?, port)?;
    let place = tpm::place(port);
    // Sealed data is at most 128 bytes for the tools (TPM 2.0 Library, MAX_SYM_DATA); ours seals a key of its own below it.
    std::fs::write(folder.join("secret"), [7; 128])?;
    std::fs::write(folder.join("digest"), [1; 32])?;
    for words in PREPARED {
        tool(&place, &folder, words)?;
        tool(&place, &folder, &TIDY)?;
    }
    let asker = means.programs.join("examples").join(ASKER.1);
    let objects = scratch.folder("objects")?;
    let mut rows = Vec::new();
    for question in QUESTIONS {
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for _ in 0..means.rounds(ROUNDS) {
            for answer in ask(&asker, &place, &objects, question.ours)? {
                ours.add(answer);
            }
            for _ in 0..BLOCK {
                let begun = Instant::now();
                tool(&place, &folder, question.tool)?;
                theirs.add(milliseconds(begun.elapsed()));
                tool(&place, &folder, &TIDY)?;
            }
        }
        rows.push(Row::of(
            format!("{}: edged's code", question.name),
            "ms",
            &ours,
        ));
        let name = question.tool.first().copied().unwrap_or_default();
        let row = Row::of(format!("{}: {name}", question.name), "ms", &theirs);
        rows.push(row.beside(ours.median()));
    }
    let mut verify = Command::new(means.programs.join("examples").join(VERIFIER.1));
    let verified: Samples = numbers(verify.arg(SIGNATURES.to_string()))?
        .into_iter()
        .collect();
    let name = "an image's signature verified, beyond fetching and hashing";
    rows.push(Row::of(name, "ms", &verified));
    Ok(Measure {
        work: "a software TPM is asked, an image is verified".to_owned(),
        aim: "none yet; beside tpm2-tools".to_owned(),
        rows,
        notes: vec![
            "swtpm on this machine, over TCP, by turns. A tool is a process that loads a saved context and asks; ours holds its connection and its key, as edged does.".to_owned(),
        ],
    })
}

fn start(state: &Path, port: u16) -> anyhow::Result<Swtpm> {
    let mut command = dies_with_us(Path::new(tpm::PROGRAM));
    command
        .args(tpm::arguments(state, port))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let swtpm = Swtpm(command.spawn().context("cannot start swtpm")?);
    until(tpm::LISTENS, || Ok(tpm::listens(port).then_some(())))?;
    Ok(swtpm)
}

fn tool(place: &str, folder: &Path, words: &[&str]) -> anyhow::Result<String> {
    let (program, arguments) = words.split_first().context("no program")?;
    process::output(
        Command::new(program)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", place)
            .current_dir(folder),
    )
}

fn ask(asker: &PathBuf, place: &str, objects: &Path, what: &str) -> anyhow::Result<Vec<f64>> {
    let mut command = Command::new(asker);
    command
        .arg(place)
        .arg(objects)
        .args([what, &BLOCK.to_string()]);
    numbers(&mut command)
}

/// What a program writes, a number a line.
fn numbers(command: &mut Command) -> anyhow::Result<Vec<f64>> {
    let text = process::output(command)?;
    let numbers = text.lines().map(str::parse);
    numbers
        .collect::<Result<_, _>>()
        .with_context(|| format!("no milliseconds: {text}"))
}
