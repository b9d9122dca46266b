//! The two images and what starts next, by writes that leave a box that starts, whenever the power fails.
//!
//! Both files have clusters of their own that never change hands: the build lays them out ([`crate::lay`]). So the box
//! writes three things and no others: the clusters of a slot that nothing depends on and its size, the file that says
//! what starts next (one sector), and the sector of the directory in which both files' entries lie (the exchange). The
//! allocation table is never written.

use std::io::Read;
use std::ops::Range;

use edged_protocol::slot::{Image, Slot};
use edged_update::Hash;
use sha2::{Digest as _, Sha256};

use crate::error::SlotError;
use crate::fat::{self, Entry, Geometry, Name, point};
use crate::medium::{CHUNK, Medium, SECTOR};
use crate::next;

/// Where the build puts the files.
pub const FOLDER: [Name; 2] = [*b"EFI        ", *b"UMEC       "];
/// The images in that folder.
pub const A: Name = *b"A       EFI";
/// The other.
pub const B: Name = *b"B       EFI";
/// In the root.
pub const NEXT: Name = *b"UBOOTEFIVAR";

/// A file with its clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    entry: Entry,
    extents: Vec<Range<u64>>,
}

impl Place {
    fn room(&self) -> u64 {
        self.extents
            .iter()
            .map(|extent| extent.end - extent.start)
            .sum()
    }

    /// The sectors of the first `size` bytes, in pieces of at most a chunk.
    fn pieces(&self, size: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let chunk = u64::try_from(CHUNK).unwrap_or(SECTOR);
        let mut left = size.next_multiple_of(SECTOR);
        self.extents
            .iter()
            .flat_map(move |extent| {
                let starts = (extent.start..extent.end).step_by(CHUNK);
                starts.map(move |start| start..extent.end.min(start + chunk))
            })
            .map_while(move |piece| {
                let length = left.min(piece.end - piece.start);
                left -= length;
                (length > 0).then(|| piece.start..piece.start + length)
            })
    }
}

/// The boot partition.
#[derive(Debug)]
pub struct Slots<M> {
    medium: M,
    a: Place,
    b: Place,
    next: Place,
}

impl<M: Medium> Slots<M> {
    /// Finds the files.
    ///
    /// # Errors
    /// The partition is not as the build lays it out.
    pub fn open(medium: M) -> Result<Self, SlotError> {
        let fat = Geometry::read(&medium)?;
        let file = |path: &[Name], name| {
            let entry = fat.find(&medium, path)?;
            let entry = entry.filter(|entry| entry.first != 0);
            let entry = entry.ok_or(SlotError::Missing(name))?;
            let extents = fat.chain(&medium, entry.first)?;
            let place = Place { entry, extents };
            if u64::from(place.entry.size) > place.room() {
                return Err(SlotError::Damaged("a file is longer than its chain"));
            }
            Ok(place)
        };
        let [efi, umec] = FOLDER;
        let a = file(&[efi, umec, A], "first image (EFI/umec/a.efi)")?;
        let b = file(&[efi, umec, B], "second image (EFI/umec/b.efi)")?;
        let next = file(&[NEXT], "file for what starts next (ubootefi.var)")?;
        if a.entry.sector != b.entry.sector {
            return Err(SlotError::Damaged(
                "the entries of both images are not in one sector",
            ));
        }
        if next.entry.size != u32::try_from(next::LENGTH).unwrap_or_default() {
            return Err(SlotError::Damaged(
                "ubootefi.var has another length than U-Boot writes",
            ));
        }
        Ok(Self { medium, a, b, next })
    }

