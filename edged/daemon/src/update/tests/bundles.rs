//! Bundles on their way to the keeper, by every source.

use std::sync::Arc;
use std::time::Duration;

use edged_console::{BundleSource, Progress};
use edged_model::{Goal, InstanceState};
use edged_protocol::slot::Command;
use edged_protocol::stick::Reply as StickReply;
use edged_protocol::{Frame, Refusal, encode};
use edged_update::Release;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::{Updates, intake};
use super::{Machine, serve, up};
use crate::snapshot::{Reader, Snapshot};

#[allow(dead_code)] // Some of it is for tests that are not here.
#[path = "../../../../update/tests/made/mod.rs"]
pub(super) mod made;
use made::{Draft, KEYS};

/// Updates as edged has them, over an umec-slot in memory.
pub(super) async fn updates(machine: &Machine, database: u32) -> Updates {
    let (_, reader) = watch::channel(Arc::new(Snapshot::default()));
    updates_beside(machine, database, reader).await
}

async fn updates_beside(machine: &Machine, database: u32, reader: Reader) -> Updates {
    use base64::Engine as _;
    let path = |name: &str| machine.path().join(name);
    let socket = path("slot.sock");
    tokio::spawn(serve(
        UnixListener::bind(&socket).unwrap(),
        Arc::clone(&machine.medium),
    ));
    let build = r#"{"version": "0.1.0", "board": "qemu-aarch64", "release": 4}"#;
    std::fs::write(path("build.json"), build).unwrap();
    let key = base64::engine::general_purpose::STANDARD.encode(KEYS[0].public.der());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    std::fs::write(path("update.pem"), pem).unwrap();
    std::fs::write(path("policy.pem"), made::POLICY_KEY).unwrap();
    let folder = machine.path().display();
    let text = format!(
        "version = 1\n[node]\nstate = \"{folder}\"\nrun = \"{folder}\"\n\
         [update]\nkey = \"{folder}/update.pem\"\nslot = \"{folder}/slot.sock\"\n\
         stick = \"{folder}/stick.sock\"\npolicy_key = \"{folder}/policy.pem\"\n\
         [image]\nbuild = \"{folder}/build.json\"\ncommissioners = \"/none\"\nrequests = \"{folder}/requests\"\n\
         event_log = \"/none\"\nregisters = \"/none\"\n"
    );
    std::fs::write(path("edged.toml"), text).unwrap();
    let config = edged_config::Config::read(&path("edged.toml")).unwrap();
    let mut background = tokio::task::JoinSet::new();
    let updates = Updates::start(&config, &reader, database, &mut background);
    background.detach_all();
    let mut seen = updates.0.as_ref().unwrap().seen.clone();
    seen.wait_for(|seen| seen.slots.is_some()).await.unwrap();
    updates
}

async fn install(updates: &Updates, bundle: &[u8]) -> Result<String, String> {
    install_from(updates, BundleSource::Input, bundle).await
}

/// What comes by another way than the input.
pub(super) async fn take(updates: &Updates, source: BundleSource) -> Result<String, String> {
    install_from(updates, source, &[]).await
}

