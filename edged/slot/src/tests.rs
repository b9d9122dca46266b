//! A cut of the power at any moment of an update, with the writes before it on the medium in any part and order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use edged_protocol::slot::Slot;

use crate::fat::Geometry;
use crate::lay;
use crate::medium::{Medium, SECTOR};
use crate::slots::Slots;

/// A partition in memory, of 64 sectors: reserved ones, two tables of one sector, clusters of one sector.
const RESERVED: u64 = 8;
/// Clusters of the folders and of `ubootefi.var`.
const ROOT: u32 = 2;
const EFI: u32 = 3;
const UMEC: u32 = 4;
const NEXT: u32 = 5;
/// Bytes of a slot, and of what is in it: two sectors and a half.
const ROOM: u64 = 4 * SECTOR;
pub(crate) const SIZE: u64 = 1280;

/// Sectors by their number; those that are not there are zero.
type Sectors = BTreeMap<u64, [u8; 512]>;
/// What was written between two syncs.
type Group = Vec<(u64, [u8; 512])>;

#[derive(Debug)]
pub(crate) struct Fake {
    now: RefCell<Sectors>,
    written: RefCell<Vec<Group>>,
}

impl Medium for Fake {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        for (sector, part) in (at / SECTOR..).zip(buffer.chunks_mut(512)) {
            part.copy_from_slice(self.now.borrow().get(&sector).unwrap_or(&[0; 512]));
        }
        Ok(())
    }

    fn write_at(&self, at: u64, buffer: &[u8]) -> io::Result<()> {
        for (sector, part) in (at / SECTOR..).zip(buffer.chunks(512)) {
            let bytes: [u8; 512] = part.try_into().unwrap();
            self.now.borrow_mut().insert(sector, bytes);
            let mut groups = self.written.borrow_mut();
            groups.last_mut().unwrap().push((sector, bytes));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.written.borrow_mut().push(Vec::new());
        Ok(())
    }
}

impl Fake {
    fn of(sectors: Sectors) -> Self {
        Self {
            now: RefCell::new(sectors),
            written: RefCell::new(vec![Vec::new()]),
        }
    }
}

/// An entry of a directory.
fn entry(name: &[u8; 11], attributes: u8, first: u32, size: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    let [low, lower, high, higher] = first.to_le_bytes();
    entry[20..22].copy_from_slice(&[high, higher]);
    entry[26..28].copy_from_slice(&[low, lower]);
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

fn sector(entries: &[[u8; 32]]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..entries.len() * 32].copy_from_slice(&entries.concat());
    sector
}

