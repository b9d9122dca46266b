//! MEC 010-2, lifecycle management.

use serde_json::{Value, json};

use super::{Row, row};
use crate::bench::{Bench, Call, NOBODY};
use crate::packages::instantiation;

const THERE: &str = "the collection is always there";

pub fn rows() -> Vec<Row> {
    let mut all = instances();
    all.extend(tasks());
    all.extend(operations());
    all.extend(subscriptions());
    all
}

fn create(bench: &Bench) -> anyhow::Result<Call> {
    let descriptor = bench.enabled_package()?.descriptor;
    Ok(bench.call([]).json(&json!({"appDId": descriptor})))
}

fn instances() -> Vec<Row> {
    vec![
        row("mec010-2-lifecycle/listInstances", |bench| {
            bench.instance()?;
            Ok(bench.call([]))
        })
        .never(404, THERE),
        row("mec010-2-lifecycle/createInstance", create)
            .by(503, |bench| {
                bench.fill(
                    "mec010-2-lifecycle/createInstance",
                    "mec010-2-lifecycle/deleteInstance",
                    create,
                )?;
                create(bench)
            })
            .by(404, |bench| {
                Ok(bench
                    .call([])
                    .json(&json!({"appDId": "no-such-descriptor"})))
            })
            .by(409, |bench| {
                let descriptor = bench.disabled_package()?.descriptor;
                Ok(bench.call([]).json(&json!({"appDId": descriptor})))
            }),
        row("mec010-2-lifecycle/readInstance", |bench| {
            Ok(bench.call([&bench.instance()?]))
        }),
        row("mec010-2-lifecycle/deleteInstance", |bench| {
            Ok(bench.call([&bench.instance()?]))
        })
        .by(409, |bench| Ok(bench.call([&bench.running()?])))
        .after(|bench, call, _| bench.gone("mec010-2-lifecycle/readInstance", call)),
    ]
}

fn tasks() -> Vec<Row> {
    let end = || json!({"terminationType": "FORCEFUL"});
    let stop = || json!({"changeStateTo": "STOPPED"});
    let on_new = |body: fn() -> Value| {
        move |bench: &Bench| -> anyhow::Result<Call> {
            Ok(bench.call([&bench.instance()?]).json(&body()))
        }
    };
    let on_running = |body: fn() -> Value| {
        move |bench: &Bench| -> anyhow::Result<Call> {
            Ok(bench.call([&bench.running()?]).json(&body()))
        }
    };
    vec![
        row(
            "mec010-2-lifecycle/instantiateInstance",
            on_new(instantiation),
        )
        .by(409, on_running(instantiation)),
        row("mec010-2-lifecycle/operateInstance", on_running(stop)).by(409, on_new(stop)),
        row("mec010-2-lifecycle/terminateInstance", on_running(end)).by(409, on_new(end)),
        row(
            "mec010-2-lifecycle/configurePlatformForInstance",
            on_running(configuration),
        )
        .by(409, |bench| {
            let (id, _) = bench.lasting()?;
            Ok(bench.call([&id]).json(&configuration()))
        }),
    ]
}

fn configuration() -> Value {
    json!({"appDNSRule": [{
        "dnsRuleId": "counter", "domainName": "counter.example.org", "ipAddressType": "IP_V4",
        "ipAddress": "192.0.2.9", "ttl": 60,
    }]})
}

fn operations() -> Vec<Row> {
    let over = |bench: &Bench| Ok(bench.call([&bench.completed()?]));
    let cancel = |call: Call| call.json(&json!({"cancelMode": "FORCED"}));
    vec![
        row("mec010-2-lifecycle/listOperations", |bench| {
            bench.completed()?;
            Ok(bench.call([]))
        })
        .never(404, THERE),
        row("mec010-2-lifecycle/readOperation", over),
        row("mec010-2-lifecycle/cancelOperation", move |bench| {
            Ok(cancel(over(bench)?))
        })
        .by(202, move |bench| {
            let (_, operation) = bench.lasting()?;
            Ok(cancel(bench.call([&operation])))
        })
        .by(409, move |bench| Ok(cancel(over(bench)?))),
        row("mec010-2-lifecycle/failOperation", over)
            .by(200, |bench| Ok(bench.call([&bench.failed()?])))
            .by(409, over),
        row("mec010-2-lifecycle/retryOperation", over)
            .by(202, |bench| Ok(bench.call([&bench.failed()?])))
            .by(409, over),
    ]
}

fn subscribe(bench: &Bench) -> Call {
    bench.call([]).json(&json!({
        "callbackUri": NOBODY, "subscriptionType": "AppInstanceStateChangeSubscription",
    }))
}

fn subscription(bench: &Bench) -> anyhow::Result<String> {
    bench.renewed(
        "mec010-2-lifecycle/createSubscription",
        "mec010-2-lifecycle/deleteSubscription",
        &subscribe(bench),
    )
}

fn subscriptions() -> Vec<Row> {
    vec![
        row("mec010-2-lifecycle/listSubscriptions", |bench| {
            subscription(bench)?;
            Ok(bench.call([]))
        })
        .never(404, THERE),
        row("mec010-2-lifecycle/createSubscription", |bench| {
            Ok(subscribe(bench))
        })
        .never(404, "nothing in the body has to be there already"),
        row("mec010-2-lifecycle/readSubscription", |bench| {
            Ok(bench.call([&subscription(bench)?]))
        }),
        row("mec010-2-lifecycle/deleteSubscription", |bench| {
            Ok(bench.call([&subscription(bench)?]))
        })
        .after(|bench, call, _| bench.gone("mec010-2-lifecycle/readSubscription", call)),
    ]
}
