//! What the types alone do not say: lengths, ranges, forms and combinations.
//!
//! A generated `impl Check` walks a body and stops at the first member that does not fit. [`Place`] is that member's
//! path; the two together are the sentence of a 400.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use crate::OneOrMany;

/// A type with rules of its own, or with members that have some.
pub trait Check {
    /// Whether all rules hold.
    ///
    /// # Errors
    /// The first one that does not, and where.
    fn check(&self, at: Place<'_>) -> Result<(), Fault>;
}

/// A member that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {rule}")]
pub struct Fault {
    path: String,
    rule: String,
}

/// A place in a JSON document, kept on the stack and written out only for a fault.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Item(usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) if self.parent.is_some_and(Place::is_named) => write!(f, ".{name}"),
            Step::Member(name) => f.write_str(name),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'a> Place<'a> {
    /// The whole body.
    pub const ROOT: Place<'static> = Place {
        parent: None,
        step: Step::Root,
    };

    /// A member of the object here.
    #[must_use]
    pub fn member(&'a self, name: &'a str) -> Self {
        let step = Step::Member(name);
        Self {
            parent: Some(self),
            step,
        }
    }

    /// An item of the array here.
    #[must_use]
    pub fn item(&'a self, index: usize) -> Self {
        let step = Step::Item(index);
        Self {
            parent: Some(self),
            step,
        }
    }

    fn is_named(&self) -> bool {
        !matches!(self.step, Step::Root)
    }

    /// What does not fit here.
    pub fn fault(&self, rule: impl Into<String>) -> Fault {
        Fault {
            path: if self.is_named() {
                self.to_string()
            } else {
                "body".to_owned()
            },
            rule: rule.into(),
        }
    }