/// As mtools leaves it: folders, an empty file for each image, and `ubootefi.var`.
fn formatted() -> Fake {
    let mut head = [0; 512];
    for (at, bytes) in [
        (11, &[0, 2, 1][..]),
        (14, &[8, 0, 2]),
        (32, &[64, 0, 0, 0, 1]),
        (44, &[2]),
        (510, &[0x55, 0xaa]),
    ] {
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let mut table = [0; 512];
    for cluster in 0..6 {
        table[cluster * 4..cluster * 4 + 4].copy_from_slice(&0x0fff_ffff_u32.to_le_bytes());
    }
    let data = |cluster: u32| RESERVED + 2 + u64::from(cluster - ROOT);
    let mut next = [0; 512];
    next[..80].copy_from_slice(&crate::next::file(None));
    Fake::of(Sectors::from([
        (0, head),
        (RESERVED, table),
        (RESERVED + 1, table),
        (
            data(ROOT),
            sector(&[
                entry(b"UMEC-BOOT  ", 0x08, 0, 0),
                entry(b"EFI        ", 0x10, EFI, 0),
                entry(b"UBOOTEFIVAR", 0x20, NEXT, 80),
            ]),
        ),
        (data(EFI), sector(&[entry(b"UMEC       ", 0x10, UMEC, 0)])),
        (
            data(UMEC),
            sector(&[
                // A part of a long name, which says nothing here.
                entry(b"A       EFI", 0x0f, 9, 9),
                entry(b"A       EFI", 0x20, 0, 0),
                entry(b"B       EFI", 0x20, 0, 0),
            ]),
        ),
        (data(NEXT), next),
    ]))
}

pub(crate) fn content(of: u8, size: u64) -> Vec<u8> {
    (0..size)
        .map(|at| of ^ u8::try_from(at % 251).unwrap())
        .collect()
}

/// A new box: the same image in both slots.
pub(crate) fn furnished() -> Fake {
    let fake = formatted();
    lay::out(&fake, ROOM, u32::try_from(SIZE).unwrap()).unwrap();
    let mut slots = Slots::open(&fake).unwrap();
    for slot in [Slot::A, Slot::B] {
        slots
            .put(slot, SIZE, &mut content(1, SIZE).as_slice())
            .unwrap();
    }
    Fake::of(fake.now.take())
}

/// What starts, as the firmware chooses it; the second value says whether it was started once only.
#[derive(Debug, PartialEq, Eq, Clone, Copy, PartialOrd, Ord)]
enum Starts {
    Old,
    NewOnce,
    New,
    Nothing,
}

fn held(slots: &Slots<&Fake>, slot: Slot) -> Vec<u8> {
    let mut all = Vec::new();
    slots
        .each(slot, |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    all
}

fn starts(sectors: &Sectors) -> Starts {
    let fake = Fake::of(sectors.clone());
    let Ok(slots) = Slots::open(&fake) else {
        return Starts::Nothing;
    };
    let (old, new) = (content(1, SIZE), content(2, SIZE + 300));
    let next = slots.next().unwrap();
    let (a, b) = (held(&slots, Slot::A), held(&slots, Slot::B));
    if next == Some(Slot::B) && b == new {
        return Starts::NewOnce;
    }
    [a, b]
        .into_iter()
        .find_map(|image| match image {
            image if image == old => Some(Starts::Old),
            image if image == new => Some(Starts::New),
            _ => None,
        })
        .unwrap_or(Starts::Nothing)
}

/// Every state of the medium after a cut: whole groups before, any part of one group in any order.
fn every_cut(fake: &Fake, before: &Sectors, mut see: impl FnMut(usize, &Sectors)) {
    let mut certain = before.clone();
    for (group, writes) in fake.written.borrow().iter().enumerate() {
        assert!(
            writes.len() <= 8,
            "a group of {} writes is not tried",
            writes.len()
        );
        for part in 0_u32..1 << writes.len() {
            let mut state = certain.clone();
            for (_, (sector, bytes)) in writes
                .iter()
                .enumerate()
                .filter(|(number, _)| part & (1 << number) != 0)
            {
                state.insert(*sector, *bytes);
            }
            see(group, &state);
        }
        certain.extend(writes.iter().copied());
    }
}

#[test]
fn no_prefix_and_no_reordering_of_writes_loses_a_bootable_slot() {
    let (old, new) = (content(1, SIZE), content(2, SIZE + 300));
    let length = SIZE + 300;
    let fake = furnished();
    let before = fake.now.borrow().clone();
    let mut phases = Vec::new();
    let mut phase = |fake: &Fake, name: &'static str| {
        phases.push((fake.written.borrow().len() - 1, name));
    };
    let mut slots = Slots::open(&fake).unwrap();
    phase(&fake, "write");
    slots.put(Slot::B, length, &mut new.as_slice()).unwrap();
    phase(&fake, "arm");
    slots.set_next(Some(Slot::B)).unwrap();
    phase(&fake, "disarm");
    // The firmware does the same with the same file.
    slots.set_next(None).unwrap();
    phase(&fake, "exchange");
    slots.exchange().unwrap();
    assert_eq!(held(&slots, Slot::A), new);
    assert_eq!(held(&slots, Slot::B), old);
    phase(&fake, "mirror");
    slots.mirror(Slot::A).unwrap();
    assert_eq!(held(&slots, Slot::B), new);
    phase(&fake, "end");
    let mut seen: BTreeMap<&str, Vec<Starts>> = BTreeMap::new();
    let mut states = 0;
    every_cut(&fake, &before, |group, state| {
        let (_, name) = *phases
            .iter()
            .rev()
            .find(|(first, _)| *first <= group)
            .unwrap();
        let starts = starts(state);
        states += 1;
        let seen = seen.entry(name).or_default();
        if !seen.contains(&starts) {
            seen.push(starts);
            seen.sort();
        }
    });
    assert!(states > 40, "{states}");
    assert_eq!(seen["write"], [Starts::Old]);
    assert_eq!(seen["arm"], [Starts::Old, Starts::NewOnce]);
    assert_eq!(seen["disarm"], [Starts::Old, Starts::NewOnce]);
    assert_eq!(seen["exchange"], [Starts::Old, Starts::New]);
    assert_eq!(seen["mirror"], [Starts::New]);
}

#[test]
fn what_is_written_lies_in_the_clusters_of_its_slot_and_nowhere_else() {
    let fake = furnished();
    let slots = Slots::open(&fake).unwrap();
    let allowed: Vec<u64> = {
        let fat = Geometry::read(&fake).unwrap();
        let efi = fat
            .find(&fake, &[*b"EFI        ", *b"UMEC       ", *b"B       EFI"])
            .unwrap()
            .unwrap();
        let chain = fat.chain(&fake, efi.first).unwrap();
        let mut sectors: Vec<u64> = chain
            .into_iter()
            .flat_map(|range| range.step_by(512))
            .collect();
        sectors.push(efi.sector);
        sectors.into_iter().map(|at| at / SECTOR).collect()
    };
    drop(slots);
    let mut slots = Slots::open(&fake).unwrap();
    slots
        .put(Slot::B, ROOM, &mut content(3, ROOM).as_slice())
        .unwrap();
    for (sector, _) in fake.written.borrow().iter().flatten() {
        assert!(
            allowed.contains(sector),
            "sector {sector} belongs to somebody else"
        );
    }
}

#[test]
fn an_image_that_does_not_fit_or_ends_early_is_refused() {
    let fake = furnished();
    let mut slots = Slots::open(&fake).unwrap();
    let large = content(2, ROOM + 1);
    let error = slots
        .put(Slot::B, ROOM + 1, &mut large.as_slice())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image has 2049 bytes and slot B takes 2048"
    );
    assert!(fake.written.borrow().iter().all(Vec::is_empty));
    assert!(
        slots
            .put(Slot::B, 600, &mut content(2, 599).as_slice())
            .is_err()
    );
}

