//! The documents of openapi/ and the references between them.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::node::Node;

/// All documents, by the name of their file.
pub struct Library(Vec<(String, Node)>);

/// A value and the document in which its references are relative.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The document's file name.
    pub document: &'a str,
    /// The value.
    pub node: &'a Node,
}

impl<'a> Place<'a> {
    /// Another value of the same document.
    pub fn at(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    /// A member; null where there is none.
    pub fn get(self, name: &str) -> Self {
        self.at(self.node.get(name))
    }
}

impl Library {
    /// Reads every YAML file of a folder.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut documents = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let own = path.file_name().is_some_and(|name| name == super::OWN);
            if !own && path.extension().is_some_and(|it| it == "yaml") {
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| path.display().to_string())?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                documents.push((
                    name.into_owned(),
                    parse(&text).with_context(|| path.display().to_string())?,
                ));
            }
        }
        documents.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self(documents))
    }

    /// Documents from their texts.
    #[cfg(test)]
    pub fn of(documents: &[(&str, &str)]) -> Self {
        let parsed = documents
            .iter()
            .map(|(name, text)| ((*name).to_owned(), parse(text).unwrap()));
        Self(parsed.collect())
    }

    /// The names of the documents, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A whole document.
    pub fn root<'a>(&'a self, name: &str) -> anyhow::Result<Place<'a>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (document, node) = found.with_context(|| format!("there is no {name} in openapi/"))?;
        Ok(Place { document, node })
    }

    /// Where a reference leads: the document and the pointer.
    pub fn target<'a>(
        &'a self,
        from: Place<'a>,
        reference: &'a str,
    ) -> anyhow::Result<(&'a str, &'a str)> {
        let (file, pointer) = reference
            .split_once('#')
            .with_context(|| format!("{}: the reference {reference} has no #", from.document))?;
        let file = file.trim_start_matches("./");
        let document = if file.is_empty() {
            from.document
        } else {
            self.root(file)?.document
        };
        Ok((document, pointer))
    }

    /// Follows references until there is none.
    pub fn resolve<'a>(&'a self, place: Place<'a>) -> anyhow::Result<Place<'a>> {
        let mut at = place;
        // A chain longer than this goes in a circle.
        for _ in 0..16 {
            let Some(reference) = at.node.get("$ref").text() else {
                return Ok(at);
            };
            let (document, pointer) = self.target(at, reference)?;
            let root = self.root(document)?;
            at = root.at(root.node.at(pointer));
            ensure!(
                at.node.is_some(),
                "{}: {reference} leads nowhere",
                place.document
            );
        }
        bail!("{}: references go in a circle", place.document)
    }
}

fn parse(text: &str) -> anyhow::Result<Node> {
    Ok(serde_saphyr::from_str(text)?)
}
