//! Numbers that may have a fraction and mostly have none.

use std::str::FromStr;

use serde::ser::Error;
use serde::{Serialize, Serializer};

/// Writes 64 as `64` and not as `64.0`, which is the same number and reads like a measurement.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives a reference to the member"
)]
pub(crate) fn plain<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let plain = serde_json::Number::from_str(&number.to_string());
    plain.map_err(S::Error::custom)?.serialize(serializer)
}

/// The same for a member that may be left out.
#[allow(clippy::ref_option, reason = "serde gives a reference to the member")]
pub(crate) fn plain_option<S: Serializer>(
    number: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => plain(number, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        plain(&number, serde_json::value::Serializer)
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_whole_number_has_no_fraction() {
        assert_eq!(written(7_340_032.0), "7340032");
        assert_eq!(written(-0.5), "-0.5");
        assert_eq!(written(1e18), "1000000000000000000");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(plain(&f64::NAN, serde_json::value::Serializer).is_err());
    }
}
