//! The API documents in openapi/ say what the standard says.
//!
//! For: two kinds of faults. `shape`, `references` and `examples` read our documents alone. `compare` reads ETSI's file
//! named in a document's `x-source`, applies `corrections.yaml` to it and compares both ways: paths, methods,
//! parameters, bodies, answers and, recursively, schemas (type, properties, required, enum, format, items,
//! alternatives, minItems, additionalProperties). Each difference must be covered by an entry of the document's `x-deviations`, and
//! each entry must cover a difference. Refuses: to write, to fetch, to compare prose, headers or number ranges.
//!
//! ETSI's files are looked for in `ETSI_MEC_DIR`, else in ../shared/etsi-mec beside the repository. Someone who has
//! neither sees one line that says so.
//!
//! An `x-deviations` entry is `{path: POINTER, reason: SENTENCE}`. POINTER is a JSON pointer into ETSI's document (into
//! ours for what ETSI does not have), `*` stands for one segment, and it covers everything below it. Where both sides
//! refer to a named schema, the place is ETSI's name of it; where ours says it in place, the place is that one. A path
//! item whose name in ETSI's document is different says it in `x-etsi-path`.

mod compare;
mod corrections;
mod deviations;
mod examples;
mod shape;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use umec_tests::document::{self, Document, Library};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ours() -> anyhow::Result<Library> {
    Library::read(&repository().join("openapi"))
}

/// The folder of ETSI's files; nothing when nobody named one and the usual place is empty.
fn etsi_folder() -> anyhow::Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("ETSI_MEC_DIR") {
        let folder = PathBuf::from(named);
        ensure!(
            folder.join("corrections.yaml").is_file(),
            "ETSI_MEC_DIR names {}, which has no corrections.yaml: point it at the folder with ETSI's files",
            folder.display()
        );
        return Ok(Some(folder));
    }
    let usual = repository().join("../shared/etsi-mec");
    Ok(usual.join("corrections.yaml").is_file().then_some(usual))
}

/// What is wrong between one of our documents and ETSI's, a line each.
fn drift(library: &Library, document: &Document, etsi: &Path) -> anyhow::Result<Vec<String>> {
    let Some(source) = document.text("x-source") else {
        return Ok(Vec::new());
    };
    let corrections = document::read_yaml(&etsi.join("corrections.yaml"))?;
    let raw = document::read_yaml(&etsi.join(source))?;
    let corrected = corrections::apply(&corrections, source, raw)
        .with_context(|| format!("apply corrections.yaml to {source}"))?;
    let theirs = Library::of_one(source, corrected);
    let differences = compare::documents(library, &document.name, &theirs, source)?;
    Ok(deviations::uncovered_and_stale(document, &differences))
}

fn fail_if_any(faults: &[String]) -> anyhow::Result<()> {
    ensure!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    Ok(())
}

#[test]
fn our_documents_differ_from_etsi_only_where_they_say_so() -> anyhow::Result<()> {
    let Some(etsi) = etsi_folder()? else {
        println!(
            "drift: not compared, ETSI's files are not here; set ETSI_MEC_DIR to their folder"
        );
        return Ok(());
    };
    let library = ours()?;
    let mut faults = Vec::new();
    for document in library.documents() {
        // A document that cannot be compared does not hide what is wrong with the next.
        match drift(&library, document, &etsi) {
            Ok(found) => faults.extend(found),
            Err(error) => faults.push(format!("{}: {error:#}", document.name)),
        }
    }
    fail_if_any(&faults)
}

#[test]
fn every_document_has_the_shape_of_openapi_3_1() -> anyhow::Result<()> {
    let library = ours()?;
    ensure!(
        library.documents().count() > 1,
        "openapi/ holds no documents"
    );
    fail_if_any(
        &library
            .documents()
            .flat_map(shape::faults)
            .collect::<Vec<_>>(),
    )
}

#[test]
fn every_operation_has_a_name_of_its_own_also_in_the_document_that_is_written_from_code()
-> anyhow::Result<()> {
    let name = "platform.yaml".to_owned();
    let root = document::read_yaml(&repository().join("openapi").join(&name))?;
    fail_if_any(&shape::misnamed(&Document { name, root }))
}

#[test]
fn every_reference_leads_somewhere() -> anyhow::Result<()> {
    fail_if_any(&ours()?.dangling_references())
}

#[test]
fn every_example_fits_its_schema_and_every_schema_has_one() -> anyhow::Result<()> {
    let library = ours()?;
    let faults: Vec<_> = library
        .documents()
        .flat_map(|document| examples::faults(&library, document))
        .collect();
    fail_if_any(&faults)
}
