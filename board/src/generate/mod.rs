//! `cargo board generate`: openapi/ becomes the code of mec-api/ and the documents that it serves.
//!
//! The output is committed, so that a reader and a compiler need nothing else, and `--check` (and with it
//! `cargo test`) fails where it is not what the documents say. What a document says and the generator does not know is
//! an error, never left out.
//!
//! From [`library`] (files and references) over [`schemas`] and [`operations`] to the [`model`], from there to text.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "text is put together line by line, once, and write! would have errors that cannot happen"
)]

mod bundle;
mod library;
mod model;
mod names;
mod node;
mod operations;
mod print_api;
mod print_checks;
mod print_router;
mod print_types;
mod prose;
mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::workspace;
use library::Library;
use model::{Item, Module, Named, Type};

/// The modules of `mec-api`, the documents they come from and their traits.
const MODULES: [(&str, &str, Option<&str>); 6] = [
    ("common", "common.yaml", None),
    ("app_support", "mec011-app-support.yaml", Some("AppSupport")),
    (
        "service_management",
        "mec011-service-management.yaml",
        Some("ServiceManagement"),
    ),
    (
        "package_management",
        "mec010-2-package-management.yaml",
        Some("PackageManagement"),
    ),
    ("lifecycle", "mec010-2-lifecycle.yaml", Some("Lifecycle")),
    ("bandwidth", "mec015-bandwidth.yaml", Some("Bandwidth")),
];

/// A file of types, where one file would be too long: what hangs on some schemas of a module.
struct Part {
    module: &'static str,
    roots: &'static [&'static str],
    name: &'static str,
    about: &'static str,
}

const PARTS: [Part; 3] = [
    Part {
        module: "package_management",
        roots: &[
            "OsContainerDescriptor",
            "VirtualComputeDescriptor",
            "VirtualStorageDescriptor",
            "LogicalNodeRequirements",
        ],
        name: "resources",
        about: "What a descriptor says of containers, machines and storage.",
    },
    Part {
        module: "package_management",
        roots: &["AppD"],
        name: "descriptor",
        about: "The application descriptor (MEC 010-2, clause 6.2.1).",
    },
    Part {
        module: "lifecycle",
        roots: &["SubscriptionRequest", "SubscriptionInfo", "Notification"],
        name: "subscriptions",
        about: "Subscriptions and what is sent for them.",
    },
];

/// What is compared or written.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Compare with what is there instead of writing, and fail where it differs.
    #[arg(long)]
    pub check: bool,
}

/// Writes the files, or compares them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let root = workspace::root();
    ensure!(
        has_rustfmt(),
        "rustfmt is not installed: run `rustup component add rustfmt`"
    );
    let files = files(&root)?;
    if options.check {
        let stale = stale(&root, &files)?;
        ensure!(
            stale.is_empty(),
            "openapi/ says something else than {}; run `cargo board generate`",
            stale.join(", ")
        );
        println!("{} files are what openapi/ says", files.len());
        return Ok(());
    }
    for (name, text) in &files {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    for name in leftovers(&root, &files)? {
        std::fs::remove_file(root.join(&name)).with_context(|| name.clone())?;
    }
    println!("{} files written", files.len());
    Ok(())
}

/// The module that a document becomes.
fn module_of(document: &str) -> Option<&'static str> {
    let found = MODULES.iter().find(|(_, known, _)| *known == document);
    found.map(|(name, ..)| *name)
}

