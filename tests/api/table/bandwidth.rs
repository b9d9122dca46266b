//! MEC 015, bandwidth management.

use serde_json::{Value, json};

use super::{Row, row};
use crate::bench::Bench;

fn allocation(id: &str) -> Value {
    json!({"appInsId": id, "requestType": 0, "fixedAllocation": "100000", "allocationDirection": "10"})
}

/// A new allocation of `one`, which the next call of this frees again.
fn held(bench: &Bench) -> anyhow::Result<String> {
    if let Some(last) = bench.kept.allocation.take() {
        bench.send(
            bench
                .contract
                .operation("mec015-bandwidth/releaseAllocation")?,
            &bench.call([&last]),
        )?;
    }
    let call = bench.call([]).json(&allocation(&bench.one.id));
    let id = bench.made("mec015-bandwidth/createAllocation", &call)?;
    bench.kept.allocation.replace(Some(id.clone()));
    Ok(id)
}

pub fn rows() -> Vec<Row> {
    vec![
        row("mec015-bandwidth/listAllocations", |bench| {
            held(bench)?;
            let query = format!("app_instance_id={}", bench.one.id);
            Ok(bench.call([]).query(&query))
        })
        .by(404, |bench| {
            Ok(bench.call([]).query("app_instance_id=no-such-instance"))
        }),
        row("mec015-bandwidth/createAllocation", |bench| {
            Ok(bench.call([]).json(&allocation(&bench.one.id)))
        })
        .by(404, |bench| {
            Ok(bench.call([]).json(&allocation("no-such-instance")))
        }),
        row("mec015-bandwidth/readAllocation", |bench| {
            Ok(bench.call([&held(bench)?]))
        }),
        row("mec015-bandwidth/replaceAllocation", |bench| {
            let id = held(bench)?;
            Ok(bench.call([&id]).json(&allocation(&bench.one.id)))
        }),
        row("mec015-bandwidth/changeAllocation", |bench| {
            let id = held(bench)?;
            Ok(bench.call([&id]).json(&json!({
                "allocationId": id, "appInsId": bench.one.id, "requestType": 0, "fixedAllocation": "200000",
            })))
        })
        .after(|_, _, answer| {
            let now = answer.json()?;
            anyhow::ensure!(now["fixedAllocation"] == "200000", "{now}");
            Ok(())
        }),
        row("mec015-bandwidth/releaseAllocation", |bench| {
            Ok(bench.call([&held(bench)?]))
        })
        .after(|bench, call, _| bench.gone("mec015-bandwidth/readAllocation", call)),
    ]
}
