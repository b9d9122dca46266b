//! What the reconciler believes when news, looks and results cross each other. The lines are down: nothing is carried
//! out, results are told by the tests.

use std::collections::BTreeSet;

use edged_model::{
    AppSpec, Digest, ExitCode, LeaseNumber, Limits, Mqtt, Network, PinnedImage, Probes,
    RestartPolicy, StopPolicy,
};
use edged_protocol::Secret;
use edged_protocol::guardian::Abilities;
use edged_protocol::worker::CgroupLayout;
use edged_store::Credentials;
use tempfile::TempDir;

use super::*;
use crate::link::guardian::{self, Guardian};
use crate::link::worker::{self, Worker};

const RUNNING: ContainerState = ContainerState::Running { pid: 1, since: 0 };
const KILLED: ExitCode = ExitCode::Signal(9);

struct Bench {
    reconciler: Reconciler,
    _folder: TempDir,
}

impl Bench {
    /// A reconciler of these, each with its container running and everything else as wanted.
    async fn with(apps: impl IntoIterator<Item = AppInstance>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edged.toml");
        let shown = folder.path().display();
        std::fs::write(
            &path,
            format!("version = 1\n[node]\nstate = \"{shown}\"\nrun = \"{shown}\"\n"),
        )
        .unwrap();
        let config = edged_config::Config::read(&path).unwrap();
        let addressing = config.addressing().unwrap();
        let dns = edged_dns::DnsServer::bind(edged_dns::DnsConfig {
            zone: config.node.zone(),
            listen: vec![([127, 0, 0, 1], 0).into()],
            upstreams: vec![],
            subnets: vec![],
        });
        let (broker, _) = edged_mqtt::BrokerClient::connect(edged_mqtt::BrokerConfig {
            host: "127.0.0.1".to_owned(),
            port: 1,
            username: "edged".parse().unwrap(),
            password: Secret::new("x"),
        });
        let announcer = Announcer::new(
            dns.await.unwrap().directory(),
            broker.clone(),
            addressing.clone(),
        );
        let means = Means {
            worker: Worker::at(folder.path().join("worker")),
            guardian: Guardian::at(folder.path().join("guardian")),
            broker,
            images: edged_image::ContentStore::open(&folder.path().join("content")).unwrap(),
            config: Arc::new(config),
            addressing: Arc::new(addressing),
        };
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        for app in apps {
            store.insert(&app, &credentials()).unwrap();
        }
        let (snapshot, _) = watch::channel(Arc::new(Snapshot::default()));
        let (pictures, _) = watch::channel(Arc::new(Picture::default()));
        let mut reconciler = Reconciler::new(
            means,
            store,
            announcer,
            mpsc::channel(MESSAGES),
            (snapshot, pictures),
        )
        .unwrap();
        reconciler.world.guardian = Some(guardian::Seen {
            links: reconciler
                .instances
                .values()
                .map(|it| it.instance.lease)
                .collect(),
            policy: Some(reconciler.policy().fingerprint()),
            abilities: Abilities::default(),
        });
        reconciler.world.broker = Some(BTreeMap::new());
        let mut bench = Self {
            reconciler,
            _folder: folder,
        };
        let ids: Vec<InstanceId> = bench.reconciler.instances.keys().cloned().collect();
        bench.reconciler.world.worker = Some(Bench::seen(&[]));
        for id in ids {
            let instance = Arc::clone(&bench.of(&id).instance);
            bench.reconciler.world.set_account(&instance, true);
            bench.reconciler.world.set_container(&id, RUNNING);
        }
        bench
    }

    fn seen(containers: &[(&InstanceId, ContainerState)]) -> worker::Seen {
        worker::Seen {
            cgroups: CgroupLayout::V2,
            layers: BTreeSet::new(),
            containers: containers
                .iter()
                .map(|(id, state)| ((*id).clone(), *state))
                .collect(),
        }
    }

    fn of(&mut self, id: &InstanceId) -> &mut Tracked {
        self.reconciler.instances.get_mut(id).unwrap()
    }

    fn container(&self, id: &InstanceId) -> ContainerState {
        self.reconciler.world.container(id)
    }

    fn exited(&mut self, id: &InstanceId) {
        self.reconciler.take(Message::Exited {
            instance: id.clone(),
            code: KILLED,
        });
    }

