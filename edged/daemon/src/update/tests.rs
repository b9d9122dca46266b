//! The keeper with an umec-slot that is all in memory: over starts of the box that the test makes.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edged_protocol::slot::{Command, Reply as Answer, Slot as Place, Slots as Looked};
use edged_protocol::stick::Reply as StickReply;
use edged_protocol::{Frame, Refusal, decode, encode};
use edged_update::{BootId, Outcome, Release, State, Update, Wish};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use edged_console::{BundleSource, Progress};

use super::Updates;
use super::keeper::{Ask, Keeper, Seen};
use crate::snapshot::Snapshot;

#[allow(dead_code)] // Some of it is for tests that are not here.
#[path = "../../../update/tests/made/mod.rs"]
mod made;
use made::{Draft, KEYS};

/// What is on the medium: a release in each slot.
#[derive(Debug, Clone)]
struct Medium {
    a: u64,
    b: u64,
    armed: bool,
    trial: bool,
    floor: u64,
    booted: Place,
    running: Place,
    release: u64,
    asked: Vec<Command>,
    refuse: Option<Command>,
}

impl Medium {
    fn answer(&mut self, command: &Command) -> Answer {
        if !matches!(command, Command::Look {}) {
            self.asked.push(command.clone());
        }
        if self.refuse.as_ref() == Some(command) {
            return Answer::Refused(Refusal {
                sentence: "the medium is worn out".to_owned(),
                transient: false,
            });
        }
        match command {
            Command::Look {} => {
                return Answer::Looked(Looked {
                    booted: self.booted,
                    running: self.running,
                    release: self.release,
                    a: 1,
                    b: 1,
                    room: 1 << 20,
                    armed: self.armed,
                    trial: self.trial && self.booted == Place::B,
                    floor: Some(self.floor),
                });
            }
            Command::Write {} => self.b = 5,
            Command::Arm {} => (self.armed, self.trial) = (true, true),
            Command::Disarm {} => (self.armed, self.trial) = (false, false),
            Command::Exchange {} => {
                std::mem::swap(&mut self.a, &mut self.b);
                (self.running, self.trial) = (Place::A, false);
            }
            Command::Mirror { from: Place::A } => self.b = self.a,
            Command::Mirror { from: Place::B } => self.a = self.b,
            Command::Raise {} => self.floor = self.release,
            Command::Hash { .. } => {}
        }
        Answer::Done {}
    }

    /// As the firmware does.
    fn start(&mut self) {
        self.booted = if self.armed { Place::B } else { Place::A };
        self.armed = false;
        self.running = self.booted;
        self.release = if self.booted == Place::A {
            self.a
        } else {
            self.b
        };
    }
}

/// A box: what stays over its starts.
struct Machine {
    folder: tempfile::TempDir,
    medium: Arc<Mutex<Medium>>,
    starts: u32,
}

/// One start.
struct Running {
    keeper: JoinHandle<()>,
    slot: JoinHandle<()>,
    asks: mpsc::Sender<Ask>,
    seen: watch::Receiver<Seen>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("requests")).unwrap();
        Self {
            folder,
            starts: 0,
            medium: Arc::new(Mutex::new(Medium {
                a: 4,
                b: 4,
                armed: false,
                trial: false,
                floor: 4,
                booted: Place::A,
                running: Place::A,
                release: 4,
                asked: Vec::new(),
                refuse: None,
            })),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn medium(&self) -> std::sync::MutexGuard<'_, Medium> {
        self.medium.lock().unwrap()
    }

    fn start(&mut self) -> Running {
        self.starts += 1;
        self.medium().start();
        let _ = std::fs::remove_file(self.path().join("requests/reboot"));
        let socket = self.path().join("slot.sock");
        let _ = std::fs::remove_file(&socket);
        let slot = tokio::spawn(serve(
            UnixListener::bind(&socket).unwrap(),
            Arc::clone(&self.medium),
        ));
        let (snapshot, reader) = watch::channel(Arc::new(Snapshot::default()));
        let (asks, asked) = mpsc::channel(8);
        let options = edged_config::Update {
            key: "/none".into(),
            slot: socket,
            stick: "/none".into(),
            policy_key: "/none".into(),
            trial: 60,
        };
        let image = edged_config::Image {
            build: "/none".into(),
            commissioners: "/none".into(),
            requests: self.path().join("requests"),
            event_log: "/none".into(),
            registers: "/none".into(),
        };
        let boot = (BootId::new(self.starts.to_string()), Duration::from_secs(9));
        let (keeper, seen) =
            Keeper::open(self.path(), &options, &image, reader, boot, asked).unwrap();
        Running {
            keeper: tokio::spawn(keeper.run()),
            slot,
            asks,
            seen,
            snapshot,
        }
    }
}

