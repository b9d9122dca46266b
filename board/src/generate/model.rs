//! What is printed: types and operations, between the documents and the text.

use std::fmt;

/// One interface, or what they share.
#[derive(Debug)]
pub struct Module {
    /// The Rust module.
    pub name: &'static str,
    /// The trait; none for what the interfaces share.
    pub interface: Option<&'static str>,
    /// The document's file name.
    pub document: String,
    /// `info.title` and `info.description`.
    pub about: String,
    /// The path that its own paths are relative to.
    pub base: String,
    /// Its types, in the order of the document.
    pub items: Vec<Item>,
    /// Its operations, in the order of the document.
    pub operations: Vec<Operation>,
}

/// A named type.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name in Rust.
    pub name: String,
    /// What it is.
    pub about: String,
    /// What it is made of.
    pub kind: Kind,
    /// Whether the document has it by this name; else it stands where it is used.
    pub in_document: bool,
}

/// What a named type is made of.
#[derive(Debug, Clone)]
pub enum Kind {
    /// An object.
    Struct {
        /// Its members.
        fields: Vec<Field>,
        /// Members of which one at least has to be there.
        any_of: Vec<String>,
    },
    /// An enumeration: variant and form on the wire.
    Words(Vec<(String, String)>),
    /// One permitted value.
    Word(String),
    /// One of several objects.
    Union {
        /// The member that tells them apart; without it the first that fits counts.
        member: Option<String>,
        /// The alternatives.
        variants: Vec<Variant>,
    },
    /// Another name for a type.
    Alias(Type),
}

/// An alternative.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its type.
    pub named: Named,
    /// The values of the member that tells.
    pub words: Vec<String>,
}

/// A member of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in JSON.
    pub wire: String,
    /// Its name in Rust.
    pub rust: String,
    /// What it is.
    pub about: String,
    /// Its type.
    pub kind: Type,
    /// Whether it has to be there.
    pub required: bool,
    /// What its type does not say.
    pub rules: Vec<Rule>,
}

/// A type that is defined elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its module.
    pub module: &'static str,
    /// Its name there.
    pub name: String,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// A string.
    Text,
    /// A boolean.
    Bool,
    /// A whole number, by its type in Rust.
    Integer(&'static str),
    /// Any number.
    Number,
    /// Anything.
    Any,
    /// Any object.
    Free,
    /// An array.
    List(Box<Type>),
    /// An object whose members have any name and one type.
    Map(Box<Type>),
    /// One object or an array of them.
    OneOrMany(Box<Type>),
    /// A named type.
    Named(Named),
}

impl Type {
    /// The named type inside, if there is one.
    pub fn named(&self) -> Option<&Named> {
        match self {
            Self::List(inner) | Self::Map(inner) | Self::OneOrMany(inner) => inner.named(),
            Self::Named(named) => Some(named),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("String"),
            Self::Bool => f.write_str("bool"),
            Self::Integer(name) => f.write_str(name),
            Self::Number => f.write_str("f64"),
            Self::Any => f.write_str("Value"),
            Self::Free => f.write_str("Map<String, Value>"),
            Self::List(inner) => write!(f, "Vec<{inner}>"),
            Self::Map(inner) => write!(f, "BTreeMap<String, {inner}>"),
            Self::OneOrMany(inner) => write!(f, "OneOrMany<{inner}>"),
            Self::Named(named) => f.write_str(&named.name),
        }
    }
}

/// What a type does not say about its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The least and the most items.
    Items(i64, Option<i64>),
    /// The least and the most, as Rust writes them.
    Range(String, String),
    /// The numbers permitted.
    OneOf(Vec<i64>),
    /// The least and the most characters.
    Length(i64, Option<i64>),
    /// That many decimal digits.
    Digits(i64, i64),
    /// An absolute URI.
    Uri,
    /// A URI or a part of one.
    UriReference,
    /// A UUID.
    Uuid,
}

impl Rule {
    /// The rule as a sentence, where the description of a member usually lacks one.
    pub fn said(&self) -> Option<String> {
        Some(match self {
            Self::Range(least, most) if most.ends_with("MAX") => format!("At least {least}."),
            Self::Range(least, most) => format!("From {least} to {most}."),
            Self::Items(least, None) => format!("{least} or more."),
            Self::Items(least, Some(most)) => format!("{least} to {most} of them."),
            Self::OneOf(known) => {
                let known: Vec<_> = known.iter().map(ToString::to_string).collect();
                format!("One of {}.", known.join(", "))
            }
            _ => return None,
        })
    }
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// `operationId`.
    pub id: String,
    /// The method, in lower case.
    pub method: String,
    /// The path, with its parameters in braces.
    pub path: String,
    /// Summary.
    pub summary: String,
    /// Description; empty when there is none.
    pub about: String,
    /// Everything that is not the body.
    pub parameters: Vec<Parameter>,
    /// The body and its forms.
    pub body: Option<Body>,
    /// The successful answers.
    pub answers: Vec<Answer>,
    /// The statuses of problems.
    pub problems: Vec<u16>,
}

/// A parameter of an operation.
#[derive(Debug)]
pub struct Parameter {
    /// Its name on the wire.
    pub wire: String,
    /// Its name in Rust.
    pub rust: String,
    /// What it is.
    pub about: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a parameter comes from.
#[derive(Debug)]
pub enum Source {
    /// A segment of the path.
    Path,
    /// The query, at most once.
    One(Type),
    /// The query, any number of times.
    Many(Type),
    /// The query; it counts by being there.
    Flag,
    /// If-Match.
    IfMatch,
    /// Another header, as text.
    Header,
}

/// The body of a request.
#[derive(Debug)]
pub struct Body {
    /// The forms taken.
    pub forms: Vec<String>,
    /// Its type when it is JSON; anything else is passed on as it comes.
    pub json: Option<Type>,
    /// Whether its type has rules.
    pub checked: bool,
}

/// A successful answer in one form.
#[derive(Debug)]
pub struct Answer {
    /// The variant.
    pub name: String,
    /// The status.
    pub status: u16,
    /// What it is.
    pub about: String,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its content.
    pub content: Option<Content>,
}

/// A header of an answer.
#[derive(Debug)]
pub struct Header {
    /// Its name on the wire.
    pub wire: String,
    /// Its name in Rust.
    pub rust: String,
    /// What it is.
    pub about: String,
    /// The one value that it has, if there is only one.
    pub constant: Option<String>,
}

/// The content of an answer.
#[derive(Debug)]
pub struct Content {
    /// The variant of `MediaType`.
    pub form: &'static str,
    /// Its type; bytes when it is not JSON.
    pub json: Option<Type>,
    /// Whether selectors may take members away.
    pub selected: bool,
    /// Whether it is kept ready as JSON, and not written for each answer.
    pub prepared: bool,
}
