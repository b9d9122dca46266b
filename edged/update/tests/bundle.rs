//! Which bundles are taken, and why the others are not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::io::{Cursor, Read};

use edged_update::{
    Bundle, Here, Intake, LEAP, Part, Refusal, Release, Schema, SchemaHere, Succession,
};

mod made;
use made::{Draft, KEYS, POLICY_KEY, here, image, image_of};

fn open(bytes: &[u8], here: &Here) -> Result<Bundle<Cursor<Vec<u8>>>, Refusal> {
    Bundle::open(Cursor::new(bytes.to_vec()), here)
}

fn refused(draft: &Draft, here: &Here) -> Refusal {
    open(&draft.bytes().1, here).unwrap_err()
}

/// Pushed in pieces of some length, and finished.
fn pushed(bytes: &[u8], piece: usize) -> Result<(), Refusal> {
    let mut intake = Intake::new(here());
    bytes
        .chunks(piece)
        .try_for_each(|piece| intake.push(piece))?;
    intake.finish().map(drop)
}

#[test]
fn a_signed_bundle_gives_its_parts() {
    let draft = Draft::new();
    let mut bundle = open(&draft.bytes().1, &here()).unwrap();
    assert_eq!(bundle.manifest(), &draft.manifest);
    for (part, bytes) in [Part::Sbom, Part::Uki, Part::Golden]
        .into_iter()
        .zip([2, 0, 1])
    {
        let mut found = Vec::new();
        bundle.part(part).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, draft.parts[bytes], "{part}");
    }
}

#[test]
fn a_bundle_is_the_same_in_pieces_of_any_length() {
    let (_, bytes) = Draft::new().bytes();
    for piece in [1, 7, 383, 4096, bytes.len()] {
        pushed(&bytes, piece).unwrap();
    }
}

