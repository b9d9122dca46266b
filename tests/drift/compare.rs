//! Paths, operations, parameters, bodies and answers of two documents, both ways.

mod schema;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Context;
use serde_json::Value;
use umec_tests::document::{Library, Place, escaped};

pub const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// One thing that is not the same.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Difference {
    /// Where, as a pointer into ETSI's document, or into ours for what ETSI's does not have.
    pub place: String,
    pub what: String,
}

struct Comparison<'a> {
    ours: &'a Library,
    theirs: &'a Library,
    /// Named schemas that were compared with each other already.
    seen: HashSet<(String, String)>,
    /// Every `document#pointer` that a reference led to.
    reached: HashSet<String>,
    found: BTreeSet<Difference>,
}

/// All differences between `ours_name` and `theirs_name`.
pub fn documents<'a>(
    ours: &'a Library,
    ours_name: &str,
    theirs: &'a Library,
    theirs_name: &str,
) -> anyhow::Result<BTreeSet<Difference>> {
    let mut comparison = Comparison {
        ours,
        theirs,
        seen: HashSet::new(),
        reached: HashSet::new(),
        found: BTreeSet::new(),
    };
    comparison.paths(ours.root(ours_name)?, theirs.root(theirs_name)?)?;
    comparison.unreached_schemas(ours.root(ours_name)?, theirs.root(theirs_name)?)?;
    Ok(comparison.found)
}

