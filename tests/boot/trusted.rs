//! Whose trusted applications the box's OP-TEE takes.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{bail, ensure};
use board_image::disk::Disk;
use board_qemu::{BOOT, Changes, Folder, Guest, Heard};

use umec_tests::ground::Ground;

/// What PID 1 of the image says: `tests/apps/ask-tee`.
const ANSWER: &str = "TEE-ANSWER ";
const END: &str = "TEE-ASKED";
const FAILED: &str = "TEE-FAILED";

/// Results of the TEE client API.
const SUCCESS: &str = "0x00000000";
const ITEM_NOT_FOUND: &str = "0xffff0008";
const SECURITY: &str = "0xffff000f";

/// What is asked for (`board_image::probe`), and the answer. All but the first two are the same application, and only the
/// signatures differ: that of the box's own key counts, and neither Debian's nor one by the private key that OP-TEE's
/// source has for everybody.
const ANSWERS: [(&str, &str); 6] = [
    ("built-in", SUCCESS),
    ("nobody", ITEM_NOT_FOUND),
    ("debian", SECURITY),
    ("everybody", SECURITY),
    ("changed", SECURITY),
    ("ours", SUCCESS),
];

/// The chain is the box's own; an image that asks is in place of the usual one, signed by the same keys.
pub fn a_trusted_application_signed_by_the_key_in_op_tees_source_is_refused_in_the_box(
    ground: &Ground,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    Disk::default().write(&ground.root, &folder.disk(), &fs::read(&ground.probe)?)?;
    folder.furnish(&ground.parts)?;
    let changes = Changes {
        once: true,
        ..Changes::default()
    };
    let guest = Guest::start(&ground.root, &folder, &changes)?;
    let console = &guest.machine.console;
    let mut answers = BTreeMap::new();
    let heard = console.wait(BOOT, &|| false, |line| {
        if let Some((_, answer)) = line.text.split_once(ANSWER)
            && let Some((word, result)) = answer.trim().split_once(' ')
        {
            answers.insert(word.to_owned(), result.to_owned());
        }
        let last = [END, FAILED].iter().any(|word| line.text.contains(word));
        last.then(|| line.text.clone())
    });
    match heard {
        Heard::Line(line) if line.contains(END) => {}
        other => bail!("it was not asked to the end: {other:?}, after {answers:?}"),
    }
    let expected = ANSWERS.map(|(word, result)| (word.to_owned(), result.to_owned()));
    ensure!(
        answers == BTreeMap::from(expected),
        "OP-TEE answers {answers:?}"
    );
    Ok(())
}
