//! MEC 011, service management.

use anyhow::ensure;
use serde_json::json;

use super::{Row, row};
use crate::bench::{availability, service};

const ANYBODY: &str = "everybody with a token may look for services";

pub fn rows() -> Vec<Row> {
    let mut all = discovery();
    all.extend(services());
    all.extend(liveness());
    all.extend(subscriptions());
    all
}

fn discovery() -> Vec<Row> {
    vec![
        row("mec011-service-management/listServices", |bench| {
            let id = bench.service()?;
            Ok(bench.call([]).query(&format!("ser_instance_id={id}")))
        })
        .never(403, ANYBODY)
        .after(|_, _, answer| {
            let list = answer.json()?;
            ensure!(
                list[0]["serName"] == "thermometer" && list[1].is_null(),
                "{list}"
            );
            Ok(())
        }),
        row("mec011-service-management/readService", |bench| {
            Ok(bench.call([&bench.service()?]))
        })
        .never(403, ANYBODY),
        row("mec011-service-management/listTransports", |bench| {
            Ok(bench.call([]))
        })
        .never(403, ANYBODY)
        .after(|_, _, answer| {
            let list = answer.json()?;
            let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let is_broker = |it: &&serde_json::Value| it["protocol"] == "MQTT";
            ensure!(all.iter().find(is_broker).is_some(), "no broker: {list}");
            Ok(())
        }),
    ]
}

fn services() -> Vec<Row> {
    vec![
        row("mec011-service-management/listInstanceServices", |bench| {
            bench.service()?;
            Ok(bench.call([&bench.one.id]))
        }),
        row("mec011-service-management/createService", |bench| {
            Ok(bench.call([&bench.one.id]).json(&service()))
        }),
        row("mec011-service-management/readInstanceService", |bench| {
            Ok(bench.call([&bench.one.id, &bench.service()?]))
        }),
        row("mec011-service-management/replaceService", |bench| {
            let call = bench.call([&bench.one.id, &bench.service()?]);
            let mut changed = service();
            changed["version"] = json!("1.0.1");
            Ok(call.json(&changed))
        })
        .after(|_, call, answer| {
            let now = answer.json()?;
            ensure!(now["version"] == "1.0.1", "not changed: {now}");
            ensure!(now["serInstanceId"] == call.values[1].as_str(), "{now}");
            Ok(())
        }),
        row("mec011-service-management/deleteService", |bench| {
            Ok(bench.call([&bench.one.id, &bench.service()?]))
        })
        .after(|bench, call, _| bench.gone("mec011-service-management/readInstanceService", call)),
    ]
}

fn liveness() -> Vec<Row> {
    vec![
        row("mec011-service-management/readLiveness", |bench| {
            Ok(bench.call([&bench.one.id, &bench.service()?]))
        }),
        row("mec011-service-management/sendHeartbeat", |bench| {
            let call = bench.call([&bench.one.id, &bench.service()?]);
            Ok(call.json(&json!({"state": "ACTIVE"})))
        })
        .never(
            204,
            "the node answers every heartbeat with 200 and the interval that counts",
        ),
    ]
}

fn subscriptions() -> Vec<Row> {
    vec![
        row("mec011-service-management/listSubscriptions", |bench| {
            bench.availability()?;
            Ok(bench.call([&bench.one.id]))
        })
        .after(|_, _, answer| {
            let list = answer.json()?;
            let first = &list["_links"]["subscriptions"][0];
            ensure!(first["rel"] == first["subscriptionType"], "no rel: {list}");
            Ok(())
        }),
        row("mec011-service-management/createSubscription", |bench| {
            Ok(bench.call([&bench.one.id]).json(&availability()))
        }),
        row("mec011-service-management/readSubscription", |bench| {
            Ok(bench.call([&bench.one.id, &bench.availability()?]))
        }),
        row("mec011-service-management/deleteSubscription", |bench| {
            Ok(bench.call([&bench.one.id, &bench.availability()?]))
        })
        .after(|bench, call, _| bench.gone("mec011-service-management/readSubscription", call)),
    ]
}