/// The members of an object, by name; nothing where there is no object.
fn members(place: Option<Place<'_>>) -> BTreeMap<&str, Place<'_>> {
    let object = place.and_then(|at| Some((at, at.value.as_object()?)));
    object
        .into_iter()
        .flat_map(|(at, object)| {
            object
                .iter()
                .map(move |(name, it)| (name.as_str(), at.at(it)))
        })
        .collect()
}

/// A path with its parameters' names taken away, because they are not on the wire.
fn nameless(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        if segment.starts_with('{') {
            "{}"
        } else {
            segment
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

type Named<'a> = (&'a str, Place<'a>);

impl<'a> Comparison<'a> {
    fn differ(&mut self, place: String, what: impl Into<String>) {
        let what = what.into();
        self.found.insert(Difference { place, what });
    }

    fn follow(&mut self, library: &'a Library, place: Place<'a>) -> anyhow::Result<Place<'a>> {
        self.mark(place)?;
        library.resolve(place).inspect(|end| {
            if let Some(pointer) = end.pointer {
                self.reached.insert(format!("{}#{pointer}", end.document));
            }
        })
    }

    /// Notes the first hop of a reference: `follow` notes the last.
    fn mark(&mut self, place: Place<'a>) -> anyhow::Result<()> {
        if let Some(reference) = place.value.get("$ref").and_then(Value::as_str) {
            let (file, pointer) = reference.split_once('#').context("a reference has a #")?;
            let file = file.trim_start_matches("./");
            let document = if file.is_empty() {
                place.document
            } else {
                file
            };
            self.reached.insert(format!("{document}#{pointer}"));
        }
        Ok(())
    }

    /// One side has something that the other has not: said once, not again for all that it refers to.
    fn lone(
        &mut self,
        library: &'a Library,
        place: String,
        what: &str,
        it: Place<'a>,
    ) -> anyhow::Result<()> {
        self.differ(place, what);
        let mut open = vec![it];
        while let Some(at) = open.pop() {
            if let Some(reference) = at.value.get("$ref").and_then(Value::as_str) {
                let end = library.find(at.document, reference)?;
                let name = format!("{}#{}", end.document, end.pointer.unwrap_or_default());
                if self.reached.insert(name) {
                    open.push(end);
                }
            }
            match at.value {
                Value::Object(members) => open.extend(members.values().map(|it| at.at(it))),
                Value::Array(items) => open.extend(items.iter().map(|it| at.at(it))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Pairs two maps by key; what has no partner is a difference, what has is returned.
    fn pair(
        &mut self,
        ours: &BTreeMap<String, Named<'a>>,
        theirs: &BTreeMap<String, Named<'a>>,
        place: &str,
    ) -> anyhow::Result<Vec<(Named<'a>, Named<'a>)>> {
        let mut pairs = Vec::new();
        for (key, (name, it)) in theirs {
            let here = format!("{place}/{}", escaped(name));
            match ours.get(key) {
                Some(mine) => pairs.push((*mine, (*name, *it))),
                None => self.lone(self.theirs, here, "ours does not have it", *it)?,
            }
        }
        for (key, (name, it)) in ours {
            if !theirs.contains_key(key) {
                let here = format!("{place}/{}", escaped(name));
                self.lone(self.ours, here, "ETSI's does not have it", *it)?;
            }
        }
        Ok(pairs)
    }

    fn pair_members(
        &mut self,
        ours: Option<Place<'a>>,
        theirs: Option<Place<'a>>,
        place: &str,
    ) -> anyhow::Result<Vec<(Named<'a>, Named<'a>)>> {
        let keyed = |side| {
            let members = members(side).into_iter();
            members
                .map(|(name, it)| (name.to_owned(), (name, it)))
                .collect()
        };
        self.pair(&keyed(ours), &keyed(theirs), place)
    }

    fn paths(&mut self, ours: Place<'a>, theirs: Place<'a>) -> anyhow::Result<()> {
        let keyed = |root: Place<'a>| {
            let paths = members(root.get("paths")).into_iter();
            paths
                .map(|(path, item)| {
                    let renamed = item.value.get("x-etsi-path").and_then(Value::as_str);
                    (nameless(renamed.unwrap_or(path)), (path, item))
                })
                .collect()
        };
        for ((mine, my_item), (path, item)) in self.pair(&keyed(ours), &keyed(theirs), "/paths")? {
            let place = format!("/paths/{}", escaped(path));
            self.path_item((mine, my_item), (path, item), &place)?;
        }
        Ok(())
    }

    fn path_item(
        &mut self,
        (my_path, my_item): Named<'a>,
        (path, item): Named<'a>,
        place: &str,
    ) -> anyhow::Result<()> {
        let operations = |item: Place<'a>| {
            METHODS
                .iter()
                .filter_map(|method| Some(((*method).to_owned(), (*method, item.get(method)?))))
                .collect()
        };
        for ((_, mine), (method, theirs)) in
            self.pair(&operations(my_item), &operations(item), place)?
        {
            let place = format!("{place}/{method}");
            let ours = self.parameters(self.ours, my_path, [my_item, mine])?;
            let expected = self.parameters(self.theirs, path, [item, theirs])?;
            let parameters = format!("{place}/parameters");
            for ((_, mine), (name, theirs)) in self.pair(&ours, &expected, &parameters)? {
                self.parameter(mine, theirs, &format!("{parameters}/{}", escaped(name)))?;
            }
            self.request_body(mine, theirs, &format!("{place}/requestBody"))?;
            self.responses(mine, theirs, &format!("{place}/responses"))?;
            self.callbacks(mine, theirs, &place)?;
        }
        Ok(())
    }

    /// Parameters by place and name; those in the path by their position in it.
    fn parameters(
        &mut self,
        library: &'a Library,
        path: &str,
        levels: [Place<'a>; 2],
    ) -> anyhow::Result<BTreeMap<String, Named<'a>>> {
        let mut all = BTreeMap::new();
        for level in levels {
            let Some(list) = level.get("parameters") else {
                continue;
            };
            for parameter in list.value.as_array().into_iter().flatten() {
                let parameter = self.follow(library, list.at(parameter))?;
                let text = |member| parameter.value.get(member).and_then(Value::as_str);
                let (name, kind) = text("name")
                    .zip(text("in"))
                    .with_context(|| format!("{path}: a parameter without name or in"))?;
                let braced = format!("{{{name}}}");
                let position = path
                    .split('/')
                    .filter(|segment| segment.starts_with('{'))
                    .position(|segment| segment == braced);
                let key = match (kind, position) {
                    ("path", Some(position)) => position.to_string(),
                    ("header", _) => name.to_lowercase(),
                    _ => name.to_owned(),
                };
                all.insert(format!("{kind} {key}"), (name, parameter));
            }
        }
        Ok(all)
    }

    fn parameter(&mut self, ours: Place<'a>, theirs: Place<'a>, place: &str) -> anyhow::Result<()> {
        self.flag("required", ours, theirs, place);
        self.optional_schema(ours, theirs, place)
    }

    fn flag(&mut self, name: &str, ours: Place<'a>, theirs: Place<'a>, place: &str) {
        let set = |side: Place| side.value.get(name).and_then(Value::as_bool) == Some(true);
        if set(ours) != set(theirs) {
            let what = format!("ours says {}, ETSI's {}", set(ours), set(theirs));
            self.differ(format!("{place}/{name}"), what);
        }
    }

    fn optional_schema(
        &mut self,
        ours: Place<'a>,
        theirs: Place<'a>,
        place: &str,
    ) -> anyhow::Result<()> {
        let place = format!("{place}/schema");
        match (ours.get("schema"), theirs.get("schema")) {
            (Some(ours), Some(theirs)) => self.schema(ours, theirs, &place)?,
            (Some(ours), None) => self.lone(self.ours, place, "ETSI's has no schema", ours)?,
            (None, Some(theirs)) => self.lone(self.theirs, place, "ours has no schema", theirs)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn request_body(
        &mut self,
        ours: Place<'a>,
        theirs: Place<'a>,
        place: &str,
    ) -> anyhow::Result<()> {
        match (ours.get("requestBody"), theirs.get("requestBody")) {
            (Some(ours), Some(theirs)) => {
                let ours = self.follow(self.ours, ours)?;
                let theirs = self.follow(self.theirs, theirs)?;
                self.flag("required", ours, theirs, place);
                self.content(ours, theirs, place)
            }
            (Some(ours), None) => self.lone(self.ours, place.into(), "ETSI's has no body", ours),
            (None, Some(theirs)) => {
                self.lone(self.theirs, place.into(), "ours has no body", theirs)
            }
            (None, None) => Ok(()),
        }
    }

    fn content(&mut self, ours: Place<'a>, theirs: Place<'a>, place: &str) -> anyhow::Result<()> {
        let place = format!("{place}/content");
        let (ours, theirs) = (ours.get("content"), theirs.get("content"));
        for ((_, mine), (media, theirs)) in self.pair_members(ours, theirs, &place)? {
            self.optional_schema(mine, theirs, &format!("{place}/{}", escaped(media)))?;
        }
        Ok(())
    }

    fn responses(&mut self, ours: Place<'a>, theirs: Place<'a>, place: &str) -> anyhow::Result<()> {
        let (ours, theirs) = (ours.get("responses"), theirs.get("responses"));
        for ((_, mine), (status, theirs)) in self.pair_members(ours, theirs, place)? {
            let mine = self.follow(self.ours, mine)?;
            let theirs = self.follow(self.theirs, theirs)?;
            self.content(mine, theirs, &format!("{place}/{status}"))?;
        }
        Ok(())
    }

    /// That there are callbacks. ETSI's generator names a member that no subscription has and puts the subscription's
    /// schema where the notification's belongs; the notifications are compared by name, in `unreached_schemas`.
    fn callbacks(&mut self, ours: Place<'a>, theirs: Place<'a>, place: &str) -> anyhow::Result<()> {
        let place = format!("{place}/callbacks");
        match (ours.get("callbacks"), theirs.get("callbacks")) {
            (Some(ours), None) => self.lone(self.ours, place, "ETSI's has none", ours),
            (None, Some(theirs)) => self.lone(self.theirs, place, "ours has none", theirs),
            _ => Ok(()),
        }
    }

    /// Schemas that no operation refers to: by name.
    fn unreached_schemas(&mut self, ours: Place<'a>, theirs: Place<'a>) -> anyhow::Result<()> {
        const SCHEMAS: &str = "/components/schemas";
        let keyed = |root: Place<'a>| -> BTreeMap<String, Named<'a>> {
            let schemas = root.get("components").and_then(|it| it.get("schemas"));
            let schemas = members(schemas).into_iter();
            schemas
                .map(|(name, it)| (name.to_owned(), (name, it)))
                .collect()
        };
        let (mut mine, mut expected) = (keyed(ours), keyed(theirs));
        let reached = |root: Place, name: &str| {
            let name = format!("{}#{SCHEMAS}/{}", root.document, escaped(name));
            self.reached.contains(&name)
        };
        expected.retain(|name, _| !reached(theirs, name));
        let alone: Vec<_> = mine
            .keys()
            .filter(|name| !expected.contains_key(*name) && reached(ours, name))
            .cloned()
            .collect();
        mine.retain(|name, _| !alone.contains(name));
        // Two passes: a schema may be reached through another one that no operation refers to.
        let mut pairs = Vec::new();
        expected.retain(|name, theirs| {
            let partner = mine.remove(name);
            pairs.extend(partner.map(|mine| (mine, *theirs)));
            partner.is_none()
        });
        for ((_, mine), (name, theirs)) in pairs {
            self.schema(mine, theirs, &format!("{SCHEMAS}/{}", escaped(name)))?;
        }
        let reached = |root: Place, name: &str| {
            let name = format!("{}#{SCHEMAS}/{}", root.document, escaped(name));
            self.reached.contains(&name)
        };
        expected.retain(|name, _| !reached(theirs, name));
        mine.retain(|name, _| !reached(ours, name));
        self.pair(&mine, &expected, SCHEMAS).map(drop)
    }
}
