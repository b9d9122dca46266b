//! MEC 015, bandwidth management.

use serde_json::{Value, json};

use super::{Row, row};
use crate::bench::Bench;

fn allocation(id: &str) -> Value {
    json!({"appInsId": id, "requestType": 0, "fixedAllocation": "100000", "allocationDirection": "10"})
}

/// A new allocation of `one`.
fn held(bench: &Bench) -> anyhow::Result<String> {
    bench.renewed(
        "mec015-bandwidth/createAllocation",
        "mec015-bandwidth/releaseAllocation",
        &bench.call([]).json(&allocation(&bench.one.id)),
    )
}

pub fn rows() -> Vec<Row> {
    vec![
        row("mec015-bandwidth/listAllocations", |bench| {
            held(bench)?;
            let query = format!("app_instance_id={}", bench.one.id);
            Ok(bench.call([]).query(&query))
        })
        .never(403, "a list shows its reader what is its own, and says 404 of everything else")
        .by(404, |bench| {
            Ok(bench.call([]).query("app_instance_id=no-such-instance"))
        }),
        row("mec015-bandwidth/createAllocation", |bench| {
            Ok(bench.call([]).json(&allocation(&bench.one.id)))
        })
        .guarded()
        .by(404, |bench| {
            Ok(bench.call([]).json(&allocation("no-such-instance")))
        }),
        row("mec015-bandwidth/readAllocation", |bench| {
            Ok(bench.call([&held(bench)?]))
        }),
        row("mec015-bandwidth/replaceAllocation", |bench| {
            let id = held(bench)?;
            Ok(bench.call([&id]).json(&allocation(&bench.one.id)))
        })
        .guarded(),
        row("mec015-bandwidth/changeAllocation", |bench| {
            let id = held(bench)?;
            Ok(bench.call([&id]).json(&json!({
                "allocationId": id, "appInsId": bench.one.id, "requestType": 0, "fixedAllocation": "200000",
            })))
        })
        .guarded()
        .after(|_, _, answer| {
            let now = answer.json()?;
            anyhow::ensure!(now["fixedAllocation"] == "200000", "{now}");
            Ok(())
        }),
        row("mec015-bandwidth/releaseAllocation", |bench| {
            Ok(bench.call([&held(bench)?]))
        })
        .guarded()
        .after(|bench, call, _| bench.gone("mec015-bandwidth/readAllocation", call)),
    ]
}
