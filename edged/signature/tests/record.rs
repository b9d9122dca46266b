//! What a box keeps of image trust is consistent, whatever it is asked to keep.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use edged_signature::{
    Policy, PublicKey, Record, RecordError, Requirement, Rule, Signatures, Signer, Validity,
};

fn signed_by(key: &str) -> Requirement {
    Requirement::Signature(Signatures {
        keys: vec![key.to_owned()],
        identity: false,
        release: None,
    })
}

fn policy(prefix: &str, needs: Requirement) -> Policy {
    let prefix = prefix.to_owned();
    Policy {
        rules: vec![Rule { prefix, needs }],
        ..Policy::signed()
    }
}

/// A record with the key "team".
fn record() -> (Record, String) {
    let mut record = Record::default();
    let pem = Signer::generate().unwrap().public();
    record
        .add("team".parse().unwrap(), &pem, Validity::default())
        .unwrap();
    (record, pem)
}

#[test]
fn the_longest_prefix_of_whole_words_counts() {
    let mut policy = policy("a.example", Requirement::Deny);
    for (prefix, needs) in [
        ("a.example/team/", Requirement::Allow),
        ("a.example/team/web", signed_by("*")),
    ] {
        policy.rules.push(Rule {
            prefix: prefix.to_owned(),
            needs,
        });
    }
    for (repository, needs) in [
        ("a.example/other", Requirement::Deny),
        ("a.example/teammates/x", Requirement::Deny),
        ("a.example/team/x", Requirement::Allow),
        ("a.example/team/web", signed_by("*")),
        ("a.example/team/website", Requirement::Allow),
        ("a.example.evil/team", policy.default.clone()),
        ("b.example/team", policy.default.clone()),
    ] {
        assert_eq!(policy.of(repository), &needs, "{repository}");
    }
}

#[test]
fn a_prefix_is_kept_as_references_spell_it() {
    let (mut record, _) = record();
    for given in ["A.Example:443/team", "a.example/team/", "A.EXAMPLE/team"] {
        record.set_policy(policy(given, Requirement::Deny)).unwrap();
        let kept = &record.policy().unwrap().rules[0].prefix;
        assert_eq!(kept, "a.example/team", "{given}");
    }
    let mut twice = policy("a.example", Requirement::Deny);
    twice
        .rules
        .extend(policy("A.Example", Requirement::Allow).rules);
    let twice = record.set_policy(twice);
    assert!(matches!(twice, Err(RecordError::Prefix(_))), "{twice:?}");
    for none in ["", "/", "a.example.", "a.example:x", "a.example/\u{e9}"] {
        let refused = record.set_policy(policy(none, Requirement::Deny));
        assert!(matches!(refused, Err(RecordError::Prefix(_))), "{none}");
    }
}

#[test]
fn a_prefix_that_no_image_has_is_refused_where_a_policy_is_set() {
    let (mut record, _) = record();
    for none in [
        "nginx",
        "registry/team",
        "a.example/Team",
        "a.example/team:1",
        "a.example/team:1/web",
        "a.example//team",
        "a.example/-team",
    ] {
        let refused = record.set_policy(policy(none, Requirement::Deny));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(&format!("{none:?}")), "{refused}");
        assert!(record.policy().is_none(), "{none}");
    }
    let longest = format!("a.example/{}", "a".repeat(255));
    for some in [
        "a.example",
        "localhost",
        "localhost/team",
        "depot:443",
        "127.0.0.1:5000/team",
        "docker.io",
        "docker.io/bitnami",
        "docker.io/library/nginx",
        "a.example/team/web/",
        longest.as_str(),
    ] {
        let set = record.set_policy(policy(some, Requirement::Deny));
        assert_eq!(set, Ok(()), "{some}");
    }
}

#[test]
fn a_prefix_that_no_image_has_is_still_read_where_it_was_kept() {
    let text = r#"{"version":1,"policy":{"default":"deny","local":"deny",
        "rules":[{"prefix":"a.example/Team","needs":"allow"}]}}"#;
    let record = Record::from_json(text.as_bytes()).unwrap();
    assert_eq!(record.policy().unwrap().rules[0].prefix, "a.example/Team");
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let (mut record, _) = record();
    record
        .set_policy(policy("a.example", signed_by("team")))
        .unwrap();
    let bytes = record.to_json().unwrap();
    let again = Record::from_json(&bytes).unwrap();
    assert_eq!(again.to_json().unwrap(), bytes);
}

#[test]
fn a_key_that_a_rule_needs_stays_and_a_rule_needs_keys_that_are_there() {
    let (mut record, _) = record();
    let missing = record.set_policy(policy("a.example", signed_by("lab")));
    assert!(matches!(missing, Err(RecordError::Missing { .. })));
    let mut none = policy("a.example", signed_by("team"));
    none.rules[0].needs = Requirement::Signature(Signatures {
        keys: Vec::new(),
        identity: false,
        release: None,
    });
    assert!(matches!(
        record.set_policy(none),
        Err(RecordError::NoKey(_))
    ));
    assert!(record.policy().is_none());
    record
        .set_policy(policy("a.example", signed_by("team")))
        .unwrap();
    assert!(matches!(
        record.remove("team"),
        Err(RecordError::Needed { .. })
    ));
    record.set_policy(Policy::signed()).unwrap();
    record.remove("team").unwrap();
    assert!(matches!(
        record.remove("team"),
        Err(RecordError::Unknown(_))
    ));
}

#[test]
fn one_key_has_one_name() {
    let (mut record, pem) = record();
    let add = |record: &mut Record, name: &str, pem: &str| {
        record
            .add(name.parse().unwrap(), pem, Validity::default())
            .map(drop)
    };
    assert!(matches!(
        add(&mut record, "again", &pem),
        Err(RecordError::Known(_))
    ));
    let other = Signer::generate().unwrap().public();
    assert!(matches!(
        add(&mut record, "team", &other),
        Err(RecordError::Taken(_))
    ));
}

#[test]
fn only_public_keys_of_known_kinds_are_keys() {
    let pem = Signer::generate().unwrap().public();
    PublicKey::from_pem(&format!("some words\n{pem}")).unwrap();
    for text in [
        String::new(),
        pem.replace("PUBLIC", "PRIVATE"),
        pem.replace("PUBLIC", "EC PRIVATE"),
        format!("{pem}{pem}"),
        pem.replace("MFkw", "MFkx"),
        pem.replace('\n', "").replace("-----END", "="),
    ] {
        assert!(PublicKey::from_pem(&text).is_err(), "{text}");
    }
}

#[test]
fn a_policy_with_a_member_twice_is_no_policy() {
    let text = r#"{"version":1,"policy":{"default":"deny","default":"allow","local":"deny"}}"#;
    let error = Record::from_json(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("\"default\" twice"), "{error}");
}