async fn install_from(
    updates: &Updates,
    source: BundleSource,
    input: &[u8],
) -> Result<String, String> {
    let (progress, _steps) = Progress::channel();
    let installed = updates.install(source, false, input, &progress);
    let view = installed.await.map_err(|error| error.to_string())?;
    Ok(view.state)
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_comes_while_the_box_comes_up_waits_for_what_is_to_run() {
    for comes in [true, false] {
        let machine = Machine::new();
        let web = |state| up([("web", Goal::Running, state)]);
        let (snapshot, reader) = watch::channel(web(InstanceState::Starting));
        let updates = updates_beside(&machine, edged_store::SCHEMA_READS, reader).await;
        let (_, good) = Draft::new().bytes();
        let mut installing = std::pin::pin!(install(&updates, &good));
        // A trial has 240 seconds, and so has a start.
        let early = timeout(Duration::from_secs(200), installing.as_mut()).await;
        assert!(early.is_err(), "it did not wait");
        assert_eq!(machine.medium().asked, []);
        if comes {
            snapshot.send_replace(web(InstanceState::Ready));
        }
        installing.await.unwrap();
        let seen = updates.0.as_ref().unwrap().seen.borrow().clone();
        let before = seen.state.before().unwrap();
        assert_eq!(before.ready.contains_key("web"), comes);
    }
}

#[tokio::test]
async fn a_bad_bundle_is_refused_before_umec_slot_is_asked_for_anything() {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    let (head, good) = Draft::new().bytes();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut foreign = Draft::new();
    foreign.signer = &KEYS[1];
    let older = Draft::new()
        .image(made::image_of("qemu-aarch64", 3))
        .change(|manifest| manifest.release = Release::new(3));
    let other = Draft::new().change(|manifest| manifest.board = "rpi4".to_owned());
    let schema = edged_update::Schema {
        writes: 99,
        reads: 99,
    };
    let no_way_back = Draft::new().change(|manifest| manifest.schema = schema);
    for (bundle, why) in [
        (flipped, "is damaged"),
        (good[..good.len() - 1].to_vec(), "cut off"),
        (good[..head - 1].to_vec(), "cut off"),
        (foreign.bytes().1, "signature is wrong"),
        (older.bytes().1, "only a newer one is taken"),
        (other.bytes().1, "for the board rpi4"),
        (no_way_back.bytes().1, "--no-way-back"),
        (b"no bundle at all".to_vec(), "this is no update bundle"),
    ] {
        let refusal = install(&updates, &bundle).await.unwrap_err();
        assert!(refusal.contains(why), "{why}: {refusal}");
        let left = std::fs::read_dir(machine.path().join("edged/update")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["state"], "{why}");
    }
    assert_eq!(machine.medium().asked, []);

    assert!(install(&updates, &good).await.is_ok());
    assert_eq!(machine.medium().asked.first(), Some(&Command::Write {}));
    let staged = std::fs::read(machine.path().join("edged/update/staged")).unwrap();
    assert!(staged == good);
    // One at a time.
    let refusal = install(&updates, &good).await.unwrap_err();
    assert!(refusal.contains("release 5 is under way"), "{refusal}");
}

#[tokio::test]
async fn what_was_uploaded_is_taken_once() {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    let take = || take(&updates, BundleSource::Uploaded);
    let refusal = take().await.unwrap_err();
    assert!(refusal.contains("nothing was uploaded"), "{refusal}");
    let uploaded = machine.path().join("edged/update/uploaded");
    let (head, good) = Draft::new().bytes();
    std::fs::write(&uploaded, &good[..head]).unwrap();
    assert!(take().await.unwrap_err().contains("cut off"));
    assert!(!uploaded.exists());
    std::fs::write(&uploaded, &good).unwrap();
    assert!(take().await.is_ok());
    assert!(!uploaded.exists());
}

/// Somebody who has gone without a word.
struct Silent;

impl intake::Source for Silent {
    async fn next(&mut self) -> Result<bytes::Bytes, String> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_silent_breaks_off_and_another_is_taken() {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    let (progress, _steps) = Progress::channel();
    let silent = updates.install_from(Silent, false, &progress);
    let answer = timeout(Duration::from_secs(600), silent).await;
    let refusal = answer.expect("it waits for ever").unwrap_err().to_string();
    assert!(
        refusal.contains("nothing came for 120 seconds"),
        "{refusal}"
    );
    let (_, good) = Draft::new().bytes();
    assert!(install(&updates, &good).await.is_ok());
}

#[tokio::test]
async fn what_the_power_cut_off_in_an_upload_is_gone_after_the_start() {
    let machine = Machine::new();
    let folder = machine.path().join("edged/update");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["uploaded", "uploaded.part"] {
        std::fs::write(folder.join(name), "a bundle").unwrap();
    }
    updates(&machine, edged_store::SCHEMA_READS).await;
    assert!(folder.join("uploaded").exists());
    assert!(!folder.join("uploaded.part").exists());
}

/// A umec-stick that says what it is given, to one who asks.
fn says(machine: &Machine, message: StickReply, bytes: Vec<u8>) {
    let path = machine.path().join("stick.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let line = encode(&Frame { message, id: None }).unwrap();
        stream.write_all(&line).await.unwrap();
        // Whoever refuses the bundle reads no further.
        let _ = stream.write_all(&bytes).await;
    });
}

#[tokio::test]
async fn what_is_on_a_stick_is_judged_as_what_comes_any_other_way() {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    let take = || take(&updates, BundleSource::Stick);
    let bundle = |bytes: &[u8]| StickReply::Bundle {
        name: "5.update".to_owned(),
        size: u64::try_from(bytes.len()).unwrap(),
    };
    assert!(take().await.unwrap_err().contains("not to be reached"));
    let refusal = Refusal {
        sentence: "no stick is plugged in".to_owned(),
        transient: false,
    };
    says(&machine, StickReply::Refused(refusal), Vec::new());
    assert!(take().await.unwrap_err().contains("no stick is plugged in"));

    let (_, good) = Draft::new().bytes();
    let mut foreign = Draft::new();
    foreign.signer = &KEYS[1];
    let foreign = foreign.bytes().1;
    says(&machine, bundle(&foreign), foreign.clone());
    assert!(take().await.unwrap_err().contains("signature is wrong"));
    says(&machine, bundle(&good), good[..good.len() - 1].to_vec());
    let refusal = take().await.unwrap_err();
    assert!(refusal.contains("was it pulled out?"), "{refusal}");
    assert_eq!(machine.medium().asked, []);

    says(&machine, bundle(&good), good.clone());
    take().await.unwrap();
    assert_eq!(machine.medium().asked.first(), Some(&Command::Write {}));
}

#[tokio::test]
async fn an_address_is_fetched_by_https_alone() {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    for (address, why) in [
        ("http://127.0.0.1/5.update", "by https alone"),
        ("https://a:b@127.0.0.1/5.update", "no place in it"),
        ("https://127.0.0.1:1/5.update", "refused"),
    ] {
        let source = BundleSource::Address(address.to_owned());
        let refusal = take(&updates, source).await.unwrap_err();
        assert!(refusal.to_lowercase().contains(why), "{refusal}");
    }
}
