//! MEC 011, application support.

use anyhow::{Context, ensure};
use serde_json::json;

use super::{Row, row};
use crate::bench::{DNS_RULE, NOBODY, RULED, TRAFFIC_RULE, registration, termination};

const ANYBODY: &str = "everybody with a token may ask";

pub fn rows() -> Vec<Row> {
    let mut all = life();
    all.extend(subscriptions());
    all.extend(rules());
    all.extend(timing());
    all.extend(registrations());
    all
}

fn life() -> Vec<Row> {
    vec![
        row("mec011-app-support/confirmReady", |bench| {
            Ok(bench
                .call([&bench.one.id])
                .json(&json!({"indication": "READY"})))
        })
        .by(409, |bench| {
            Ok(bench
                .call([bench.stopped()?])
                .json(&json!({"indication": "READY"})))
        }),
        row("mec011-app-support/confirmTermination", |bench| {
            Ok(bench
                .call([&bench.one.id])
                .json(&json!({"operationAction": "TERMINATING"})))
        })
        .by(409, |bench| {
            Ok(bench
                .call([bench.stopped()?])
                .json(&json!({"operationAction": "TERMINATING"})))
        }),
    ]
}

fn subscriptions() -> Vec<Row> {
    vec![
        row("mec011-app-support/listSubscriptions", |bench| {
            bench.termination()?;
            Ok(bench.call([&bench.one.id]))
        })
        .after(|_, _, answer| {
            let list = answer.json()?;
            let first = &list["_links"]["subscriptions"][0];
            ensure!(first["rel"] == first["subscriptionType"], "no rel: {list}");
            Ok(())
        }),
        row("mec011-app-support/createSubscription", |bench| {
            Ok(bench
                .call([&bench.one.id])
                .json(&termination(&bench.one.id)))
        })
        .after(|_, _, answer| {
            let made = answer.json()?;
            ensure!(made["callbackReference"] == NOBODY, "{made}");
            Ok(())
        }),
        row("mec011-app-support/readSubscription", |bench| {
            Ok(bench.call([&bench.one.id, &bench.termination()?]))
        }),
        row("mec011-app-support/deleteSubscription", |bench| {
            Ok(bench.call([&bench.one.id, &bench.termination()?]))
        })
        .after(|bench, call, _| bench.gone("mec011-app-support/readSubscription", call)),
    ]
}

fn rules() -> Vec<Row> {
    vec![
        row("mec011-app-support/listTrafficRules", |bench| {
            Ok(bench.call([RULED]))
        }),
        row("mec011-app-support/readTrafficRule", |bench| {
            Ok(bench.call([RULED, TRAFFIC_RULE]))
        }),
        row("mec011-app-support/replaceTrafficRule", |bench| {
            let call = bench.call([RULED, TRAFFIC_RULE]);
            let mut rule = bench.traffic_rule()?;
            let is_on = rule["state"] == "ACTIVE";
            rule["state"] = json!(if is_on { "INACTIVE" } else { "ACTIVE" });
            Ok(call.json(&rule))
        })
        .guarded()
        // Who has the tag or the QoS class of a packet is in the mobile network, not here.
        .by(422, |bench| {
            let mut rule = bench.traffic_rule()?;
            rule["trafficFilter"] = json!([{"qCI": 7}]);
            let call = bench.call([RULED, TRAFFIC_RULE]);
            Ok(call.json(&rule))
        }),
        row("mec011-app-support/listDnsRules", |bench| {
            Ok(bench.call([RULED]))
        }),
        row("mec011-app-support/readDnsRule", |bench| {
            Ok(bench.call([RULED, DNS_RULE]))
        }),
        row("mec011-app-support/replaceDnsRule", |bench| {
            let call = bench.call([RULED, DNS_RULE]);
            Ok(call.json(&bench.dns_rule()?))
        }),
    ]
}

fn timing() -> Vec<Row> {
    [
        "mec011-app-support/readTimingCaps",
        "mec011-app-support/readCurrentTime",
    ]
    .map(|name| row(name, |bench| Ok(bench.call([]))).never(403, ANYBODY))
    .into()
}

fn registrations() -> Vec<Row> {
    vec![
        row("mec011-app-support/createRegistration", |bench| {
            Ok(bench.call([]).json(&registration()))
        })
        .by(404, |bench| {
            let mut info = registration();
            info["appDId"] = json!("no-such-descriptor");
            info["appInstanceId"] = json!("no-such-instance");
            info["isInsByMec"] = json!(true);
            Ok(bench.call([]).json(&info))
        })
        .after(|_, _, answer| {
            let made = answer.json()?;
            made["appInstanceId"].as_str().context("no appInstanceId")?;
            Ok(())
        }),
        row("mec011-app-support/readRegistration", |bench| {
            Ok(bench.call([&bench.registration()?]))
        }),
        row("mec011-app-support/replaceRegistration", |bench| {
            Ok(bench.call([&bench.registration()?]).json(&registration()))
        }),
        row("mec011-app-support/deleteRegistration", |bench| {
            Ok(bench.call([&bench.registration()?]))
        })
        .after(|bench, call, _| bench.gone("mec011-app-support/readRegistration", call)),
    ]
}
