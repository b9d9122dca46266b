//! Numbers that look drawn by chance and are the same for the same seed.

use std::time::Duration;

/// `SplitMix64`: the increment of Weyl's sequence and the two multipliers of its mixer, as its authors give them (Steele, Lea,
/// Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// The stream of one cut: it depends on the seed, the lane and the number alone.
    pub fn of(seed: u64, lane: &str, number: u32) -> Self {
        let mut draw = Self(seed ^ u64::from(number).wrapping_mul(STEP));
        for byte in lane.bytes() {
            draw.0 = draw.number() ^ u64::from(byte);
        }
        draw
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(MIX[0]);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(MIX[1]);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// One of several; none of none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        all.get(usize::try_from(self.below(count)).ok()?)
    }

    /// A time from none to `longest`, to the millisecond.
    pub fn time(&mut self, longest: Duration) -> Duration {
        let end = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(end + 1))
    }

    /// Once in so many.
    pub fn once_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}