    /// How many items a list has.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn items(&self, bounds: RangeInclusive<usize>, list: &impl Items) -> Result<(), Fault> {
        match list.count() {
            Some(count) if !bounds.contains(&count) => {
                Err(self.fault(format!("{count} items where {} are taken", Bounds(&bounds))))
            }
            _ => Ok(()),
        }
    }

    /// How large a number is.
    ///
    /// # Errors
    /// When it is smaller or larger.
    pub fn range<N: PartialOrd + fmt::Display>(
        &self,
        bounds: RangeInclusive<N>,
        number: impl Into<Option<N>>,
    ) -> Result<(), Fault> {
        match number.into() {
            Some(number) if !bounds.contains(&number) => Err(self.fault(format!(
                "{number} is not between {} and {}",
                bounds.start(),
                bounds.end()
            ))),
            _ => Ok(()),
        }
    }

    /// The numbers permitted.
    ///
    /// # Errors
    /// When it is another one.
    pub fn one_of<N: PartialEq + fmt::Display>(
        &self,
        known: &[N],
        number: impl Into<Option<N>>,
    ) -> Result<(), Fault> {
        match number.into() {
            Some(number) if !known.contains(&number) => {
                let known: Vec<_> = known.iter().map(ToString::to_string).collect();
                Err(self.fault(format!("{number} is not one of {}", known.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// How many characters a text has.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn length(&self, bounds: RangeInclusive<usize>, text: &impl Text) -> Result<(), Fault> {
        let length = text.text().map(|text| text.chars().count());
        match length {
            Some(length) if !bounds.contains(&length) => Err(self.fault(format!(
                "{length} characters where {} are taken",
                Bounds(&bounds)
            ))),
            _ => Ok(()),
        }
    }

    /// Decimal digits and nothing else.
    ///
    /// # Errors
    /// When there is something else, or there are fewer or more.
    pub fn digits(&self, bounds: RangeInclusive<usize>, text: &impl Text) -> Result<(), Fault> {
        let fits = |text: &str| {
            bounds.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        match text.text() {
            Some(text) if !fits(text) => Err(self.fault(format!(
                "`{}` is not {} decimal digits",
                text.escape_debug(),
                Bounds(&bounds)
            ))),
            _ => Ok(()),
        }
    }

    /// A URI with its scheme (RFC 3986, section 3).
    ///
    /// # Errors
    /// When it has no scheme, or a character that a URI has not.
    pub fn uri(&self, text: &impl Text) -> Result<(), Fault> {
        let fits = |text: &str| {
            text.split_once(':')
                .is_some_and(|(scheme, _)| is_scheme(scheme))
                && is_uri_text(text)
        };
        match text.text() {
            Some(text) if !fits(text) => {
                Err(self.fault(format!("`{}` is not a URI", text.escape_debug())))
            }
            _ => Ok(()),
        }
    }

    /// A URI, or a part of one that is relative to another (RFC 3986, section 4.1).
    ///
    /// # Errors
    /// When there is a character that a URI has not.
    pub fn uri_reference(&self, text: &impl Text) -> Result<(), Fault> {
        match text.text() {
            Some(text) if !is_uri_text(text) => {
                Err(self.fault(format!("`{}` is not a URI reference", text.escape_debug())))
            }
            _ => Ok(()),
        }
    }

    /// A UUID in its usual form (RFC 9562, section 4).
    ///
    /// # Errors
    /// When it has another form.
    pub fn uuid(&self, text: &impl Text) -> Result<(), Fault> {
        let fits = |text: &str| {
            let groups: Vec<&str> = text.split('-').collect();
            groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
                && text
                    .bytes()
                    .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        };
        match text.text() {
            Some(text) if !fits(text) => {
                Err(self.fault(format!("`{}` is not a UUID", text.escape_debug())))
            }
            _ => Ok(()),
        }
    }

    /// Whether one of several members is there.
    ///
    /// # Errors
    /// When none is.
    pub fn any_of(&self, members: &[(&str, bool)]) -> Result<(), Fault> {
        if members.iter().any(|(_, there)| *there) {
            return Ok(());
        }
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        Err(self.fault(format!("one of {} is needed", names.join(", "))))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Only characters of RFC 3986, section 2, and whole percent escapes.
fn is_uri_text(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let whole = |rest: &str| {
        let mut digits = rest.bytes().take(2);
        digits.len() == 2 && digits.all(|digit| digit.is_ascii_hexdigit())
    };
    text.bytes().all(known) && text.split('%').skip(1).all(whole)
}

/// Bounds as a person says them.
struct Bounds<'a>(&'a RangeInclusive<usize>);

impl fmt::Display for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self.0.start(), *self.0.end()) {
            (least, usize::MAX) => write!(f, "{least} or more"),
            (least, most) if least == most => write!(f, "{least}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// Something that may hold text.
pub trait Text {
    /// The text, if there is one.
    fn text(&self) -> Option<&str>;
}

impl Text for String {
    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Text for Option<String> {
    fn text(&self) -> Option<&str> {
        self.as_deref()
    }
}

/// Something that may hold a list.
pub trait Items {
    /// How many items, if there is a list.
    fn count(&self) -> Option<usize>;
}

impl<T> Items for Vec<T> {
    fn count(&self) -> Option<usize> {
        Some(self.len())
    }
}

/// One object is not a list.
impl<T> Items for OneOrMany<T> {
    fn count(&self) -> Option<usize> {
        match self {
            Self::One(_) => None,
            Self::Many(many) => Some(many.len()),
        }
    }
}

impl<T: Items> Items for Option<T> {
    fn count(&self) -> Option<usize> {
        self.as_ref().and_then(T::count)
    }
}

impl<T: Check> Check for Option<T> {
    fn check(&self, at: Place<'_>) -> Result<(), Fault> {
        self.as_ref().map_or(Ok(()), |it| it.check(at))
    }
}

impl<T: Check> Check for Vec<T> {
    fn check(&self, at: Place<'_>) -> Result<(), Fault> {
        let mut items = self.iter().enumerate();
        items.try_for_each(|(index, item)| item.check(at.item(index)))
    }
}

impl<T: Check> Check for BTreeMap<String, T> {
    fn check(&self, at: Place<'_>) -> Result<(), Fault> {
        let mut members = self.iter();
        members.try_for_each(|(name, member)| member.check(at.member(name)))
    }
}

impl<T: Check> Check for OneOrMany<T> {
    fn check(&self, at: Place<'_>) -> Result<(), Fault> {
        match self {
            Self::One(one) => one.check(at),
            Self::Many(many) => many.check(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_member_by_its_path() {
        let rules = Place::ROOT.member("trafficFilter");
        let rule = rules.item(2);
        let fault = rule.member("dSCP").range(0..=63, Some(64)).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "trafficFilter[2].dSCP: 64 is not between 0 and 63"
        );
    }

    #[test]
    fn what_is_absent_breaks_no_rule() {
        let at = Place::ROOT.member("x");
        assert_eq!(at.range(1..=2, None::<u8>), Ok(()));
        assert_eq!(at.items(1..=2, &None::<Vec<u8>>), Ok(()));
        assert_eq!(at.digits(1..=2, &None::<String>), Ok(()));
    }

    #[test]
    fn a_uri_has_a_scheme_and_a_reference_need_not() {
        let at = Place::ROOT;
        let uri = |text: &str| at.uri(&text.to_owned()).is_ok();
        assert!(uri("http://10.86.0.2:8080/a%20b"));
        assert!(!uri("/relative"));
        assert!(!uri("http://a b"));
        assert!(!uri("http://a/%2"));
        assert!(!uri("1http://a"));
        assert!(at.uri_reference(&"/relative".to_owned()).is_ok());
        assert!(at.uri_reference(&"/b\u{e4}r".to_owned()).is_err());
    }

    #[test]
    fn bounds_are_said_as_people_say_them() {
        let at = Place::ROOT.member("x");
        let said = |bounds| at.items(bounds, &Vec::<u8>::new()).unwrap_err().to_string();
        assert_eq!(said(1..=usize::MAX), "x: 0 items where 1 or more are taken");
        assert_eq!(said(2..=3), "x: 0 items where 2 to 3 are taken");
    }

    #[test]
    fn digits_are_ascii_digits() {
        let at = Place::ROOT;
        assert!(at.digits(1..=15, &"20000000".to_owned()).is_ok());
        assert!(at.digits(1..=15, &"2\u{661}".to_owned()).is_err());
        assert!(at.digits(1..=15, &String::new()).is_err());
    }
}
