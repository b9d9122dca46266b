//! PAX extended headers (POSIX.1-2017 pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`, again and again.

use crate::UnpackError;
use crate::error::Shown;

/// Nanoseconds have nine digits.
const NANO_DIGITS: u32 = 9;

/// Extended attributes on one entry: real ones have one or two, and each is compared with those before it.
const XATTR_COUNT: usize = 64;

/// A moment: seconds since 1970 and the nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    pub seconds: i64,
    pub nanos: u32,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// What extension records say of the entry after them.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<Moment>,
    pub xattrs: Vec<Xattr>,
    pub sparse: bool,
    /// A PAX header was read: a second one for the same entry would have to be merged by rules writers disagree on.
    pub pax: bool,
}

impl Extension {
    /// Reads the records of one PAX header that began at byte `at` of the archive.
    pub(crate) fn read_pax(&mut self, mut data: &[u8], at: u64) -> Result<(), UnpackError> {
        self.pax = true;
        while !data.is_empty() {
            let (key, value, rest) =
                record(data).ok_or(bad(at, "a record's length and content differ"))?;
            data = rest;
            if value.is_empty() && !key.starts_with(XATTR) {
                continue; // POSIX: an empty value takes back what an earlier header said
            }
            self.set(key, value, at)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<(), UnpackError> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => {
                let size = integer(value).and_then(|size| u64::try_from(size).ok());
                self.size = Some(size.ok_or(bad(at, "the size is no number"))?);
            }
            b"uid" => self.uid = Some(integer(value).ok_or(bad(at, "the owner is no number"))?),
            b"gid" => self.gid = Some(integer(value).ok_or(bad(at, "the group is no number"))?),
            b"mtime" => {
                self.mtime =
                    Some(moment(value).ok_or(bad(at, "the modification time is no time"))?);
            }
            _ if key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.retain(|known| known.name != name);
                    if self.xattrs.len() >= XATTR_COUNT {
                        return Err(bad(at, "it has more than 64 extended attributes"));
                    }
                    self.xattrs.push(Xattr {
                        name: name.to_vec(),
                        value: value.to_vec(),
                    });
                }
                // Everything else (access times, names of users, comments, writers' own) has no meaning here.
            }
        }
        Ok(())
    }
}

/// The prefix of the keys that carry extended attributes.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// A global header would change every later entry: nothing but its comment is taken.
pub(crate) fn check_global(mut data: &[u8], at: u64) -> Result<(), UnpackError> {
    while !data.is_empty() {
        let (key, _, rest) = record(data).ok_or(bad(at, "a record's length and content differ"))?;
        if key != b"comment" {
            return Err(bad(at, "a global header may carry a comment only"));
        }
        data = rest;
    }
    Ok(())
}

/// What an image may bring of extended attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XattrRule {
    /// `user.*`, and `security.capability`, which is worth no more than the user namespace the container is in.
    Keep,
    /// The building machine's labels, lists and quarantine marks: they mean nothing here.
    Drop,
    /// Overlayfs' own (`trusted.overlay.*`, `user.overlay.*`) would forge whiteouts and redirects; the rest is unknown.
    Refuse,
}

impl XattrRule {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b"security.capability" => Self::Keep,
            b"security.selinux" | b"system.posix_acl_access" | b"system.posix_acl_default" => {
                Self::Drop
            }
            _ if name.starts_with(b"com.apple.") => Self::Drop,
            _ if name.starts_with(b"user.overlay.") || name == b"user." || name.contains(&0) => {
                Self::Refuse
            }
            _ if name.starts_with(b"user.") => Self::Keep,
            _ => Self::Refuse,
        }
    }
}

/// Splits off one record: its key, its value, and what comes after it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(integer(data.get(..blank)?)?).ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let body = record.get(blank.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    (!key.is_empty()).then_some((key, value.get(1..)?, rest))
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`; digits past the ninth are cut off.
fn moment(text: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = (0..NANO_DIGITS)
        .zip(fraction.bytes().chain(std::iter::repeat(b'0')))
        .fold(0_u32, |nanos, (_, digit)| {
            nanos * 10 + u32::from(digit - b'0')
        });
    if whole.starts_with('-') && nanos > 0 {
        return Some(Moment {
            seconds: seconds.checked_sub(1)?,
            nanos: 1_000_000_000 - nanos,
        });
    }
    Some(Moment { seconds, nanos })
}

fn bad(at: u64, reason: &'static str) -> UnpackError {
    UnpackError::BadExtension { at, reason }
}

/// Judges and measures the attributes an entry brings: those to keep, and how many are dropped.
pub(crate) fn judge(
    xattrs: Vec<Xattr>,
    path: &Shown,
    limit: usize,
) -> Result<(Vec<Xattr>, u64), UnpackError> {
    let mut kept = Vec::new();
    let (mut bytes, mut dropped) = (0_usize, 0_u64);
    for Xattr { name, value } in xattrs {
        match XattrRule::of(&name) {
            XattrRule::Refuse => {
                return Err(UnpackError::ForbiddenXattr {
                    path: path.clone(),
                    name: Shown::new(&name),
                });
            }
            XattrRule::Drop => dropped = dropped.saturating_add(1),
            XattrRule::Keep => {
                bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
                if bytes > limit {
                    return Err(UnpackError::XattrsTooLong {
                        path: path.clone(),
                        limit,
                    });
                }
                kept.push(Xattr { name, value });
            }
        }
    }
    Ok((kept, dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_signs_and_fractions() {
        assert_eq!(
            moment(b"12.5"),
            Some(Moment {
                seconds: 12,
                nanos: 500_000_000
            })
        );
        assert_eq!(
            moment(b"-1.25"),
            Some(Moment {
                seconds: -2,
                nanos: 750_000_000
            })
        );
        assert_eq!(
            moment(b"7.1234567891"),
            Some(Moment {
                seconds: 7,
                nanos: 123_456_789
            })
        );
        for bad in [&b""[..], b".", b"1.x", b"1.-5", b"soon", b"\xff"] {
            assert_eq!(moment(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn a_record_that_lies_about_its_length_is_refused() {
        for bad in [
            &b"11 path=a\n"[..],
            b"8 path=a\n",
            b"9 path=a",
            b"path=a\n",
            b"-9 path=a\n",
            b"6 =ab\n",
            b"5 ab\n",
        ] {
            assert!(
                Extension::default().read_pax(bad, 0).is_err(),
                "{bad:?} was taken"
            );
        }
        let mut extension = Extension::default();
        extension
            .read_pax(b"9 path=a\n15 path=\xff\xfe=b\nc\n", 0)
            .unwrap();
        assert_eq!(extension.path.unwrap(), b"\xff\xfe=b\nc");
    }

    #[test]
    fn overlay_marks_cannot_be_brought() {
        for name in [
            &b"trusted.overlay.opaque"[..],
            b"user.overlay.redirect",
            b"security.ima",
            b"",
            b"user.",
            b"user.a\0",
        ] {
            assert_eq!(XattrRule::of(name), XattrRule::Refuse, "{name:?}");
        }
    }
}
