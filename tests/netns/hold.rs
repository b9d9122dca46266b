//! What is promised stays so: through sudden ends, refusals, and many who write at once.

use std::collections::BTreeSet;
use std::sync::Barrier;

use anyhow::{Context, anyhow, ensure};
use board::client::until;
use serde_json::json;
use umec_tests::lab::SOON;
use umec_tests::world::Eye;

use crate::field::Field;
use crate::http::Answer;
use crate::rules::{
    self, MANY, RULED, WAITING, drop_port, inactive, many, rule, to, traffic_path, with,
};

/// Does one thing in several threads that begin together; the answers in order.
fn together<T: Send>(
    count: u16,
    act: impl Fn(u16) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let start = Barrier::new(usize::from(count));
    let (start, act) = (&start, &act);
    std::thread::scope(|scope| {
        let begin = |number| {
            scope.spawn(move || {
                start.wait();
                act(number)
            })
        };
        let threads: Vec<_> = (0..count).map(begin).collect();
        let ends = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ends.map(|end| end.map_err(|_| anyhow!("a panic"))?)
            .collect()
    })
}

#[test]
fn rules_hold_through_the_sudden_ends_of_edged_and_the_guardian() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b", "c"])?;
    let (a, b, c) = (
        field.ear("a", 6000)?,
        field.ear("b", 7000)?,
        field.ear("c", 7001)?,
    );
    let (b_at, c_at) = (field.at("b")?, field.at("c")?);
    let lead = to(
        rule(
            "FORWARD_ENCAPSULATED",
            "PACKET",
            20,
            &json!({"dstPort": ["7001"]}),
        ),
        [c_at],
    );
    field.put("one", &drop_port(7000, "FLOW"))?;
    field.put("two", &lead)?;
    let holds = |what: &str| -> anyhow::Result<()> {
        a.says("dropped", (b_at, 7000))?;
        a.says(what, (b_at, 7001))?;
        c.hears_word(what)?;
        b.hears_nothing()
    };
    holds("before")?;
    for killed in ["edged", "guardian", "edged"] {
        field.lab.node.kill(killed)?;
        holds(killed).with_context(|| format!("while {killed} starts again"))?;
        let ready = || Ok(field.ask("GET", "/readyz", None)?.expect(200).ok());
        until(SOON, ready).with_context(|| format!("not ready after {killed} was killed"))?;
        holds(killed).with_context(|| format!("after {killed} was killed"))?;
        ensure!(field.shown("two")?.get("state") == Some(&json!("ACTIVE")));
        // It is still the node's: changed, and back.
        field.put("one", &inactive(drop_port(7000, "FLOW")))?;
        a.says("open", (b_at, 7000))?;
        b.hears_word("open")?;
        field.put("one", &drop_port(7000, "FLOW"))?;
    }
    field.end()
}

#[test]
fn a_refused_rule_leaves_the_old_one_in_force() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let (a, b) = (field.ear("a", 6000)?, field.ear("b", 7000)?);
    field.put("one", &drop_port(7000, "PACKET"))?;
    let open = json!({"dstPort": ["9"]});
    let dropped = |member: &str, value: serde_json::Value| {
        rule("DROP", "PACKET", 10, &with(open.clone(), member, value))
    };
    let lead = |to_address: &str| -> anyhow::Result<_> {
        let plain = rule("FORWARD_ENCAPSULATED", "PACKET", 10, &open);
        Ok(to(plain, [to_address.parse()?]))
    };
    for (status, word, refused) in [
        (422, "qCI", dropped("qCI", json!(9))),
        (422, "tag", dropped("tag", json!(["blue"]))),
        (422, "dstIpAddress", lead("127.0.0.1")?),
        (
            400,
            "srcAddress",
            dropped("srcAddress", json!(["somewhere"])),
        ),
        (
            400,
            "dstInterface",
            rule("FORWARD_ENCAPSULATED", "PACKET", 10, &open),
        ),
        (
            400,
            "dstInterface",
            to(
                rule("DUPLICATE_ENCAPSULATED", "PACKET", 10, &open),
                [field.at("b")?],
            ),
        ),
    ] {
        let sentence = field.is_refused("one", &refused, status)?;
        ensure!(sentence.contains(word), "{sentence} does not name {word}");
        a.says(word, (field.at("b")?, 7000))?;
        b.hears_nothing()?;
    }
    field.put("one", &inactive(drop_port(7000, "PACKET")))?;
    a.says("open", (field.at("b")?, 7000))?;
    b.hears_word("open")?;
    field.end()
}

