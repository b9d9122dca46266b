//! What the rows of a list are made of, said once and statically by whoever serves the list.

use super::path::{AttributePath, Segment};

/// The attributes of a list's rows.
#[derive(Debug, Clone, Copy)]
pub struct ListSchema {
    /// What the rows are, as MEC calls the type; it is named in errors and bound into markers.
    pub name: &'static str,
    /// Their attributes.
    pub attributes: &'static [Attribute],
}

/// One attribute of an object.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// Whether it may be left out.
    pub presence: Presence,
    /// What it holds.
    pub shape: Shape,
}

/// Whether an attribute may be left out of an answer. Simple attributes are never left out, whatever is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Required, or required under some condition: always in the answer if the row has it.
    Required,
    /// In the answer unless a selector says otherwise.
    Optional,
    /// In what MEC 009 calls the default exclude set: in the answer only if a selector asks for it.
    LeftOutByDefault,
}

/// What an attribute holds.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// One simple value.
    Scalar(Scalar),
    /// An array.
    List(&'static Shape),
    /// An object with these attributes.
    Object(&'static [Attribute]),
    /// An object whose members have names of the client's choice.
    Map(&'static Shape),
    /// Structured, and nobody can filter by or select what is inside.
    Opaque,
}

/// What a simple attribute holds; the columns of MEC 009, table 6.19.2-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Any text.
    Text,
    /// A JSON number.
    Number,
    /// A text of RFC 3339, `date-time`.
    DateTime,
    /// One of these texts.
    Enumeration(&'static [&'static str]),
    /// true or false.
    Boolean,
}

/// Why a path leads to nothing that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// No such attribute.
    Unknown,
    /// There is one, and it is not simple.
    Structured,
}

impl Shape {
    /// What one element is, where it is an array (of arrays).
    fn element(&self) -> &Self {
        let mut shape = self;
        while let Self::List(inner) = shape {
            shape = inner;
        }
        shape
    }

    /// The attributes of its objects, if that is what it holds.
    pub(super) fn attributes(&self) -> Option<&'static [Attribute]> {
        match self.element() {
            Self::Object(attributes) => Some(attributes),
            _ => None,
        }
    }
}

impl Attribute {
    /// One that every answer has.
    pub const fn required(name: &'static str, shape: Shape) -> Self {
        let presence = Presence::Required;
        Self {
            name,
            presence,
            shape,
        }
    }
    /// One that selectors can leave out, if it is structured.
    pub const fn optional(name: &'static str, shape: Shape) -> Self {
        let presence = Presence::Optional;
        Self {
            name,
            presence,
            shape,
        }
    }
    /// One of the default exclude set.
    pub const fn left_out(name: &'static str, shape: Shape) -> Self {
        let presence = Presence::LeftOutByDefault;
        Self {
            name,
            presence,
            shape,
        }
    }

    /// Whether selectors can leave it out: only optional structured attributes, arrays among them.
    pub(super) const fn is_selectable(&self) -> bool {
        !matches!(self.presence, Presence::Required) && !matches!(self.shape, Shape::Scalar(_))
    }

    /// Whether it is in the answer only when it is asked for.
    pub(super) const fn is_left_out(&self) -> bool {
        matches!(self.presence, Presence::LeftOutByDefault) && self.is_selectable()
    }
}

pub(super) fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}

impl ListSchema {
    /// The type of a simple attribute, or of the elements of an array of such.
    pub(super) fn scalar(&self, path: &AttributePath) -> Result<Scalar, Miss> {
        let mut shape = Shape::Object(self.attributes);
        for segment in path.segments() {
            shape = match (shape.element(), segment) {
                (Shape::Object(attributes), Segment::Name(name)) => {
                    find(attributes, name).ok_or(Miss::Unknown)?.shape
                }
                (Shape::Map(inner), Segment::Name(_)) => **inner,
                (Shape::Map(_), Segment::Key) => Shape::Scalar(Scalar::Text),
                _ => return Err(Miss::Unknown),
            };
        }
        match shape.element() {
            Shape::Scalar(scalar) => Ok(*scalar),
            _ => Err(Miss::Structured),
        }
    }

    /// The attribute at a path, with the path in the schema's own words.
    pub(super) fn attribute(
        &self,
        path: &AttributePath,
    ) -> Option<(Vec<&'static str>, &'static Attribute)> {
        let mut attributes = self.attributes;
        let mut names = Vec::new();
        for segment in &path.prefix {
            let attribute = Self::named(attributes, segment)?;
            names.push(attribute.name);
            attributes = attribute.shape.attributes()?;
        }
        let attribute = Self::named(attributes, &path.leaf)?;
        names.push(attribute.name);
        Some((names, attribute))
    }

    fn named(attributes: &'static [Attribute], segment: &Segment) -> Option<&'static Attribute> {
        match segment {
            Segment::Name(name) => find(attributes, name),
            Segment::Key => None,
        }
    }
}
