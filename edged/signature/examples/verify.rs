//! Verifies one image's signature again and again, and writes how many milliseconds each took, one a line: all that is
//! done beyond fetching and hashing, as `cargo board bench trust` shows it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use edged_signature::{
    Payload, Record, Signatures, Signer, Statement, Subject, Validity, digest_of, layers,
};

/// Where the image comes from.
const REPOSITORY: &str = "registry.example/team/web";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verify: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let count: u32 = std::env::args()
        .nth(1)
        .ok_or("write verify COUNT")?
        .parse()?;
    let signer = Signer::generate()?;
    let mut record = Record::default();
    record.add("team".parse()?, &signer.public(), Validity::default())?;
    let image = digest_of(b"an image");
    let payload = Payload::new(REPOSITORY, &image, BTreeMap::new());
    let [payload, _, manifest] = signer.documents(&payload)?;
    let wanted = Signatures {
        keys: vec!["*".to_owned()],
        identity: true,
        release: None,
    };
    for _ in 0..count {
        let begun = Instant::now();
        let statements: Vec<Statement> = layers(&manifest)?
            .into_iter()
            .map(|layer| Statement {
                payload: payload.clone(),
                signature: layer.signature,
            })
            .collect();
        let subject = Subject {
            chain: std::slice::from_ref(&image),
            repository: Some(REPOSITORY),
            at: 0,
        };
        wanted.verify(&record, subject, &statements)?;
        println!("{}", begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}
