//! Pages (MEC 009, 6.20): where a page begins, the marker that says so, and the Link to the next one.
//!
//! A position is the id of the last row that was given, not a count of rows: rows that come and go between two pages
//! move nobody else. The marker carries it signed, together with the list and the filter that it is for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ring::hmac;

use super::ListParameters;
use super::error::{Excerpt, Parameter, QueryError};
use super::schema::ListSchema;

/// Rows of a page: some tens of kilobytes of packages, filtered and selected in about half a millisecond.
pub const PAGE_ROWS: usize = 100;
/// Bytes of a marker that are looked at: room for an id as long as any that fits the path of a URI.
pub const MARKER_BYTES: usize = 4096;
/// Bytes of an HMAC with SHA-256.
const TAG_BYTES: usize = 32;

/// What a query part cannot have as it is (RFC 3986, appendix A), and what has a meaning between its parameters.
const IN_QUERY: &AsciiSet = &IN_TARGET
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'=')
    .add(b'[')
    .add(b']');
/// What no URI has as it is; a URI that is one already stays what it is.
const IN_TARGET: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The key that markers are signed with. Links survive a restart if the secret does.
pub struct MarkerKey(hmac::Key);

impl std::fmt::Debug for MarkerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MarkerKey")
    }
}

impl MarkerKey {
    /// From a secret that only this box has; 32 random bytes are right.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// The place between two rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Position<'a> {
    after: std::borrow::Cow<'a, str>,
}

impl<'a> Position<'a> {
    /// Right after this row.
    pub(super) fn after(id: &'a str) -> Self {
        Self { after: id.into() }
    }

    /// Whether a row comes after it.
    pub(super) fn is_before(&self, id: &str) -> bool {
        *self.after < *id
    }

    /// The marker for this list and filter.
    pub(super) fn write(
        &self,
        schema: &ListSchema,
        filter: Option<&str>,
        key: &MarkerKey,
    ) -> String {
        let id = self.after.as_bytes();
        let tag = hmac::sign(&key.0, &signed(schema, filter, id));
        URL_SAFE_NO_PAD.encode([tag.as_ref(), id].concat())
    }

    /// # Errors
    /// When the marker was not written here, for this list and this filter.
    pub(super) fn read(
        marker: &str,
        schema: &ListSchema,
        filter: Option<&str>,
        key: &MarkerKey,
    ) -> Result<Self, QueryError> {
        if marker.len() > MARKER_BYTES {
            return Err(QueryError::TooLong {
                parameter: Parameter::NextPage,
                bytes: marker.len(),
                limit: MARKER_BYTES,
            });
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(marker).ok()?;
            let (tag, id) = bytes.split_at_checked(TAG_BYTES)?;
            hmac::verify(&key.0, &signed(schema, filter, id), tag).ok()?;
            let after = String::from_utf8(id.to_vec()).ok()?.into();
            Some(Self { after })
        };
        read().ok_or_else(|| QueryError::Marker {
            marker: Excerpt::of(marker),
        })
    }
}

/// What the signature of a marker is over. The lengths keep one part from passing for the next.
fn signed(schema: &ListSchema, filter: Option<&str>, id: &[u8]) -> Vec<u8> {
    let filter = filter.unwrap_or_default();
    let mut bytes = b"edged list position 1".to_vec();
    for part in [schema.name.as_bytes(), filter.as_bytes(), id] {
        bytes.extend_from_slice(&part.len().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The value of a Link header (RFC 8288) to the page at `marker`, with everything else as it was asked for.
pub(super) fn link(target: &str, parameters: &ListParameters, marker: &str) -> String {
    let ListParameters {
        filter,
        all_fields,
        fields,
        exclude_fields,
        exclude_default,
        nextpage_opaque_marker: _,
        others,
    } = parameters;
    let own = [
        (Parameter::Filter, filter.as_deref()),
        (Parameter::AllFields, all_fields.then_some("")),
        (Parameter::Fields, fields.as_deref()),
        (Parameter::ExcludeFields, exclude_fields.as_deref()),
        (Parameter::ExcludeDefault, exclude_default.then_some("")),
        (Parameter::NextPage, Some(marker)),
    ];
    let own = own
        .into_iter()
        .filter_map(|(parameter, value)| Some((parameter.name(), value?)));
    let query: Vec<String> = others
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain(own)
        .map(|(name, value)| {
            let is_flag = value.is_empty();
            let value = utf8_percent_encode(value, IN_QUERY);
            if is_flag {
                name.to_owned()
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    let target = utf8_percent_encode(target, IN_TARGET);
    format!("<{target}?{}>; rel=\"next\"", query.join("&"))
}