#[test]
fn every_bit_of_head_and_manifest_counts() {
    let (head, mut bytes) = Draft::new().bytes();
    for bit in 0..head * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(pushed(&bytes[..head], head).is_err(), "bit {bit}");
        assert!(
            !matches!(pushed(&bytes[..head], head), Err(Refusal::CutOff)) || bit / 8 < 12,
            "bit {bit} was only noticed at the end"
        );
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn two_thousand_bits_of_the_parts_count() {
    let (head, mut bytes) = Draft::new().bytes();
    // A generator of its own (Knuth's MMIX), so that a failure is the same each time.
    let mut state = 20_261_121_u64;
    for _ in 0..2000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(state >> 33).unwrap() % ((bytes.len() - head) * 8);
        let place = head + bit / 8;
        bytes[place] ^= 1 << (bit % 8);
        let refusal = open(&bytes, &here()).unwrap_err();
        assert!(matches!(refusal, Refusal::Part(_)), "bit {bit}: {refusal}");
        bytes[place] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused() {
    let (_, bytes) = Draft::new().bytes();
    for length in 0..bytes.len() {
        let refusal = pushed(&bytes[..length], bytes.len().max(1)).unwrap_err();
        assert!(matches!(refusal, Refusal::CutOff), "{length}: {refusal}");
    }
}

#[test]
fn nothing_follows_the_last_part() {
    let (_, mut bytes) = Draft::new().bytes();
    bytes.push(0);
    assert!(matches!(open(&bytes, &here()), Err(Refusal::Trailing)));
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    for bytes in [b"PK\x03\x04".as_slice(), &[0; 5000]] {
        let refusal = open(bytes, &here()).unwrap_err();
        assert!(matches!(refusal, Refusal::NotABundle), "{refusal}");
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_kept() {
    let (_, mut bytes) = Draft::new().bytes();
    bytes[10] = 0xff;
    let refusal = open(&bytes, &here()).unwrap_err();
    assert!(matches!(refusal, Refusal::ManifestLength(_)), "{refusal}");
}

#[test]
fn another_key_is_refused_also_when_it_calls_itself_ours() {
    let mut draft = Draft::new();
    draft.signer = &KEYS[1];
    assert!(matches!(refused(&draft, &here()), Refusal::Signature(_)));
    draft.manifest.key = KEYS[1].public.fingerprint();
    assert!(matches!(refused(&draft, &here()), Refusal::Signer { .. }));
}

#[test]
fn another_board_is_refused_by_name() {
    let draft = Draft::new().change(|manifest| manifest.board = "rpi4".to_owned());
    let refusal = refused(&draft, &here());
    assert_eq!(
        refusal.to_string(),
        "the bundle is for the board rpi4, and this box is qemu-aarch64"
    );
}

#[test]
fn the_same_release_and_an_older_one_are_refused() {
    for release in [0, 3, 4] {
        let draft = Draft::new()
            .image(image_of("qemu-aarch64", release))
            .change(|manifest| manifest.release = Release::new(release));
        let refusal = refused(&draft, &here());
        assert!(matches!(refusal, Refusal::NotNewer { .. }), "{refusal}");
    }
}

/// The box's TPM counts to it one by one.
#[test]
fn a_number_that_is_a_date_is_refused() {
    let at = |release| {
        Draft::new()
            .image(image_of("qemu-aarch64", release))
            .change(|manifest| manifest.release = Release::new(release))
    };
    let farthest = here().release.get() + LEAP;
    assert!(open(&at(farthest).bytes().1, &here()).is_ok());
    let refusal = refused(&at(farthest + 1), &here());
    assert!(matches!(refusal, Refusal::TooFar { .. }), "{refusal}");
    assert!(
        refusal.to_string().contains("more than 1000 above 4"),
        "{refusal}"
    );
}

#[test]
fn another_format_is_refused_by_its_number() {
    let draft = Draft::new().change(|manifest| manifest.format = 2);
    assert!(matches!(refused(&draft, &here()), Refusal::Format(2)));
}

#[test]
fn the_parts_are_these_three_in_this_order() {
    for change in [0, 1] {
        let draft = Draft::new().change(|manifest| match change {
            0 => manifest.parts.swap(1, 2),
            _ => drop(manifest.parts.pop()),
        });
        assert!(matches!(refused(&draft, &here()), Refusal::Parts));
    }
}

#[test]
fn an_image_that_no_slot_holds_is_refused_before_it_comes() {
    let draft = Draft::new().change(|manifest| manifest.parts[0].size = (1 << 20) + 1);
    let (head, bytes) = draft.bytes();
    let refusal = pushed(&bytes[..head], head).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Size {
                part: Part::Uki,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn an_image_whose_data_would_stay_shut_is_refused() {
    let os_release = "IMAGE_ID=umec-qemu-aarch64\nUMEC_RELEASE=5\n";
    let draft = Draft::new().image(image(os_release, "another"));
    assert!(matches!(refused(&draft, &here()), Refusal::PolicyKey));
    let without_tpm = Here {
        policy_key: None,
        ..here()
    };
    assert!(open(&draft.bytes().1, &without_tpm).is_ok());
}

#[test]
fn an_image_that_calls_itself_otherwise_is_refused() {
    for (board, release) in [("rpi4", 5), ("qemu-aarch64", 6), ("qemu-aarch64", 50)] {
        let draft = Draft::new().image(image_of(board, release));
        let refusal = refused(&draft, &here());
        assert!(matches!(refusal, Refusal::OtherImage { .. }), "{refusal}");
    }
    let draft = Draft::new().image(image("NAME=a\n", POLICY_KEY));
    assert!(matches!(
        refused(&draft, &here()),
        Refusal::OtherImage { .. }
    ));
    let draft = Draft::new().image(b"MZ and no more".to_vec());
    assert!(matches!(refused(&draft, &here()), Refusal::Image(_)));
}

#[test]
fn a_database_that_cannot_be_read_after_a_rollback_is_said_first() {
    let at = |program, database, no_way_back| Here {
        schema: Some(SchemaHere {
            program,
            database,
            no_way_back,
        }),
        ..here()
    };
    let draft = |writes, reads| {
        let schema = Schema { writes, reads };
        Draft::new().change(|manifest| manifest.schema = schema)
    };
    let taken = |draft: &Draft, here: &Here| open(&draft.bytes().1, here).map(drop);
    taken(&draft(4, 3), &at(3, 3, false)).unwrap();
    let refusal = taken(&draft(4, 4), &at(3, 3, false)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::NoWayBack { reads: 4, here: 3 }),
        "{refusal}"
    );
    taken(&draft(4, 4), &at(3, 3, true)).unwrap();
    let refusal = taken(&draft(3, 3), &at(5, 4, true)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::OldSchema { bundle: 3, here: 4 }),
        "{refusal}"
    );
}

#[test]
fn a_rotated_key_is_accepted_through_its_predecessor() {
    let [first, second, third] = &*KEYS;
    let chain = [
        first.succeeded_by(&second.public),
        second.succeeded_by(&third.public),
    ];
    let mut draft = Draft::new().change(|manifest| {
        manifest.key = third.public.fingerprint();
        manifest.succession = Succession::try_from(chain.to_vec()).unwrap();
    });
    draft.signer = third;
    let knowing = |key: &made::Pair| Here {
        key: key.public.clone(),
        ..here()
    };
    for key in [first, second, third] {
        open(&draft.bytes().1, &knowing(key)).unwrap();
    }

    // After that update the box knows the third alone: its predecessors open nothing any more.
    let old = Draft::new();
    assert!(matches!(
        refused(&old, &knowing(third)),
        Refusal::Signer { .. }
    ));

    // A link that is missing, and one that somebody else has signed.
    let gap = draft.manifest.clone();
    draft.manifest.succession = Succession::try_from(chain[1..].to_vec()).unwrap();
    assert!(matches!(
        refused(&draft, &knowing(first)),
        Refusal::Signer { .. }
    ));
    draft.manifest = gap;
    let mut forged = chain.to_vec();
    forged[0].signature = third.sign(&second.public.succession_message());
    draft.manifest.succession = Succession::try_from(forged).unwrap();
    assert!(matches!(
        refused(&draft, &knowing(first)),
        Refusal::Succession { .. }
    ));
}

#[test]
fn a_bundle_carries_the_eight_newest_successors_and_no_more_are_read() {
    let one = KEYS[0].succeeded_by(&KEYS[1].public);
    let newest = Succession::newest(vec![one.clone(); 12]);
    assert_eq!(Vec::from(newest).len(), 8);
    assert!(Succession::try_from(vec![one; 9]).is_err());
}