    fn place(&self, slot: Slot) -> &Place {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// Bytes of the image in a slot.
    pub fn size(&self, slot: Slot) -> u64 {
        u64::from(self.place(slot).entry.size)
    }

    /// Most bytes that a slot takes.
    pub fn room(&self, slot: Slot) -> u64 {
        self.place(slot).room()
    }

    /// Which slot starts next, where that is said.
    ///
    /// # Errors
    /// The device's.
    pub fn next(&self) -> Result<Option<Slot>, SlotError> {
        Ok(next::read(&self.sector(self.next_sector()?)?))
    }

    /// Says which slot starts next; durable when it returns.
    ///
    /// # Errors
    /// The device's.
    pub fn set_next(&self, next: Option<Slot>) -> Result<(), SlotError> {
        let at = self.next_sector()?;
        let mut sector = self.sector(at)?;
        let file = next::file(next);
        if let Some(place) = sector.get_mut(..file.len()) {
            place.copy_from_slice(&file);
        }
        self.write(at, &sector)?;
        self.sync()
    }

    /// What is in a slot, read from the medium.
    ///
    /// # Errors
    /// The device's.
    pub fn hash(&self, slot: Slot) -> Result<Image, SlotError> {
        let mut hash = Sha256::new();
        self.each(slot, |bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        Ok(image(self.size(slot), hash))
    }

    /// Gives the image in a slot piece by piece.
    ///
    /// # Errors
    /// The device's, or the receiver's.
    pub fn each(
        &self,
        slot: Slot,
        mut give: impl FnMut(&[u8]) -> Result<(), SlotError>,
    ) -> Result<(), SlotError> {
        let (place, mut left) = (self.place(slot), self.size(slot));
        for piece in place.pieces(left) {
            let count = usize::try_from(piece.end - piece.start).unwrap_or_default();
            let bytes = fat::read(&self.medium, piece.start, count)?;
            let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            give(bytes.get(..used).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(used).unwrap_or(left));
        }
        Ok(())
    }

    /// Puts an image into a slot and reads it back. Until it returns the slot holds nothing that anybody may rely on.
    ///
    /// # Errors
    /// It does not fit, is shorter than `size`, or is not what is read back.
    pub fn put(&mut self, slot: Slot, size: u64, from: &mut impl Read) -> Result<Image, SlotError> {
        let place = self.place(slot).clone();
        let length = u32::try_from(size).ok().filter(|_| size <= place.room());
        let length = length.ok_or(SlotError::TooLarge {
            slot,
            size,
            room: place.room(),
        })?;
        let (mut hash, mut left) = (Sha256::new(), size);
        for piece in place.pieces(size) {
            let count = usize::try_from(piece.end - piece.start).unwrap_or_default();
            let used = usize::try_from(left).unwrap_or(usize::MAX).min(count);
            let mut bytes = vec![0; count];
            let part = bytes.get_mut(..used).unwrap_or_default();
            from.read_exact(part).map_err(SlotError::Source)?;
            hash.update(&*part);
            left = left.saturating_sub(u64::try_from(used).unwrap_or(left));
            self.write(piece.start, &bytes)?;
        }
        self.sync()?;
        let mut sector = self.sector(place.entry.sector)?;
        point(&mut sector, &place.entry, place.entry.first, length)
            .ok_or(SlotError::Damaged("an entry is cut off"))?;
        self.write(place.entry.sector, &sector)?;
        self.sync()?;
        match slot {
            Slot::A => self.a.entry.size = length,
            Slot::B => self.b.entry.size = length,
        }
        let written = image(size, hash);
        if self.hash(slot)? == written {
            Ok(written)
        } else {
            Err(SlotError::ReadBack(slot))
        }
    }

    /// Copies an image to the other slot and reads it back.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn mirror(&mut self, from: Slot) -> Result<Image, SlotError>
    where
        M: Copy,
    {
        let mut source = Source {
            medium: self.medium,
            pieces: self.place(from).pieces(self.size(from)).collect(),
            held: Vec::new(),
        };
        source.pieces.reverse();
        let (size, expected) = (self.size(from), self.hash(from)?);
        let copied = self.put(from.other(), size, &mut source)?;
        if copied == expected {
            Ok(copied)
        } else {
            Err(SlotError::ReadBack(from.other()))
        }
    }

    /// A and B change places, in one sector.
    ///
    /// # Errors
    /// The device's.
    pub fn exchange(&mut self) -> Result<(), SlotError> {
        let at = self.a.entry.sector;
        let mut sector = self.sector(at)?;
        let (a, b) = (self.a.entry.clone(), self.b.entry.clone());
        point(&mut sector, &a, b.first, b.size)
            .and_then(|()| point(&mut sector, &b, a.first, a.size))
            .ok_or(SlotError::Damaged("an entry is cut off"))?;
        self.write(at, &sector)?;
        self.sync()?;
        std::mem::swap(&mut self.a.extents, &mut self.b.extents);
        self.a.entry = Entry {
            first: b.first,
            size: b.size,
            ..a.clone()
        };
        self.b.entry = Entry {
            first: a.first,
            size: a.size,
            ..b
        };
        Ok(())
    }

    fn next_sector(&self) -> Result<u64, SlotError> {
        let first = self.next.extents.first();
        first
            .map(|extent| extent.start)
            .ok_or(SlotError::Damaged("ubootefi.var has no cluster"))
    }

    fn sector(&self, at: u64) -> Result<Vec<u8>, SlotError> {
        fat::read(&self.medium, at, 512)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), SlotError> {
        let written = self.medium.write_at(at, bytes);
        written.map_err(|source| SlotError::Device {
            doing: "written",
            source,
        })
    }

    fn sync(&self) -> Result<(), SlotError> {
        let done = self.medium.sync();
        done.map_err(|source| SlotError::Device {
            doing: "written",
            source,
        })
    }
}

fn image(size: u64, hash: Sha256) -> Image {
    let bytes: [u8; 32] = hash.finalize().into();
    Image {
        size,
        sha256: Hash::from(bytes).to_string(),
    }
}

/// An image as a stream; pieces last to first.
struct Source<M> {
    medium: M,
    pieces: Vec<Range<u64>>,
    held: Vec<u8>,
}

impl<M: Medium> Read for Source<M> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.held.is_empty()
            && let Some(piece) = self.pieces.pop()
        {
            let count = usize::try_from(piece.end - piece.start).map_err(std::io::Error::other)?;
            self.held = vec![0; count];
            self.medium.read_at(piece.start, &mut self.held)?;
        }
        let count = self.held.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.held.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}