async fn serve(listener: UnixListener, medium: Arc<Mutex<Medium>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let frame: Frame<Command> = decode(line.as_bytes()).unwrap();
            let message = medium.lock().unwrap().answer(&frame.message);
            let id = frame.id;
            let answer = encode(&Frame { message, id }).unwrap();
            let _ = write.write_all(&answer).await;
        }
    }
}

impl Running {
    async fn until(&mut self, done: impl FnMut(&Seen) -> bool) -> Seen {
        let seen = tokio::time::timeout(Duration::from_secs(600), self.seen.wait_for(done)).await;
        seen.expect("it never comes to that").unwrap().clone()
    }

    async fn install(&mut self, machine: &Machine) -> Result<(), String> {
        self.until(|seen| seen.slots.is_some()).await;
        let incoming = machine.path().join("incoming");
        std::fs::write(&incoming, "a bundle").unwrap();
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Install {
            update: Update {
                release: Release::new(5),
                version: "0.1.0".to_owned(),
                from: Release::new(4),
            },
            incoming,
            staged: machine.path().join("staged"),
            reply,
        };
        self.asks.send(ask).await.unwrap();
        answer.await.unwrap().map_err(|error| error.to_string())
    }

    async fn wish(&self, wish: Wish) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Wish { wish, reply }).await.unwrap();
        answer.await.unwrap().map_err(|error| error.to_string())
    }

    /// The box is asked to start anew.
    async fn restarts(self, machine: &Machine) {
        let request = machine.path().join("requests/reboot");
        let asked = async {
            while !request.exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), asked)
            .await
            .expect("the box is not asked to start anew");
        self.end();
    }

    /// The power goes, or the box starts anew.
    fn end(self) {
        self.keeper.abort();
        self.slot.abort();
    }
}

