//! Writing YAML: block style, every text quoted as JSON has it, so that no reader takes a version for a number.

use std::fmt::Write as _;

use serde_json::Value;

/// What is written; maps keep the order they were made in.
#[derive(Debug, Clone)]
pub(super) enum Yaml {
    Map(Vec<(String, Yaml)>),
    List(Vec<Yaml>),
    Scalar(Value),
}

/// A map.
pub(super) fn map<'a>(members: impl IntoIterator<Item = (&'a str, Yaml)>) -> Yaml {
    Yaml::Map(
        members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// A text.
pub(super) fn text(text: impl Into<String>) -> Yaml {
    Yaml::Scalar(Value::String(text.into()))
}

impl From<Value> for Yaml {
    /// A value of the wire, with the names that TOSCA has.
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => Self::Map(
                members
                    .into_iter()
                    .map(|(key, value)| (tosca_name(&key), Self::from(value)))
                    .collect(),
            ),
            scalar => Self::Scalar(scalar),
        }
    }
}

/// `dstIPAddress` as `dst_ip_address`: a run of capitals is one word.
fn tosca_name(name: &str) -> String {
    match name {
        "qCI" | "dSCP" | "tC" => return name.to_ascii_lowercase(),
        "oAuth2Info" => return "oauth2_info".to_owned(),
        _ => {}
    }
    let mut text = String::new();
    let mut chars = name.chars().peekable();
    let mut after_capital = false;
    while let Some(c) = chars.next() {
        let next_is_small = chars.peek().is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && !text.is_empty() && (!after_capital || next_is_small) {
            text.push('_');
        }
        after_capital = c.is_ascii_uppercase();
        text.push(c.to_ascii_lowercase());
    }
    text
}

impl Yaml {
    fn is_empty(&self) -> bool {
        match self {
            Self::Map(members) => members.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Scalar(_) => false,
        }
    }

    /// The document.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Map(members) => {
                for (key, value) in members {
                    out.push_str(&indent);
                    out.push_str(&plain(key));
                    out.push(':');
                    value.write_behind(out, depth + 1);
                }
            }
            Self::List(items) => {
                for item in items {
                    out.push_str(&indent);
                    out.push('-');
                    match item {
                        Self::Map(members) if !members.is_empty() => {
                            // The first member stands behind the dash; its indentation is as wide as "- ".
                            let mut block = String::new();
                            item.write(&mut block, depth + 1);
                            out.push(' ');
                            out.push_str(block.trim_start());
                        }
                        other => other.write_behind(out, depth + 1),
                    }
                }
            }
            Self::Scalar(value) => {
                out.push_str(&indent);
                out.push_str(&quoted(value));
                out.push('\n');
            }
        }
    }

    fn write_behind(&self, out: &mut String, depth: usize) {
        match self {
            Self::Scalar(value) => {
                out.push(' ');
                out.push_str(&quoted(value));
                out.push('\n');
            }
            empty if empty.is_empty() => {
                out.push_str(if matches!(empty, Self::Map(_)) {
                    " {}\n"
                } else {
                    " []\n"
                });
            }
            block => {
                out.push('\n');
                block.write(out, depth);
            }
        }
    }
}

/// A scalar as JSON writes it; JSON leaves some characters bare that YAML 1.2, 5.1 does not take so.
fn quoted(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_control() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}') {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// A key as it is where that is safe, else quoted.
fn plain(key: &str) -> String {
    let safe = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(
            key.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if safe {
        key.to_owned()
    } else {
        quoted(&Value::String(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_wire_become_names_of_tosca() {
        for (wire, tosca) in [
            ("trafficRuleId", "traffic_rule_id"),
            ("dstIPAddress", "dst_ip_address"),
            ("srcMACAddress", "src_mac_address"),
            ("qCI", "qci"),
            ("serName", "ser_name"),
            ("ttl", "ttl"),
        ] {
            assert_eq!(tosca_name(wire), tosca);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = serde_json::json!({
            "version": "1.0", "yes": "no", "list": [{"a": [1, 2]}, [], {}], "text": "a: b #\n\"c\" \u{7f}", "n": 3
        });
        let written = Yaml::from(value.clone()).document();
        let read: Value = crate::yaml::parse("t.yaml", &written).unwrap();
        assert_eq!(read, value, "{written}");
    }
}
