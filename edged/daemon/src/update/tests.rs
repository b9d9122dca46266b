//! The keeper with an umec-slot that is all in memory: over starts of the box that the test makes.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edged_model::{AppInstance, Digest, Goal, InstanceState, LeaseNumber, PinnedImage, Rules};
use edged_protocol::Secret;
use edged_protocol::slot::{Command, Reply as Answer, Slot as Place, Slots as Looked};
use edged_protocol::{Frame, Refusal, decode, encode};
use edged_update::{BootId, Outcome, Release, State, Update, Wish};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::keeper::{Ask, Keeper, Seen};
use crate::snapshot::{InstanceStatus, Snapshot};

mod address;
mod bundles;

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
    /// What is done and not answered before the gate is opened.
    hold: Option<Command>,
    gate: Arc<Semaphore>,
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
                hold: None,
                gate: Arc::new(Semaphore::new(0)),
            })),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn medium(&self) -> std::sync::MutexGuard<'_, Medium> {
        self.medium.lock().unwrap()
    }

    /// Until umec-slot is asked for something.
    async fn is_asked(&self, command: &Command) {
        let asked = async {
            while !self.medium().asked.contains(command) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let asked = timeout(Duration::from_secs(600), asked).await;
        asked.expect("umec-slot is not asked for it");
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
            let (message, gate) = {
                let mut medium = medium.lock().unwrap();
                let held = medium.hold.as_ref() == Some(&frame.message);
                let gate = held.then(|| Arc::clone(&medium.gate));
                (medium.answer(&frame.message), gate)
            };
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
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

/// A box in which everything works, with these applications.
fn up(apps: impl IntoIterator<Item = (&'static str, Goal, InstanceState)>) -> Arc<Snapshot> {
    let status = |(name, goal, state): (&str, Goal, InstanceState)| {
        let spec = serde_json::json!({"name": name, "image": "r.io/a:1"});
        let instance = AppInstance {
            id: name.parse().unwrap(),
            spec: serde_json::from_value(spec).unwrap(),
            image: PinnedImage {
                manifest: Digest::from_sha256([0; 32]),
                layers: vec![],
            },
            goal,
            lease: LeaseNumber::lowest_free(&std::collections::BTreeSet::new(), 9).unwrap(),
            rules: Rules::default(),
            created: 0,
        };
        let status = InstanceStatus {
            instance: Arc::new(instance),
            credentials: edged_store::Credentials {
                mqtt_password: Secret::new("x"),
                client_secret: Secret::new("x"),
            },
            state,
            container: edged_model::ContainerState::Absent,
            restarts: 0,
            last_exit: None,
        };
        (name.parse().unwrap(), status)
    };
    Arc::new(Snapshot {
        instances: apps.into_iter().map(status).collect(),
        services: vec![],
        worker: Some(edged_protocol::worker::CgroupLayout::V2),
        guardian: Some(edged_protocol::guardian::Abilities::default()),
        settled: true,
        broker: Ok(()),
    })
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
async fn a_power_cut_in_the_writing_leaves_what_the_trial_is_measured_by() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    let web = ("web", Goal::Running, InstanceState::Ready);
    running.snapshot.send_replace(up([web]));
    machine.medium().hold = Some(Command::Write {});
    let written = timeout(Duration::from_secs(1), running.install(&machine)).await;
    assert!(written.is_err(), "it was not held");
    running.end();

    machine.medium().hold = None;
    let mut running = machine.start();
    let seen = running.until(|seen| seen.state.before().is_some()).await;
    let before = seen.state.before().unwrap();
    assert!(before.ready.contains_key("web"), "{before:?}");
    assert!(before.parts.contains("broker"), "{before:?}");
    running.end();
}

#[tokio::test(start_paused = true)]
async fn an_application_that_is_stopped_in_the_trial_is_not_missed() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    let app = |name, state| (name, Goal::Running, state);
    let both = ["web", "mail"].map(|name| app(name, InstanceState::Ready));
    running.snapshot.send_replace(up(both));
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;

    let mut running = machine.start();
    let stopped = ("web", Goal::Stopped, InstanceState::Stopped);
    let mail = |state| up([stopped.clone(), app("mail", state)]);
    running.snapshot.send_replace(mail(InstanceState::Starting));
    let missing = "the application mail is not ready";
    let is_missing = |seen: &Seen| seen.health.as_deref() == Some(missing);
    running.until(is_missing).await;
    running.snapshot.send_replace(mail(InstanceState::Ready));
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    assert_eq!(outcome(&seen), Some(&Outcome::Confirmed));
    running.end();
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_comes_after_the_exchange_is_refused() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;

    machine.medium().hold = Some(Command::Exchange {});
    let mut running = machine.start();
    machine.is_asked(&Command::Exchange {}).await;
    let opens = async { machine.medium().gate.add_permits(1) };
    let (refusal, ()) = tokio::join!(running.wish(Wish::RollBack), opens);
    let refusal = refusal.unwrap_err();
    assert!(refusal.contains("is not taken back"), "{refusal}");
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    assert_eq!(outcome(&seen), Some(&Outcome::Confirmed));
    running.end();
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_while_it_settles_is_tried_again_after_ever_longer_pauses() {
    let mut machine = Machine::new();
    let mut running = machine.start();
    running.install(&machine).await.unwrap();
    running.restarts(&machine).await;

    machine.medium().refuse = Some(Command::Raise {});
    let mut running = machine.start();
    running.until(|seen| seen.problem.is_some()).await;
    sleep(Duration::from_secs(600)).await;
    let asked = machine.medium().asked.clone();
    let raises = asked.iter().filter(|it| **it == Command::Raise {}).count();
    // After one minute, two and four more.
    assert_eq!(raises, 4, "{asked:?}");
    machine.medium().refuse = None;
    let seen = running.until(|seen| outcome(seen).is_some()).await;
    assert_eq!(outcome(&seen), Some(&Outcome::Confirmed));
    running.end();
}

#[tokio::test(start_paused = true)]
async fn who_wishes_while_umec_slot_cannot_look_is_told_so() {
    let mut machine = Machine::new();
    machine.medium().refuse = Some(Command::Look {});
    let mut running = machine.start();
    for wish in [Wish::RollBack, Wish::Confirm] {
        let answer = timeout(Duration::from_secs(60), running.wish(wish)).await;
        let refusal = answer.expect("it hangs").unwrap_err();
        assert!(refusal.contains("cannot be looked at"), "{refusal}");
    }
    machine.medium().refuse = None;
    running.until(|seen| seen.slots.is_some()).await;
    running.end();
}

#[tokio::test(start_paused = true)]
async fn a_wish_of_somebody_who_has_gone_is_not_granted() {
    let mut machine = Machine::new();
    machine.medium().hold = Some(Command::Write {});
    let mut running = machine.start();
    let asks = running.asks.clone();
    let gone = async {
        machine.is_asked(&Command::Write {}).await;
        let (reply, _) = oneshot::channel();
        let wish = Wish::RollBack;
        asks.send(Ask::Wish { wish, reply }).await.unwrap();
        machine.medium().gate.add_permits(1);
    };
    let (installed, ()) = tokio::join!(running.install(&machine), gone);
    installed.unwrap();
    running.restarts(&machine).await;
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
