//! Every operation of the documents, and every answer that they declare.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, ensure};

use crate::bench::{Bench, Call};
use crate::contract::{Contract, Operation};
use crate::http::{Answer, Request};
use crate::table::{How, Row, rows};

/// Longer than any URI that is taken.
const LONG_URI: usize = 16 << 10;
/// Longer than any JSON body that is taken.
const LONG_BODY: usize = 1 << 20;
/// Longer than any package.
const LONG_PACKAGE: u64 = 1 << 50;

/// How a declared answer is brought about: by a row's own call, by the same change of its good call for every
/// operation, or not at all.
enum Plan<'a> {
    Own(&'a How),
    Common(fn(Call, &Operation, &Bench) -> anyhow::Result<Call>),
}

fn plan<'a>(row: &'a Row, status: u16, operation: &Operation) -> Option<Plan<'a>> {
    if let Some((_, how)) = row.answers.iter().find(|(it, _)| *it == status) {
        return Some(Plan::Own(how));
    }
    Some(Plan::Common(match status {
        200..300 => |call, _, _| Ok(call),
        400 => |call, _, _| {
            let and = if call.query.is_empty() { "" } else { "&" };
            let query = format!("{}{and}no_such_parameter=1", call.query);
            Ok(call.query(&query))
        },
        401 => |call, _, _| {
            Ok(Call {
                token: None,
                ..call
            })
        },
        403 => |call, _, bench| Ok(call.token(&bench.two.token)),
        404 if operation.template.ends_with('}') || operation.template.contains("}/") => {
            |mut call, _, _| {
                let last = call.values.last_mut().context("no parameter")?;
                "no-such-resource".clone_into(last);
                Ok(call)
            }
        }
        406 => |call, _, _| Ok(call.accept("image/png")),
        412 => |call, _, _| Ok(call.header("If-Match", "\"no-such-version\"")),
        413 => |mut call, _, _| {
            let (media, body) = call.body.as_mut().context("no body")?;
            if media == "application/json" {
                body.resize(LONG_BODY, b' ');
                return Ok(call);
            }
            // Announced and not sent: nobody waits for a package that is too long anyway.
            Ok(call.header("Content-Length", &LONG_PACKAGE.to_string()))
        },
        414 => |call, _, _| Ok(call.query(&format!("filter={}", "x".repeat(LONG_URI)))),
        415 => |mut call, _, _| {
            let (media, _) = call.body.as_mut().context("no body")?;
            "text/csv".clone_into(media);
            Ok(call)
        },
        429 => |call, _, bench| Ok(call.token(&bench.noisy()?)),
        _ => return None,
    }))
}

/// The rows beside the documents: what is missing on either side, a line each.
fn uncovered(contract: &Contract, rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for operation in contract.operations() {
        let Some(row) = rows.iter().find(|row| row.operation == operation.name) else {
            faults.push(format!("{} has no row", operation.name));
            continue;
        };
        let declared = contract.answers(operation)?;
        for status in declared.keys() {
            if plan(row, *status, operation).is_none() {
                faults.push(format!("{}: nothing brings about {status}", row.operation));
            }
        }
        for (status, _) in &row.answers {
            if !declared.contains_key(status) {
                faults.push(format!("{}: {status} is not declared", row.operation));
            }
        }
    }
    for row in rows {
        if contract.operation(row.operation).is_err() {
            faults.push(format!("no document has {}", row.operation));
        }
    }
    Ok(faults)
}

#[test]
fn the_table_has_every_declared_answer() -> anyhow::Result<()> {
    let faults = uncovered(&Contract::read()?, &rows())?;
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

fn sent(bench: &Bench, operation: &Operation, call: Call) -> anyhow::Result<(Call, Answer)> {
    let answer = bench.send(operation, &call)?;
    Ok((call, answer))
}

/// Brings about one answer, or says why it cannot be.
fn produce<'a>(
    bench: &Bench,
    row: &'a Row,
    operation: &Operation,
    status: u16,
) -> anyhow::Result<Option<&'a str>> {
    let (call, answer) = match plan(row, status, operation).context("no plan")? {
        Plan::Own(How::Never(reason)) => return Ok(Some(reason)),
        Plan::Own(How::Unguarded) => {
            let call = row.good(bench)?;
            let answer = bench.send_unguarded(operation, &call)?;
            (call, answer)
        }
        Plan::Own(How::By(call)) => sent(bench, operation, call(bench)?)?,
        Plan::Common(change) => {
            let call = change(row.good(bench)?, operation, bench)?;
            sent(bench, operation, call)?
        }
    };
    bench.drain()?;
    let answer = answer.expect(status)?;
    bench.contract.check(operation, &answer)?;
    if let Some(after) = row.after.filter(|_| (200..300).contains(&status)) {
        after(bench, &call, &answer).context("afterwards")?;
    }
    Ok(None)
}

#[test]
fn every_operation_gives_every_answer_that_is_declared() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let (mut produced, mut never, mut faults) = (0, BTreeMap::new(), String::new());
    let rows = rows();
    for row in &rows {
        let operation = bench.contract.operation(row.operation)?;
        // Refusals first: a success may use its resource up.
        for status in bench.contract.answers(operation)?.into_keys().rev() {
            match produce(&bench, row, operation, status) {
                Ok(None) => produced += 1,
                Ok(Some(reason)) => *never.entry((status, reason)).or_insert(0) += 1,
                Err(error) => writeln!(faults, "{} {status}: {error:#}", row.operation)?,
            }
        }
    }
    println!("walk: {produced} answers of {} operations", rows.len());
    for ((status, reason), count) in never {
        println!("  never {status}, {count} times: {reason}");
    }
    ensure!(faults.is_empty(), "not as the documents say:\n{faults}");
    bench.lab.node.stop()
}

#[test]
fn a_method_that_a_path_does_not_take_is_answered_with_those_it_takes() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for operation in bench.contract.operations() {
        let methods = paths.entry(&operation.template).or_default();
        methods.push(&operation.method);
    }
    for (template, known) in paths {
        let path = template.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if known.contains(&method) {
                continue;
            }
            let request = Request::new(method, &path).bearer(&bench.all);
            let answer = request.send(&bench.authority)?.expect(405);
            let answer = answer.with_context(|| format!("{method} {template}"))?;
            ensure!(answer.media_type() == Some("application/problem+json"));
            let allowed = answer.header("allow").context("no Allow")?;
            let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
            let is_there = |method: &&str| allowed.contains(method);
            ensure!(
                known.iter().all(is_there) && !allowed.contains(&method),
                "{method} {template}: Allow says {allowed:?} of {known:?}"
            );
        }
    }
    bench.lab.node.stop()
}
