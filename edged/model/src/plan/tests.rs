use super::*;
use crate::{AppSpec, InstanceId, LeaseNumber, PinnedImage};

fn app(goal: Goal) -> AppInstance {
    let spec: AppSpec = AppSpec {
        name: "a".parse().unwrap(),
        image: "r.io/a:1".parse().unwrap(),
        entrypoint: None,
        args: vec![],
        env: std::collections::BTreeMap::new(),
        limits: crate::Limits::default(),
        writable: false,
        network: crate::Network::default(),
        mqtt: crate::Mqtt::default(),
        services: vec![],
        probes: crate::Probes::default(),
        restart: RestartPolicy::Always,
        stop: crate::StopPolicy::default(),
        depends_on: vec![],
    };
    AppInstance {
        id: InstanceId::random(),
        spec,
        image: PinnedImage {
            manifest: Digest::from_sha256([0; 32]),
            layers: vec![],
        },
        goal,
        lease: LeaseNumber::FIRST,
        rules: crate::Rules::default(),
        created: 0,
    }
}

fn layer() -> Digest {
    Digest::from_sha256([1; 32])
}

/// What the world shows after an action has succeeded.
fn after(action: &Action, mut seen: Observed) -> Observed {
    match action {
        Action::UnpackLayer(digest) => seen.missing_layers.retain(|missing| missing != digest),
        Action::AllowTraffic => seen.policy = true,
        Action::GrantAccount => seen.account = Some(true),
        Action::CreateContainer => seen.container = ContainerState::Created,
        Action::AttachLink => seen.link = true,
        Action::StartContainer => {
            seen.container = ContainerState::Running { pid: 1, since: 0 };
            seen.ready = true;
        }
        Action::Announce => seen.announced = true,
        Action::Withdraw => seen.announced = false,
        Action::StopContainer => {
            seen.container = ContainerState::Exited {
                code: ExitCode::Code(0),
            };
            seen.ready = false;
        }
        Action::DeleteContainer => seen.container = ContainerState::Absent,
        Action::DetachLink => seen.link = false,
        Action::RevokeAccount => seen.account = Some(false),
        Action::DenyTraffic => seen.policy = false,
        Action::Forget => {}
    }
    seen
}

fn transcript(wanted: &AppInstance, mut seen: Observed) -> (Vec<Action>, Observed) {
    let mut steps = Vec::new();
    while let Some(action) = plan(wanted, &seen) {
        assert!(steps.len() < 32, "the plan goes in circles: {steps:?}");
        let last = action == Action::Forget;
        seen = after(&action, seen);
        steps.push(action);
        if last {
            break;
        }
    }
    (steps, seen)
}

fn nothing() -> Observed {
    Observed {
        missing_layers: vec![layer()],
        account: Some(false),
        ..Observed::default()
    }
}

#[test]
fn an_app_is_made_in_the_order_of_its_facets() {
    let (steps, _) = transcript(&app(Goal::Running), nothing());
    assert_eq!(
        steps,
        [
            Action::UnpackLayer(layer()),
            Action::AllowTraffic,
            Action::GrantAccount,
            Action::CreateContainer,
            Action::AttachLink,
            Action::StartContainer,
            Action::Announce,
        ]
    );
}

#[test]
fn an_app_is_undone_in_the_reverse_order() {
    let (_, made) = transcript(&app(Goal::Running), nothing());
    let (steps, _) = transcript(&app(Goal::Removed), made);
    assert_eq!(
        steps,
        [
            Action::Withdraw,
            Action::StopContainer,
            Action::DeleteContainer,
            Action::DetachLink,
            Action::RevokeAccount,
            Action::DenyTraffic,
            Action::Forget,
        ]
    );
}

#[test]
fn an_app_that_waits_for_another_is_not_made() {
    let seen = Observed {
        waits_for: Some("db".parse().unwrap()),
        missing_layers: vec![],
        ..nothing()
    };
    assert_eq!(plan(&app(Goal::Running), &seen), None);
}

#[test]
fn the_restart_policy_decides_about_an_ended_container() {
    let ended = |code| Observed {
        container: ContainerState::Exited { code },
        ..nothing()
    };
    for (policy, code, again) in [
        (RestartPolicy::Always, ExitCode::Code(0), true),
        (RestartPolicy::OnFailure, ExitCode::Code(0), false),
        (RestartPolicy::OnFailure, ExitCode::Unknown, true),
        (RestartPolicy::Never, ExitCode::Signal(9), false),
    ] {
        let mut wanted = app(Goal::Running);
        wanted.spec.restart = policy;
        let expected = again.then_some(Action::DeleteContainer);
        assert_eq!(plan(&wanted, &ended(code)), expected, "{policy:?} {code:?}");
    }
    let mut wanted = app(Goal::Running);
    wanted.spec.restart = RestartPolicy::Never;
    let asked = Observed {
        again: true,
        ..ended(ExitCode::Code(0))
    };
    assert_eq!(plan(&wanted, &asked), Some(Action::DeleteContainer));
}

#[test]
fn from_every_state_the_plan_ends_where_it_should() {
    let containers = [
        ContainerState::Absent,
        ContainerState::Created,
        ContainerState::Running { pid: 1, since: 0 },
        ContainerState::Exited {
            code: ExitCode::Unknown,
        },
    ];
    for container in containers {
        for bits in 0_u8..32 {
            let bit = |at: u8| bits & (1 << at) != 0;
            let seen = Observed {
                missing_layers: if bit(0) { vec![layer()] } else { vec![] },
                policy: bit(1),
                account: Some(bit(2)),
                container,
                link: bit(3),
                announced: bit(4),
                ready: matches!(container, ContainerState::Running { .. }),
                ..Observed::default()
            };
            let (_, made) = transcript(&app(Goal::Running), seen.clone());
            assert!(
                made.announced && made.link && made.policy && made.account == Some(true),
                "{seen:?} → {made:?}"
            );
            assert!(matches!(made.container, ContainerState::Running { .. }));
            let (steps, gone) = transcript(&app(Goal::Removed), seen.clone());
            assert_eq!(steps.last(), Some(&Action::Forget));
            assert!(
                !gone.announced && !gone.link && !gone.policy && gone.account == Some(false),
                "{seen:?}"
            );
            assert_eq!(gone.container, ContainerState::Absent);
        }
    }
}

#[test]
fn an_app_whose_container_is_still_ending_is_not_forgotten() {
    let ending = Observed {
        container: ContainerState::Stopping,
        link: true,
        account: Some(true),
        policy: true,
        ..nothing()
    };
    for goal in [Goal::Running, Goal::Stopped, Goal::Removed] {
        assert_eq!(plan(&app(goal), &ending), None, "{goal:?}");
    }
}
