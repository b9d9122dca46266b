//! Bodies: JSON in memory and bounded, everything else as it comes.

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::MediaType;
use crate::Problem;
use crate::check::{Check, Place};
use crate::strict::Strict;

/// The longest JSON taken, in bytes: a hundred times what an application sends, and a thousand at once fit in memory.
pub const MAX_JSON: usize = 64 * 1024;

const MERGE_PATCH: &str = "application/merge-patch+json";

/// A value from its JSON, read as strictly as from the body of a request.
///
/// # Errors
/// 400 when it is not JSON, not of that type, or breaks a rule; the detail begins with the path of the member at fault.
pub fn read_json<T: DeserializeOwned + Check>(json: &[u8]) -> Result<T, Problem> {
    Content::Json(Bytes::copy_from_slice(json)).checked()
}

/// A body whose form is one that the operation takes.
pub(crate) enum Content {
    /// JSON, whole.
    Json(Bytes),
    /// Anything else, not read yet.
    Stream(Body),
    /// The operation takes none; what was sent is left alone.
    None,
}

impl Content {
    /// Takes a body in one of the forms `consumes`; one without a form counts as the first of them.
    ///
    /// # Errors
    /// 415 for another form, 413 for JSON that is too long, 400 when it breaks off or there is none.
    pub async fn take(
        headers: &HeaderMap,
        consumes: &[&'static str],
        body: Body,
    ) -> Result<Self, Problem> {
        let Some(usual) = consumes.first() else {
            return Ok(Self::None);
        };
        let form = form(headers, consumes)?.unwrap_or(usual);
        if form != MediaType::Json.as_str() && form != MERGE_PATCH {
            // Known before anything is read where no length or 0 is announced; every body of the documents is required.
            if body.is_end_stream() {
                return Err(Problem::bad_request(format!(
                    "body: it is empty, {form} is needed"
                )));
            }
            return Ok(Self::Stream(body));
        }
        let announced = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if announced.is_some_and(|length| length.parse().is_ok_and(|it: usize| it > MAX_JSON)) {
            return Err(too_large());
        }
        let whole = Limited::new(body, MAX_JSON).collect().await;
        let whole = whole.map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_large()
            } else {
                Problem::bad_request("the body breaks off")
            }
        })?;
        Ok(Self::Json(whole.to_bytes()))
    }

    /// The body as a value of its type.
    ///
    /// # Errors
    /// 400 when it is not JSON or not of that type; the detail begins with the path of the member at fault.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes: &[u8] = match self {
            Self::Json(bytes) => bytes,
            Self::Stream(_) | Self::None => &[],
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::bad_request("body: it is empty, JSON is needed"));
        }
        if std::str::from_utf8(bytes).is_err() {
            return Err(Problem::bad_request("body: it is not UTF-8"));
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = serde_path_to_error::deserialize(Strict(&mut reader)).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { "body" } else { &path };
            Problem::bad_request(format!("{path}: {}", plain(&error.inner().to_string())))
        })?;
        let end = reader.end();
        end.map_err(|error| Problem::bad_request(format!("body: {}", plain(&error.to_string()))))?;
        Ok(value)
    }

    /// The body as a value of its type, with every rule kept.
    ///
    /// # Errors
    /// 400 as [`Content::json`], and for the first rule that does not hold.
    pub fn checked<T: DeserializeOwned + Check>(&self) -> Result<T, Problem> {
        let value: T = self.json()?;
        match value.check(Place::ROOT) {
            Ok(()) => Ok(value),
            Err(fault) => Err(Problem::bad_request(fault.to_string())),
        }
    }

    /// The body as it comes.
    pub fn stream(self) -> Body {
        match self {
            Self::Stream(body) => body,
            Self::Json(bytes) => Body::from(bytes),
            Self::None => Body::empty(),
        }
    }
}

fn too_large() -> Problem {
    Problem::too_large(format!("a body may have {MAX_JSON} bytes"))
}

/// The form that Content-Type names; nothing when it names none or `*/*`, as the conformance suite of ETSI sends it.
fn form(headers: &HeaderMap, consumes: &[&'static str]) -> Result<Option<&'static str>, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or_default();
    let mut pieces = value.split(';').map(str::trim);
    let name = pieces.next().unwrap_or_default();
    let readable = pieces.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            let charset = charset.trim_matches('"');
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii")
        }
        _ => true,
    });
    if name == "*/*" {
        return Ok(None);
    }
    let known = consumes
        .iter()
        .find(|known| known.eq_ignore_ascii_case(name));
    match known {
        Some(known) if readable => Ok(Some(known)),
        _ => Err(Problem::unsupported(format!(
            "Content-Type: `{}` is not taken, send {}",
            value.escape_debug(),
            consumes.join(" or ")
        ))),
    }
}

/// An error of serde in the words of JSON, for it speaks of fields and of Rust's types.
fn plain(message: &str) -> String {
    let words = [
        ("missing field", "missing member"),
        ("duplicate field", "repeated member"),
        ("unknown variant", "unknown value"),
        ("invalid type: ", ""),
        ("invalid value: ", ""),
    ];
    let said = words.iter().find_map(|(theirs, ours)| {
        let rest = message.strip_prefix(theirs)?;
        Some(format!("{ours}{rest}"))
    });
    let message = said.unwrap_or_else(|| message.to_owned());
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message;
    };
    // What was found is quoted and stays as it is; serde_json ends with the place in the text.
    let (expected, place) = expected.split_once(" at line ").unwrap_or((expected, ""));
    let expected = match expected {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" => "an integer from 0",
        "i64" => "an integer",
        "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let place = if place.is_empty() {
        String::new()
    } else {
        format!(" at line {place}")
    };
    format!("{found}, expected {expected}{place}")
}