    fn finish(&mut self, id: &InstanceId, action: Action, container: ContainerState) {
        let outcome = Outcome {
            container: Some(container),
            ..Outcome::default()
        };
        self.reconciler
            .finish((id.clone(), action, outcome, Ok(())));
    }

    fn change(&mut self, name: &str, goal: Goal) -> Result<(), Denied> {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let name = name.parse().unwrap();
        let wish = Wish::Change {
            which: Which::Name(name),
            goal,
            force: true,
            grace_ms: None,
            reply,
        };
        self.reconciler.take(Message::Wish(wish));
        answer.try_recv().unwrap()
    }
}

fn credentials() -> Credentials {
    Credentials {
        mqtt_password: Secret::new("x"),
        client_secret: Secret::new("x"),
    }
}

fn app(name: &str, place: u16, restart: RestartPolicy) -> AppInstance {
    AppInstance {
        id: InstanceId::random(),
        spec: AppSpec {
            name: name.parse().unwrap(),
            image: "r.io/a:1".parse().unwrap(),
            entrypoint: None,
            args: vec![],
            env: BTreeMap::new(),
            limits: Limits::default(),
            writable: false,
            network: Network::default(),
            mqtt: Mqtt::default(),
            services: vec![],
            probes: Probes::default(),
            restart,
            stop: StopPolicy::default(),
            depends_on: vec![],
        },
        image: PinnedImage {
            manifest: Digest::from_sha256([0; 32]),
            layers: vec![],
        },
        goal: Goal::Running,
        lease: place_of(place),
        rules: edged_model::Rules::default(),
        created: 0,
    }
}

fn place_of(number: u16) -> LeaseNumber {
    let mut taken = BTreeSet::new();
    for _ in 0..number {
        taken.insert(LeaseNumber::lowest_free(&taken, 100).unwrap());
    }
    LeaseNumber::lowest_free(&taken, 100).unwrap()
}

async fn one(restart: RestartPolicy) -> (Bench, InstanceId) {
    let app = app("app", 0, restart);
    let id = app.id.clone();
    (Bench::with([app]).await, id)
}

#[tokio::test]
async fn an_end_told_during_an_action_is_newer_than_what_the_action_saw() {
    for stale in [ContainerState::Stopping, RUNNING, ContainerState::Created] {
        let (mut bench, id) = one(RestartPolicy::Never).await;
        bench.of(&id).busy = true;
        bench.exited(&id);
        bench.finish(&id, Action::StopContainer, stale);
        assert_eq!(
            bench.container(&id),
            ContainerState::Exited { code: KILLED },
            "{stale:?}"
        );
        assert_eq!(bench.of(&id).last_exit, Some(KILLED));
    }
}

#[tokio::test]
async fn an_end_counts_once_whether_an_event_or_a_look_tells_it_first() {
    let ended = ContainerState::Exited { code: KILLED };
    for event_first in [true, false] {
        let (mut bench, id) = one(RestartPolicy::Always).await;
        bench.of(&id).busy = true;
        if event_first {
            bench.exited(&id);
        }
        bench.finish(&id, Action::StartContainer, ended);
        if !event_first {
            bench.exited(&id);
        }
        assert_eq!(bench.of(&id).restarts, 1);
        assert!(
            bench.of(&id).retry.pending().is_some(),
            "no pause before the next start"
        );
        // The next container's end is another one.
        bench.of(&id).saw(ContainerState::Absent);
        bench.reconciler.world.set_container(&id, RUNNING);
        bench.exited(&id);
        assert_eq!(bench.of(&id).restarts, 2);
    }
}

#[tokio::test]
async fn an_end_that_nobody_told_is_counted_when_the_worker_is_back() {
    let (mut bench, id) = one(RestartPolicy::Always).await;
    bench.reconciler.take(Message::WorkerDown);
    let code = ExitCode::Unknown;
    let seen = Bench::seen(&[(&id, ContainerState::Exited { code })]);
    bench.reconciler.take(Message::WorkerUp(seen));
    assert_eq!(
        (bench.of(&id).restarts, bench.of(&id).last_exit),
        (1, Some(code))
    );
    assert!(bench.of(&id).retry.pending().is_some());
}