#[test]
fn an_application_that_is_not_ready_changes_nothing_in_the_kernel() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let (a, b) = (field.ear("a", 6000)?, field.ear("b", 7000)?);
    let path = traffic_path(WAITING, "one");
    let rule = drop_port(7000, "PACKET");
    let refused = field.ask("PUT", &path, Some(&rule))?.expect(403)?;
    ensure!(refused.shown().contains("not ready"), "{}", refused.shown());
    a.says("passes", (field.at("b")?, 7000))?;
    b.hears_word("passes")?;
    let shown = field.ask("GET", &path, None)?.expect(200)?.json()?;
    ensure!(shown == rules::asleep("one"), "{shown}");
    field.end()
}

#[test]
fn of_two_writers_with_one_tag_one_is_refused() -> anyhow::Result<()> {
    let field = Field::start(&[])?;
    for _ in 0..8 {
        let path = traffic_path(RULED, "one");
        let read = field.ask("GET", &path, None)?.expect(200)?;
        let tag = read.header("etag").context("no ETag")?.to_owned();
        let answers = together(2, |number| {
            let port = (7000 + number).to_string();
            let filter = json!({"dstAddress": ["203.0.113.9"], "dstPort": [port]});
            let rule = rule("DROP", "PACKET", 10, &filter);
            let put = field.request("PUT", &path, Some(&rule));
            field.send(&put.header("If-Match", &tag))
        })?;
        let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
        let shown: Vec<_> = answers.iter().map(Answer::shown).collect();
        ensure!(statuses == [200, 412].into(), "{shown:?}");
        let winner = answers.iter().find(|answer| answer.status == 200);
        let winner = winner.context("nobody won")?.json()?;
        ensure!(
            field.shown("one")? == winner,
            "{winner} was answered and is not there"
        );
        // Another tag for the next time.
        field.put("one", &inactive(winner))?;
    }
    field.end()
}

#[test]
fn fifty_rules_changed_at_once_are_all_in_force() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let ears = (0..=MANY).map(|number| field.ear("b", 7000 + number));
    let ears: Vec<_> = ears.collect::<anyhow::Result<_>>()?;
    let a = field.ear("a", 6000)?;
    let b_at = field.at("b")?;
    let everywhere =
        |word: &str| (0..=MANY).try_for_each(|number| a.says(word, (b_at, 7000 + number)));
    let (last, dropped) = ears.split_last().context("no ears")?;
    for (state, heard) in [("ACTIVE", false), ("INACTIVE", true)] {
        let answers = together(MANY, |number| {
            let rule = with(drop_port(7000 + number, "PACKET"), "state", json!(state));
            field.put(&many(number), &rule)
        });
        answers.with_context(|| state.to_owned())?;
        everywhere(state)?;
        // Every rule's own port is told apart from the one that no rule names.
        last.hears_word(state)?;
        for ear in dropped {
            if heard {
                ear.hears_word(state)?;
            } else {
                ear.has_heard_nothing()?;
            }
        }
    }
    field.end()
}

#[test]
fn a_node_that_ends_with_rules_in_force_leaves_nothing() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let eye = Eye::new(&field.lab.node.line)?;
    let out = field.outside.address.into();
    let filter = json!({"dstPort": ["7000"]});
    let twice = rule("DUPLICATE_ENCAPSULATED", "PACKET", 10, &filter);
    field.put("one", &to(twice, [field.at("b")?, out]))?;
    field.put(
        "two",
        &to(rule("FORWARD_ENCAPSULATED", "FLOW", 20, &filter), [out]),
    )?;
    ensure!(
        eye.look()?.iter().any(|line| line.starts_with("table")),
        "this test is blind"
    );
    field.end()?;
    until(SOON, || {
        let left = eye.look()?;
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(Some(()))
    })
}
