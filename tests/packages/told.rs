//! Who subscribed is told of packages, and of nothing else.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::callback::Listener;
use crate::desk::Desk;
use crate::http::Request;

const SUBSCRIPTIONS: &str = "/app_pkgm/v1/subscriptions";

fn subscribe(desk: &Desk, to: &Listener, kind: &str, filter: &Value) -> anyhow::Result<String> {
    let body = json!({"callbackUri": to.uri, "subscriptionType": kind, "appPkgFilter": filter});
    let made = desk
        .send(Request::new("POST", SUBSCRIPTIONS).json(&body))?
        .expect(201)?;
    let id = made.json()?["id"].as_str().unwrap_or_default().to_owned();
    let shown = desk.get(&format!("{SUBSCRIPTIONS}/{id}"))?;
    ensure!(
        shown["subscriptionType"] == kind && shown["appPkgFilter"].is_null(),
        "{shown}"
    );
    Ok(id)
}

#[test]
fn each_change_of_a_package_is_told_to_those_who_asked_for_it() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    let (boarded, changed, deleted, other) = (
        Listener::start()?,
        Listener::start()?,
        Listener::start()?,
        Listener::start()?,
    );
    subscribe(
        &desk,
        &boarded,
        "AppPackageOnBoardingSubscription",
        &json!([{"appName": "told"}]),
    )?;
    let about_changes = "AppPackageChangeSubscription";
    let id = subscribe(&desk, &changed, about_changes, &Value::Null)?;
    subscribe(
        &desk,
        &deleted,
        "AppPackageDeletionSubscription",
        &json!([{"appDId": "told-1.0.0"}]),
    )?;
    let elsewhere = json!([{"appProvider": "Somebody Else"}, {"usageState": "IN_USE"}]);
    for kind in [
        "AppPackageOnBoardingSubscription",
        about_changes,
        "AppPackageDeletionSubscription",
    ] {
        subscribe(&desk, &other, kind, &elsewhere)?;
    }
    let links = desk.get(SUBSCRIPTIONS)?;
    ensure!(
        links["_links"]["subscriptions"].as_array().map(Vec::len) == Some(6),
        "{links}"
    );

    let package = desk.onboard(&desk.package("told", "")?)?;
    let heard = boarded.next()?.body;
    ensure!(
        heard["notificationType"] == "AppPackageOnBoarded",
        "{heard}"
    );
    ensure!(
        heard["appDId"] == "told-1.0.0" && heard["operationalState"] == "ENABLED",
        "{heard}"
    );
    ensure!(
        package.ends_with(heard["appPkgId"].as_str().unwrap_or("?")),
        "{heard}"
    );

    for (state, kind) in [
        ("DISABLED", "AppPackageDisabled"),
        ("ENABLED", "AppPackageEnabled"),
        ("DISABLED", "AppPackageDisabled"),
    ] {
        desk.switch(&package, state, 200)?;
        let heard = changed.next()?.body;
        ensure!(
            heard["notificationType"] == kind && heard["operationalState"] == state,
            "{heard}"
        );
        ensure!(heard["subscriptionId"] == id, "{heard}");
    }
    let gone = Request::new("DELETE", &format!("{SUBSCRIPTIONS}/{id}"));
    desk.send(gone.clone())?.expect(204)?;
    desk.send(gone)?.expect(404)?;

    desk.delete(&package, 204)?;
    let heard = deleted.next()?.body;
    ensure!(heard["notificationType"] == "AppPackageDeleted", "{heard}");
    for listener in [boarded, changed, deleted, other] {
        ensure!(
            listener.rest().is_empty(),
            "somebody heard what was not for them"
        );
    }
    desk.node.stop()
}