/// Every generated file by its path in the repository.
pub fn files(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let library = Library::read(&root.join("openapi"))?;
    for name in library.names() {
        ensure!(
            module_of(name).is_some(),
            "openapi/{name} has no module: add it to the generator"
        );
    }
    let mut modules = Vec::new();
    for (name, document, interface) in MODULES {
        modules.push(module(&library, name, document, interface)?);
    }
    let checked = print_checks::checked(&modules);
    for operation in modules.iter_mut().flat_map(|module| &mut module.operations) {
        if let Some(body) = &mut operation.body {
            body.checked = body
                .json
                .as_ref()
                .and_then(Type::named)
                .is_some_and(|named| checked.contains(named));
        }
    }
    let mut files = BTreeMap::new();
    for module in &modules {
        for (name, text) in sources(module, &checked) {
            let path = format!("mec-api/src/{name}");
            let header = format!(
                "// Generated by `cargo board generate` from openapi/{}; edit that.\n\n",
                module.document
            );
            let text = formatted(root, &(header + &text)).with_context(|| path.clone())?;
            files.insert(path.into(), text);
        }
        let bundle = bundle::document(&library, &module.document)?;
        files.insert(
            format!("mec-api/documents/{}", module.document).into(),
            bundle,
        );
    }
    files.insert(
        "mec-api/tests/examples/schemas.rs".into(),
        formatted(root, &examples(&modules, &checked))?,
    );
    files.insert(
        "mec-api/src/documents.rs".into(),
        formatted(root, &documents(&modules))?,
    );
    Ok(files)
}

fn module(
    library: &Library,
    name: &'static str,
    document: &str,
    interface: Option<&'static str>,
) -> anyhow::Result<Module> {
    let root = library.root(document)?;
    let text = |pointer: &str| {
        root.node
            .at(pointer)
            .text()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let operations = match interface {
        Some(_) => operations::all(library, name, root)?,
        None => Vec::new(),
    };
    let base = root
        .node
        .get("servers")
        .items()
        .first()
        .and_then(|server| server.get("url").text());
    Ok(Module {
        name,
        interface,
        document: document.to_owned(),
        about: format!("{}.\n{}", text("/info/title"), text("/info/description")),
        base: base.context("a document names no server")?.to_owned(),
        items: schemas::Reader::new(library, name).all(root)?,
        operations,
    })
}

/// The files of one module, by their path in `mec-api/src`.
fn sources(module: &Module, checked: &BTreeSet<Named>) -> Vec<(String, String)> {
    let name = module.name;
    let mut files = Vec::new();
    let mut uses = String::new();
    for (part, about, items) in parts(module) {
        files.push((
            format!("{name}/{part}.rs"),
            print_types::file(module, &items, about),
        ));
        uses += &format!("mod {part};\n");
        let checks = print_checks::file(module, &items, checked);
        if !checks.is_empty() {
            let file = if part == "types" {
                "checks".to_owned()
            } else {
                format!("{part}_checks")
            };
            files.push((format!("{name}/{file}.rs"), checks));
            uses += &format!("mod {file};\n");
        }
        uses += &format!("pub use {part}::*;\n");
    }
    if let Some(interface) = module.interface {
        files.push((format!("{name}/messages.rs"), print_api::messages(module)));
        files.push((
            format!("{name}/api.rs"),
            print_api::interface(module, interface),
        ));
        files.push((
            format!("{name}/router.rs"),
            print_router::file(module, interface),
        ));
        uses += &format!(
            "mod messages;\nmod api;\nmod router;\npub use messages::*;\npub use api::{interface};\npub use router::{{BASE, router}};\n"
        );
    }
    let mut lines: Vec<&str> = uses.lines().collect();
    lines.sort_unstable();
    let (modules, uses): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("mod "));
    let about = prose::comment("//!", 0, &module.about);
    files.push((
        format!("{name}/mod.rs"),
        format!("{about}\n{}\n\n{}\n", modules.join("\n"), uses.join("\n")),
    ));
    files
}

/// The types of a module by the file that they go into.
fn parts(module: &Module) -> Vec<(&'static str, &'static str, Vec<&Item>)> {
    let mut rest: Vec<&Item> = module.items.iter().collect();
    let mut parts = Vec::new();
    for part in PARTS.iter().filter(|part| part.module == module.name) {
        let reached = reached(module, part.roots);
        let is_own = |item: &&Item| reached.contains(item.name.as_str());
        let (own, others) = rest.into_iter().partition(is_own);
        parts.push((part.name, part.about, own));
        rest = others;
    }
    parts.push(("types", "What is sent and answered.", rest));
    parts
}

