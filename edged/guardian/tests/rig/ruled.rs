//! A box with three applications and what traffic rules are proven with.

use std::net::{SocketAddr, UdpSocket};

use edged_model::TrafficRule;
use edged_protocol::guardian::{Abilities, AppPolicy, Command, OwnedRule, Reply};

use super::{NEVER, Rig, SOON, policy, run};

/// A rule of the owner `owner`, from its filter and its action as JSON.
pub fn rule(id: &str, priority: u8, kind: &str, filter: &str, action: &str) -> OwnedRule {
    let text = format!(
        r#"{{"id":"{id}","filterType":"{kind}","priority":{priority},"filters":[{filter}],"action":{action},"active":true}}"#
    );
    let rule: TrafficRule = serde_json::from_str(&text).unwrap();
    let owner = "owner".parse().unwrap();
    OwnedRule { owner, rule }
}

pub fn forward(to: &str) -> String {
    format!(r#"{{"forward-encapsulated":{{"ip":"{to}"}}}}"#)
}

pub fn duplicate(to: &str, copy: &str) -> String {
    format!(r#"{{"duplicate-encapsulated":[{{"ip":"{to}"}},{{"ip":"{copy}"}}]}}"#)
}

pub const DROP: &str = "\"drop\"";
pub const PASS: &str = "\"passthrough\"";

/// Applications `a` (place 2), `b` (3) and `c` (4), of which `a` may reach `b`; the outside knows the way in.
pub struct Node {
    pub rig: Rig,
    pub apps: Vec<AppPolicy>,
}

impl Node {
    pub fn new() -> Self {
        let mut rig = Rig::new();
        rig.start();
        for (app, place) in [("a", 2), ("b", 3), ("c", 4)] {
            rig.app(app, place);
        }
        for (net, via) in [
            ("10.80.0.0/16", "192.0.2.1"),
            ("fd00:6d65:63::/64", "2001:db8::1"),
        ] {
            run(&format!("ip -n {}out route add {net} via {via}", rig.name));
        }
        let apps = vec![
            rig.wish("a", 2, &[3]),
            rig.wish("b", 3, &[]),
            rig.wish("c", 4, &[]),
        ];
        let net = Self { rig, apps };
        net.rules(&[]);
        net
    }

    pub fn rules(&self, rules: &[OwnedRule]) {
        self.rig.apply_with(&self.apps, rules);
    }

    pub fn socket(&self, space: &str, at: &str) -> UdpSocket {
        self.rig.within(space, || UdpSocket::bind(at).unwrap())
    }

    pub fn refusal(&self, rules: &[OwnedRule]) -> String {
        let command = Command::Apply {
            policy: policy(&self.apps, rules),
        };
        match self.rig.ask(command) {
            Reply::Refused(refusal) => {
                assert!(!refusal.transient, "{}", refusal.sentence);
                refusal.sentence
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn abilities(&self) -> Abilities {
        match self.rig.ask(Command::Observe {}) {
            Reply::Observed { abilities, .. } => abilities,
            other => panic!("{other:?}"),
        }
    }
}

/// What arrives, and from whom.
pub fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = [0; 64];
    let (length, from) = socket.recv_from(&mut bytes).expect("nothing was heard");
    (String::from_utf8(bytes[..length].to_vec()).unwrap(), from)
}

pub fn silent(socket: &UdpSocket) {
    socket.set_read_timeout(Some(NEVER)).unwrap();
    let mut bytes = [0; 64];
    let heard = socket.recv_from(&mut bytes);
    assert!(heard.is_err(), "{heard:?} was heard: {bytes:?}");
}

pub fn says(from: &UdpSocket, word: &str, to: &str) {
    from.send_to(word.as_bytes(), to).unwrap();
}