fn outcome(seen: &Seen) -> Option<&Outcome> {
    match &seen.state {
        State::Idle { last: Some(last) } => Some(&last.outcome),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_written_tried_and_confirmed() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;
    let mut running = machine.start();
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    assert_eq!(outcome(&seen), Some(&Outcome::Confirmed));
    assert!(!machine.path().join("staged").exists());
    let medium = machine.medium().clone();
    assert_eq!((medium.a, medium.b, medium.floor), (5, 5, 5));
    assert_eq!(
        medium.asked,
        [
            Command::Write {},
            Command::Arm {},
            Command::Exchange {},
            Command::Disarm {},
            Command::Mirror { from: Place::A },
            Command::Raise {},
        ]
    );
    drop(medium);
    running.end();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_come_back_ends_the_trial() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    running.snapshot.send_replace(Arc::new(Snapshot {
        broker: Ok(()),
        ..Snapshot::default()
    }));
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;

    let mut running = machine.start();
    let missing = |seen: &Seen| seen.health.as_deref() == Some("the broker does not work");
    let seen = running.until(missing).await;
    assert_eq!(seen.state.to_string(), "trial 1 of 3");
    let refusal = running.wish(Wish::Confirm).await.unwrap_err();
    assert!(refusal.contains("the broker does not work"), "{refusal}");
    running.restarts(&machine).await;

    let mut running = machine.start();
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    let why = "the broker does not work".to_owned();
    assert_eq!(outcome(&seen), Some(&Outcome::RolledBack { why }));
    let medium = machine.medium().clone();
    assert_eq!((medium.a, medium.b, medium.floor), (4, 4, 4));
    drop(medium);
    running.end();
}

#[tokio::test(start_paused = true)]
async fn trials_that_say_nothing_are_three() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;
    for trial in 1..=3 {
        // It hangs, and is reset: nobody has said anything.
        machine.medium().start();
        assert_eq!(machine.medium().release, 5, "trial {trial}");
        running = machine.start();
        if trial < 3 {
            running.restarts(&machine).await;
        } else {
            let seen = running.until(|seen| outcome(seen).is_some()).await;
            assert!(matches!(
                outcome(&seen),
                Some(Outcome::RolledBack { why }) if why.starts_with("3 trials")
            ));
            running.end();
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_rolls_a_trial_back_and_confirms_another() {
    let mut machine = Machine::new();
    for wish in [Wish::RollBack, Wish::Confirm] {
        let mut running = machine.start();
        let refusal = running.wish(wish).await.unwrap_err();
        assert!(refusal.contains("trial"), "{refusal}");
        running.install(&machine).await.unwrap();
        running.restarts(&machine).await;
        let mut running = machine.start();
        running
            .until(|seen| seen.state.to_string() == "trial 1 of 3" && seen.slots.is_some())
            .await;
        running.wish(wish).await.unwrap();
        if wish == Wish::RollBack {
            running.restarts(&machine).await;
            running = machine.start();
        }
        let ended = |seen: &Seen| outcome(seen).is_some();
        let seen = running.until(ended).await;
        assert_eq!(
            outcome(&seen) == Some(&Outcome::Confirmed),
            wish == Wish::Confirm
        );
        running.end();
    }
}

#[tokio::test(start_paused = true)]
async fn what_umec_slot_refuses_is_what_install_says() {
    let mut machine = Machine::new();
    machine.medium().refuse = Some(Command::Write {});
    let mut running = machine.start();
    let refusal = running.install(&machine).await.unwrap_err();
    assert_eq!(refusal, "the medium is worn out");
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    assert!(matches!(outcome(&seen), Some(Outcome::RolledBack { .. })));
    running.end();
}

/// Updates as edged has them, over an umec-slot in memory.
async fn updates(machine: &Machine, database: u32) -> Updates {
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
    let (_, reader) = watch::channel(Arc::new(Snapshot::default()));
    let mut background = tokio::task::JoinSet::new();
    let updates = Updates::start(&config, &reader, database, &mut background);
    background.detach_all();
    let mut seen = updates.0.as_ref().unwrap().seen.clone();
    seen.wait_for(|seen| seen.slots.is_some()).await.unwrap();
    updates
}

async fn install(updates: &Updates, bundle: &[u8]) -> Result<String, String> {
    let (progress, _steps) = Progress::channel();
    let installed = updates.install(BundleSource::Input, false, bundle, &progress);
    let view = installed.await.map_err(|error| error.to_string())?;
    Ok(view.state)
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
    let take = async || {
        let (progress, _steps) = Progress::channel();
        let taken = updates.install(BundleSource::Uploaded, false, &[][..], &progress);
        taken
            .await
            .map(|view| view.state)
            .map_err(|error| error.to_string())
    };
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
    let take = async || {
        let (progress, _steps) = Progress::channel();
        let taken = updates.install(BundleSource::Stick, false, &[][..], &progress);
        let taken = taken.await.map(|view| view.state);
        taken.map_err(|error| error.to_string())
    };
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
        let (progress, _steps) = Progress::channel();
        let source = BundleSource::Address(address.to_owned());
        let refusal = updates.install(source, false, &[][..], &progress).await;
        let refusal = refusal.unwrap_err().to_string();
        assert!(refusal.to_lowercase().contains(why), "{refusal}");
    }
}
