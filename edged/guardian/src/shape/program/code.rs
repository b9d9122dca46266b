//! A program of the classic packet filter while it is written: from its end to its beginning, because whoever writes a
//! branch then knows both places that it leads to.

/// Load a half word from a place of the frame (linux/filter.h, as all codes here).
pub const LOAD_HALF: u16 = 0x28;
/// Load a word.
pub const LOAD_WORD: u16 = 0x20;
/// Load a byte.
pub const LOAD_BYTE: u16 = 0x30;
/// Load a half word behind the index.
pub const LOAD_HALF_INDEXED: u16 = 0x48;
/// Load a byte behind the index.
pub const LOAD_BYTE_INDEXED: u16 = 0x50;
/// Load a number.
pub const LOAD_NUMBER: u16 = 0x00;
/// Load from the scratch memory.
pub const LOAD_SCRATCH: u16 = 0x60;
/// Store into the scratch memory.
pub const STORE_SCRATCH: u16 = 0x02;
/// Make the index a number.
pub const INDEX: u16 = 0x01;
/// Make the index the length of the IPv4 header at a place.
pub const INDEX_IPV4_HEADER: u16 = 0xb1;
/// Add the index.
pub const ADD_INDEX: u16 = 0x0c;
/// Add a number.
pub const ADD: u16 = 0x04;
/// Shift to the left.
pub const SHIFT: u16 = 0x64;
/// Make the index what is loaded.
pub const TO_INDEX: u16 = 0x07;
/// Go on elsewhere.
pub const JUMP: u16 = 0x05;
/// Whether what is loaded equals a number.
pub const EQUAL: u16 = 0x15;
/// Whether it is greater.
pub const GREATER: u16 = 0x25;
/// Whether it is greater or equal.
pub const AT_LEAST: u16 = 0x35;
/// Whether it shares a bit.
pub const SHARES: u16 = 0x45;
/// Answer with a number.
pub const ANSWER: u16 = 0x06;

/// A branch reaches 255 instructions; one is kept for the jump that the other side may need.
const REACH: usize = 254;

/// One end of a range.
#[derive(Clone, Copy)]
enum Bound {
    Lowest,
    Highest,
}

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy)]
pub struct Label(usize);

/// A program that is being written, its last instruction first.
#[derive(Default)]
pub struct Code(Vec<(u16, u8, u8, u32)>);

impl Code {
    /// The instruction written last, which is the first to be done.
    pub fn here(&self) -> Label {
        Label(self.0.len())
    }

    /// One instruction that leads to the one written before it.
    pub fn push(&mut self, code: u16, value: u32) -> Label {
        self.0.push((code, 0, 0, value));
        self.here()
    }

    /// How many instructions the next one would have to pass over to come to a label.
    fn distance(&self, to: Label) -> usize {
        self.0.len() - to.0
    }

    /// A label within reach that leads to another.
    fn near(&mut self, to: Label) -> Label {
        if self.distance(to) <= REACH {
            return to;
        }
        self.jump(to)
    }

    /// Goes on at a label.
    pub fn jump(&mut self, to: Label) -> Label {
        let distance = u32::try_from(self.distance(to)).unwrap_or(u32::MAX);
        self.push(JUMP, distance)
    }

    /// Goes on at one of two labels.
    pub fn branch(&mut self, code: u16, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let offset = |to| u8::try_from(self.distance(to)).unwrap_or(u8::MAX);
        self.0.push((code, offset(yes), offset(no), value));
        self.here()
    }

    /// Whether what is loaded is one of several.
    pub fn one_of(&mut self, values: &[u32], yes: Label, no: Label) -> Label {
        let mut other = no;
        for value in values {
            other = self.branch(EQUAL, *value, yes, other);
        }
        other
    }

    /// Whether what is loaded lies between two numbers.
    pub fn between(&mut self, first: u32, last: u32, yes: Label, no: Label) -> Label {
        if first == last {
            return self.branch(EQUAL, first, yes, no);
        }
        let below = self.branch(GREATER, last, no, yes);
        self.branch(AT_LEAST, first, below, no)
    }

    /// Whether the words at a place of the frame lie within a range, given as pairs of its ends.
    pub fn within(&mut self, place: u32, range: &[(u32, u32)], yes: Label, no: Label) -> Label {
        let Some((&(first, last), rest)) = range.split_first() else {
            return yes;
        };
        if range.iter().all(|ends| *ends == (0, u32::MAX)) {
            return yes;
        }
        if first == last {
            let next = self.within(place + 4, rest, yes, no);
            self.branch(EQUAL, first, next, no);
            return self.push(LOAD_WORD, place);
        }
        // Between the ends everything is right; on an end the following words decide.
        let on_lowest = self.beyond(Bound::Lowest, place + 4, rest, yes, no);
        let on_highest = self.beyond(Bound::Highest, place + 4, rest, yes, no);
        let inside = self.branch(EQUAL, first, on_lowest, yes);
        let inside = self.branch(EQUAL, last, on_highest, inside);
        self.between(first, last, inside, no);
        self.push(LOAD_WORD, place)
    }

    /// As [`Code::within`] with one end alone: the first word that differs from its end decides.
    fn beyond(
        &mut self,
        bound: Bound,
        place: u32,
        range: &[(u32, u32)],
        yes: Label,
        no: Label,
    ) -> Label {
        let end = |(first, last): (u32, u32)| match bound {
            Bound::Lowest => first,
            Bound::Highest => last,
        };
        let any = end((0, u32::MAX));
        let Some((&ends, rest)) = range.split_first() else {
            return yes;
        };
        if range.iter().all(|ends| end(*ends) == any) {
            return yes;
        }
        let next = self.beyond(bound, place + 4, rest, yes, no);
        let (greater, less) = match bound {
            Bound::Lowest => (yes, no),
            Bound::Highest => (no, yes),
        };
        let differs = self.branch(GREATER, end(ends), greater, less);
        self.branch(EQUAL, end(ends), next, differs);
        self.push(LOAD_WORD, place)
    }

    /// The bytes of it, as `struct sock_filter`.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.reverse();
        let instructions = self.0.into_iter();
        instructions
            .flat_map(|(code, yes, no, value)| {
                let [low, high] = code.to_ne_bytes();
                let mut bytes = vec![low, high, yes, no];
                bytes.extend(value.to_ne_bytes());
                bytes
            })
            .collect()
    }
}
