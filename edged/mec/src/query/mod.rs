//! Lists as MEC 009 has them: attribute selectors (6.18), attribute-based filters (6.19) and pages (6.20).
//!
//! A handler gives what a client asked for, its rows and the [`ListSchema`] that describes them to [`list`], and gets
//! a page or one sentence for a 400. Pure: no I/O, no clock, no state; no input makes it panic.
//!
//! Invariants: an attribute that the schema calls required is in every answer; a row that is there from the first page
//! to the last and matches is in exactly one page; nothing of a request is looked at before its length is.
//!
//! Where MEC 009 leaves a choice: an attribute that a row lacks (or that is null) satisfies no operator, `neq` and
//! `nin` neither; texts are compared by code point, with case; members of a map are named by their key.

mod error;
mod expression;
mod filter;
mod paging;
mod path;
mod schema;
pub mod schemas;
mod selection;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use error::{Excerpt, Parameter, QueryError};
pub use expression::{EXPRESSIONS, FILTER_BYTES, Operator, VALUES};
pub use paging::{MARKER_BYTES, MarkerKey, PAGE_ROWS};
pub use path::{AttributePath, PATH_SEGMENTS};
pub use schema::{Attribute, ListSchema, Presence, Scalar, Shape};
pub use selection::{SELECTOR_BYTES, SELECTORS};

use filter::Filter;
use paging::Position;
use selection::Selection;

/// The query parameters of a list, percent-decoded, as the generated requests have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListParameters {
    /// `filter`: conditions on attributes, all of which have to hold.
    pub filter: Option<String>,
    /// `all_fields`: whether it is there.
    pub all_fields: bool,
    /// `fields`: optional structured attributes to keep.
    pub fields: Option<String>,
    /// `exclude_fields`: optional structured attributes to leave out.
    pub exclude_fields: Option<String>,
    /// `exclude_default`: whether it is there.
    pub exclude_default: bool,
    /// `nextpage_opaque_marker`: from the Link of the page before.
    pub nextpage_opaque_marker: Option<String>,
    /// Parameters that only this list has; they are carried over into the Link and otherwise the handler's business.
    pub others: Vec<(&'static str, String)>,
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What the list is in the order of. Unique in the list, and the same as long as the row exists.
    pub id: String,
    /// The whole representation, an object.
    pub value: Value,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The body: at most [`PAGE_ROWS`] rows in the order of their ids.
    pub items: Vec<Value>,
    /// The value of the Link header; `None` on the last page.
    pub link: Option<String>,
}

/// The page of `rows` that `parameters` ask for. `target` is the list's own path or URI, without query; the Link of
/// the next page is made from it. `rows` come in any order.
///
/// # Errors
/// When a parameter does not fit MEC 009 or the schema; the message is the detail of a 400.
pub fn list(
    schema: &ListSchema,
    parameters: &ListParameters,
    rows: impl IntoIterator<Item = Row>,
    target: &str,
    key: &MarkerKey,
) -> Result<Page, QueryError> {
    page(schema, parameters, rows, target, key, PAGE_ROWS)
}

fn page(
    schema: &ListSchema,
    parameters: &ListParameters,
    rows: impl IntoIterator<Item = Row>,
    target: &str,
    key: &MarkerKey,
    size: usize,
) -> Result<Page, QueryError> {
    let text = parameters.filter.as_deref();
    let filter = text.map(|text| Filter::parse(text, schema)).transpose()?;
    let selection = Selection::parse(parameters, schema)?;
    let marker = parameters.nextpage_opaque_marker.as_deref();
    let position = marker
        .map(|marker| Position::read(marker, schema, text, key))
        .transpose()?;

    let mut rows: Vec<Row> = rows
        .into_iter()
        .filter(|row| {
            position
                .as_ref()
                .is_none_or(|position| position.is_before(&row.id))
        })
        .filter(|row| {
            filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&row.value))
        })
        .collect();
    rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let is_last = rows.len() <= size;
    rows.truncate(size);
    let end = rows.last().filter(|_| !is_last);
    let link = end.map(|row| {
        let marker = Position::after(&row.id).write(schema, text, key);
        paging::link(target, parameters, &marker)
    });
    let items = rows
        .into_iter()
        .map(|mut row| {
            selection.apply(&mut row.value, schema);
            row.value
        })
        .collect();
    Ok(Page { items, link })
}
