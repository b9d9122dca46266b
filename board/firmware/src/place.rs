//! Places for keys in what is compiled without them.

use anyhow::{Context, bail};

/// Bytes that stand where something else belongs, and nowhere else in the program.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What belongs there, for messages.
    pub what: &'static str,
    /// The bytes that stand there.
    pub marker: Vec<u8>,
    /// How many zeros follow them that belong to the place too.
    pub room: usize,
}

impl Place {
    /// The place as it is compiled in.
    pub fn empty(&self) -> Vec<u8> {
        let mut bytes = self.marker.clone();
        bytes.resize(self.marker.len() + self.room, 0);
        bytes
    }

    /// Fills the place in a program; what is left of it is zero.
    ///
    /// # Errors
    /// The program does not have exactly one such place, or the content is larger.
    pub fn fill(&self, program: &mut [u8], content: &[u8]) -> anyhow::Result<()> {
        let empty = self.empty();
        let mut found = program
            .windows(self.marker.len())
            .enumerate()
            .filter(|(_, window)| *window == self.marker.as_slice())
            .map(|(start, _)| start);
        let (Some(start), None) = (found.next(), found.next()) else {
            bail!(
                "the program does not have exactly one place for {}",
                self.what
            );
        };
        let place = program
            .get_mut(start..start + empty.len())
            .filter(|place| **place == *empty)
            .with_context(|| format!("the place for {} is not empty", self.what))?;
        let Some((used, rest)) = place.split_at_mut_checked(content.len()) else {
            bail!(
                "{} has {} bytes and its place {}; make the place larger",
                self.what,
                content.len(),
                empty.len()
            );
        };
        used.copy_from_slice(content);
        rest.fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_filled_once_and_only_where_it_is() {
        let place = Place {
            what: "a test",
            marker: b"here".to_vec(),
            room: 4,
        };
        let mut program = b"abhere\0\0\0\0yz".to_vec();
        place.fill(&mut program, b"123456").unwrap();
        assert_eq!(program, b"ab123456\0\0yz");
        let error = place.fill(&mut program, b"1").unwrap_err().to_string();
        assert!(error.contains("a test"), "{error}");
        for wrong in ["here\0\0\0\0here\0\0\0\0", "here\0\0\0x", "here\0\0"] {
            assert!(place.fill(&mut wrong.as_bytes().to_vec(), b"1").is_err());
        }
        let large = place.fill(&mut b"here\0\0\0\0".to_vec(), b"123456789");
        assert!(large.is_err());
    }
}
