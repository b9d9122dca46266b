//! Asks a TPM the same thing again and again, and writes how many milliseconds each answer took, one a line.
//!
//! `ask PLACE FOLDER quote|unseal|sign COUNT`: what `cargo board bench trust` sets beside tpm2-tools.

use std::process::ExitCode;
use std::time::Instant;

use edged_trust::{Purpose, Settings, Tpm};

/// Bytes of a secret: those of the SSH host key, which is what edged seals.
const SECRET: [u8; 400] = [7; 400];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [place, folder, what, count] = words.as_slice() else {
        return Err("write ask PLACE FOLDER quote|unseal|sign COUNT".into());
    };
    let mut tpm = Tpm::new(Settings {
        place: place.clone(),
        folder: folder.into(),
        guard: None,
    });
    if what == "unseal" && tpm.unseal("secret")?.is_none() {
        tpm.seal("secret", &SECRET)?;
    }
    // The first answer also opens the connection and loads the key, as at edged's start.
    ask(&mut tpm, what)?;
    for _ in 0..count.parse::<u32>()? {
        let begun = Instant::now();
        ask(&mut tpm, what)?;
        println!("{}", begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn ask(tpm: &mut Tpm, what: &str) -> Result<(), Box<dyn std::error::Error>> {
    match what {
        "quote" => drop(tpm.quote(b"bench")?),
        "unseal" => drop(tpm.unseal("secret")?),
        "sign" => drop(tpm.sign(Purpose::Token, [1; 32])?),
        other => return Err(format!("{other}: quote, unseal or sign").into()),
    }
    Ok(())
}