/// The types of a module that some of them are made of.
fn reached<'a>(module: &'a Module, roots: &[&'a str]) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = roots.to_vec();
    while let Some(name) = open.pop() {
        if reached.insert(name)
            && let Some(item) = module.items.iter().find(|item| item.name == name)
        {
            let own = print_types::used(item)
                .into_iter()
                .filter(|named| named.module == module.name);
            open.extend(own.map(|named| named.name.as_str()));
        }
    }
    reached
}

/// The list of documents to serve.
fn documents(modules: &[Module]) -> String {
    let entries = modules.iter().map(|module| {
        let name = &module.document;
        format!("Document {{ name: {name:?}, text: include_str!(\"../documents/{name}\") }},\n")
    });
    format!(
        "// Generated by `cargo board generate` from openapi/; edit that.\n\n\
         //! The documents themselves, to be served.\n\n\
         /// A document that needs no other.\n#[derive(Debug, Clone, Copy)]\npub struct Document {{\n\
         /// Its file name.\npub name: &'static str,\n/// YAML, as `OpenAPI` 3.1 has it.\npub text: &'static str,\n}}\n\n\
         const DOCUMENTS: [Document; {}] = [\n{}];\n\n\
         /// Every document, what the interfaces share first.\npub fn documents() -> &'static [Document] {{\n&DOCUMENTS\n}}\n",
        modules.len(),
        entries.collect::<String>()
    )
}

/// A test for each document that reads every example of every schema as its type.
fn examples(modules: &[Module], checked: &BTreeSet<Named>) -> String {
    let mut tests = String::new();
    for module in modules {
        let mut lines = String::new();
        for Item { name, .. } in module.items.iter().filter(|item| item.in_document) {
            let named = Named {
                module: module.name,
                name: name.clone(),
            };
            let method = if checked.contains(&named) {
                "checked"
            } else {
                "read"
            };
            lines += &format!("examples.{method}::<{}::{name}>({name:?});\n", module.name);
        }
        tests += &format!(
            "#[test]\nfn examples_of_{}_are_values_of_their_types() {{\n\
             let examples = Examples::of({:?});\n{lines}}}\n\n",
            module.name, module.document
        );
    }
    let names: Vec<&str> = modules.iter().map(|module| module.name).collect();
    format!(
        "// Generated by `cargo board generate` from openapi/; edit that.\n\n\
         use mec_api::{{{}}};\n\nuse super::Examples;\n\n{tests}",
        names.join(", ")
    )
}

fn has_rustfmt() -> bool {
    let answer = Command::new("rustfmt").arg("--version").output();
    answer.is_ok_and(|answer| answer.status.success())
}

/// The text as rustfmt writes it.
fn formatted(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("rustfmt");
    command
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.context("rustfmt does not start: install it with `rustup component add rustfmt`")?;
    let mut stdin = child.stdin.take().context("rustfmt takes no input")?;
    // It reads everything before it writes anything, so neither waits for the other.
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("what was generated is not Rust, which is a fault of the generator: {error}");
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The files that are not what they should be.
fn stale(root: &Path, files: &BTreeMap<PathBuf, String>) -> anyhow::Result<Vec<String>> {
    let differs = |(name, text): &(&PathBuf, &String)| {
        std::fs::read_to_string(root.join(name)).ok().as_ref() != Some(text)
    };
    let differing = files
        .iter()
        .filter(differs)
        .map(|(name, _)| name.display().to_string());
    let mut stale: Vec<String> = differing.collect();
    stale.extend(leftovers(root, files)?);
    Ok(stale)
}

/// Generated files that the documents do not have any more.
fn leftovers(root: &Path, files: &BTreeMap<PathBuf, String>) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let folders = MODULES
        .iter()
        .map(|(name, ..)| format!("mec-api/src/{name}"));
    for folder in folders.chain(["mec-api/documents".to_owned()]) {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let name = PathBuf::from(&folder).join(entry?.file_name());
            if !files.contains_key(&name) {
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn what_is_committed_is_what_the_documents_say() {
    if !has_rustfmt() {
        println!("generate: not compared, because rustfmt is not installed");
        return;
    }
    let root = workspace::root();
    let files = files(&root).unwrap();
    assert_eq!(stale(&root, &files).unwrap(), Vec::<String>::new());
}