#[tokio::test]
async fn the_last_word_of_a_deleted_container_is_not_believed() {
    let (mut bench, id) = one(RestartPolicy::Always).await;
    bench
        .reconciler
        .world
        .set_container(&id, ContainerState::Absent);
    bench.exited(&id);
    assert_eq!(bench.container(&id), ContainerState::Absent);
    bench.exited(&InstanceId::random());
    assert_eq!(bench.of(&id).restarts, 0);
}

#[tokio::test]
async fn whoever_waits_is_woken_in_the_turn_in_which_the_other_gets_ready() {
    // Whichever id is first in the order.
    for _ in 0..8 {
        let base = app("base", 0, RestartPolicy::Always);
        let mut dependent = app("dependent", 1, RestartPolicy::Always);
        dependent.spec.depends_on = vec![base.spec.name.clone()];
        let id = dependent.id.clone();
        let mut bench = Bench::with([base, dependent]).await;
        bench
            .reconciler
            .world
            .set_container(&id, ContainerState::Absent);
        let lease = bench.of(&id).instance.lease;
        bench.reconciler.world.set_link(lease, false);
        bench.reconciler.turn();
        assert!(bench.of(&id).busy, "it sleeps on");
    }
}

#[tokio::test]
async fn a_start_during_a_stop_starts_again_without_a_pause() {
    let (mut bench, id) = one(RestartPolicy::Never).await;
    bench.change("app", Goal::Stopped).unwrap();
    bench
        .reconciler
        .world
        .set_container(&id, ContainerState::Stopping);
    bench.change("app", Goal::Running).unwrap();
    bench.exited(&id);
    assert!(bench.of(&id).retry.pending().is_none());
    bench.reconciler.turn();
    assert!(bench.of(&id).busy, "nothing is done about it");
    // Once it runs, its next end is its own.
    bench.finish(&id, Action::StartContainer, RUNNING);
    assert!(!bench.of(&id).again);
}

#[tokio::test]
async fn a_start_of_what_runs_changes_nothing() {
    let (mut bench, id) = one(RestartPolicy::Never).await;
    bench.change("app", Goal::Running).unwrap();
    bench.exited(&id);
    bench.reconciler.turn();
    assert!(
        !bench.of(&id).busy,
        "an application that ended is started again"
    );
}

#[tokio::test]
async fn what_is_being_removed_cannot_be_wanted_again() {
    let (mut bench, _) = one(RestartPolicy::Always).await;
    bench.change("app", Goal::Removed).unwrap();
    for goal in [Goal::Running, Goal::Stopped] {
        assert!(matches!(bench.change("app", goal), Err(Denied::Going(_))));
    }
    bench.change("app", Goal::Removed).unwrap();
}

#[tokio::test]
async fn refused_rules_keep_nobody_elses_out() {
    let (mut bench, id) = one(RestartPolicy::Always).await;
    let with = bench.reconciler.policy().fingerprint();
    let failure = Failure::Own("refused".to_owned());
    let finished = (
        id.clone(),
        Action::AllowTraffic,
        Outcome::default(),
        Err(failure),
    );
    bench.reconciler.finish(finished);
    assert!(!bench.of(&id).allowed);
    assert_ne!(bench.reconciler.policy().fingerprint(), with);
    assert!(bench.of(&id).retry.pending().is_some());
}

#[tokio::test]
async fn layers_are_looked_at_anew_after_a_failure_and_forgotten_when_deleted() {
    let (mut bench, id) = one(RestartPolicy::Always).await;
    let layer = Digest::from_sha256([1; 32]);
    let missing = |bench: &Bench| {
        bench
            .reconciler
            .world
            .missing_layers(std::slice::from_ref(&layer))
            .len()
    };
    bench.reconciler.world.add_layer(layer.clone());
    assert_eq!(missing(&bench), 0);
    bench.reconciler.take(Message::LayerGone(layer.clone()));
    assert_eq!(missing(&bench), 1);
    bench.reconciler.world.add_layer(layer.clone());
    let outcome = Outcome {
        layers: Some(BTreeSet::new()),
        ..Outcome::default()
    };
    let failure = Failure::Own("a layer is not there".to_owned());
    bench
        .reconciler
        .finish((id, Action::CreateContainer, outcome, Err(failure)));
    assert_eq!(missing(&bench), 1);
}
