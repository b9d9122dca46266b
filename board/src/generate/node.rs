//! YAML with its members in the order of the file, because code is printed in that order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Vec<(String, Node)>),
}

static NULL: Node = Node::Null;

impl Node {
    /// A member; null where there is none.
    pub fn get(&self, name: &str) -> &Node {
        let found = self.members().iter().find(|(known, _)| known == name);
        found.map_or(&NULL, |(_, node)| node)
    }

    /// The members of a mapping; none for anything else.
    pub fn members(&self) -> &[(String, Node)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Node] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether there is something.
    pub fn is_some(&self) -> bool {
        *self != Self::Null
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// The value at a JSON pointer (RFC 6901) below here; null where there is none.
    pub fn at(&self, pointer: &str) -> &Node {
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            node = node.get(&segment.replace("~1", "/").replace("~0", "~"));
        }
        node
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of YAML")
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_bool<E: Error>(self, it: bool) -> Result<Node, E> {
        Ok(Node::Bool(it))
    }
    fn visit_i64<E: Error>(self, it: i64) -> Result<Node, E> {
        Ok(Node::Integer(it))
    }
    fn visit_u64<E: Error>(self, it: u64) -> Result<Node, E> {
        let number = i64::try_from(it);
        number
            .map(Node::Integer)
            .map_err(|_| E::custom("a number above 2^63 has no use here"))
    }
    fn visit_f64<E: Error>(self, it: f64) -> Result<Node, E> {
        Ok(Node::Number(it))
    }
    fn visit_str<E: Error>(self, it: &str) -> Result<Node, E> {
        Ok(Node::Text(it.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let node: Node = serde_saphyr::from_str("{b: 1, a: '1', c: {d/e: [true, null]}}").unwrap();
        let names: Vec<&str> = node
            .members()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["b", "a", "c"]);
        assert_eq!(node.get("b").integer(), Some(1));
        assert_eq!(node.get("a").text(), Some("1"));
        assert_eq!(node.at("/c/d~1e").items(), [Node::Bool(true), Node::Null]);
        assert!(!node.at("/c/nothing").is_some());
    }
}
