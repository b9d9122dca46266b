//! Spans of time and shares of processors as people read them.

use edged_model::MilliCpus;
use time::OffsetDateTime;
use time::macros::format_description;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in its largest unit, with a second one where that still matters: `5 s`, `3 min`, `2 h 5 min`, `4 d 1 h`.
pub(crate) fn span(seconds: u64) -> String {
    let (unit, name, below, below_name) = match seconds {
        0..MINUTE => return format!("{seconds} s"),
        MINUTE..HOUR => return format!("{} min", seconds / MINUTE),
        HOUR..DAY => (HOUR, "h", MINUTE, "min"),
        _ => (DAY, "d", HOUR, "h"),
    };
    match seconds % unit / below {
        0 => format!("{} {name}", seconds / unit),
        rest => format!("{} {name} {rest} {below_name}", seconds / unit),
    }
}

/// Thousandths of a processor as a share of one: `50.0 %`.
pub(crate) fn share(cpus: MilliCpus) -> String {
    format!("{}.{} %", cpus.0 / 10, cpus.0 % 10)
}

/// UTC as in RFC 3339 with milliseconds, from Unix milliseconds.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        // Beyond the year 9999: a broken clock, shown as it is.
        .unwrap_or_else(|| format!("{unix_ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (90_000, "1 d 1 h"),
            (864_000, "10 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn timestamps_are_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(timestamp(1_798_761_599_001), "2026-12-31T23:59:59.001Z");
    }
}