#[test]
fn a_medium_that_does_not_keep_what_is_written_is_found_out() {
    #[derive(Debug)]
    struct Worn(Fake);
    impl Medium for Worn {
        fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.0.read_at(at, buffer)
        }
        fn write_at(&self, at: u64, buffer: &[u8]) -> io::Result<()> {
            let mut bytes = buffer.to_vec();
            bytes[0] &= 0xfe;
            self.0.write_at(at, &bytes)
        }
        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }
    }
    let worn = Worn(furnished());
    let mut slots = Slots::open(&worn).unwrap();
    let error = slots
        .put(Slot::B, 512, &mut [1; 512].as_slice())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("slot B does not hold what was written"),
        "{error}"
    );
}

#[test]
fn a_partition_that_is_damaged_is_refused_and_never_followed_for_ever() {
    let refused = |sector: u64, change: &dyn Fn(&mut [u8; 512])| {
        let fake = furnished();
        let mut bytes = fake.now.borrow()[&sector];
        change(&mut bytes);
        fake.now.borrow_mut().insert(sector, bytes);
        Slots::open(&fake).unwrap_err().to_string()
    };
    let data = |cluster: u32| RESERVED + 2 + u64::from(cluster - ROOT);
    assert!(refused(0, &|head| head[510] = 0).contains("not that of a FAT32"));
    // A chain that leads to itself, and one that leads out.
    assert!(
        refused(RESERVED, &|table| table[5 * 4..6 * 4]
            .copy_from_slice(&[5, 0, 0, 0]))
        .contains("never ends")
    );
    assert!(
        refused(RESERVED, &|table| table[5 * 4..6 * 4]
            .copy_from_slice(&[99, 0, 0, 0]))
        .contains("leads out")
    );
    assert!(refused(data(UMEC), &|folder| folder[32] = b'X').contains("no first image"));
    assert!(refused(data(UMEC), &|folder| folder[32 + 30] = 1).contains("longer than its chain"));
    assert!(refused(data(ROOT), &|folder| folder[64 + 28] = 81).contains("another length"));
}
