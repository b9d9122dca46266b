//! The node's health in HTTP, and whom a token lets in.

use std::process::Command;

use anyhow::{Context, ensure};
use board::client::until;
use board::process;
use serde_json::{Value, json};
use umec_tests::lab::{Lab, SOON, fetch};

use crate::facets::{secret, text, web};

fn base(lab: &Lab) -> anyhow::Result<String> {
    lab.node.line.http.clone().context("no plain HTTP")
}

/// Status and body of a request.
fn request(lab: &Lab, path: &str, arguments: &[&str]) -> anyhow::Result<(u16, String)> {
    let answer = process::output(
        Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "5",
                "--noproxy",
                "*",
                "-w",
                "\n%{http_code}",
            ])
            .args(arguments)
            .arg(format!("{}{path}", base(lab)?)),
    )?;
    let (body, status) = answer.rsplit_once('\n').context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// The token that an application gets for its secret.
fn token(lab: &Lab, id: &str, secret: &str) -> anyhow::Result<(u16, String)> {
    let client = format!("{id}:{secret}");
    let (status, body) = request(
        lab,
        "/token",
        &["-u", &client, "-d", "grant_type=client_credentials"],
    )?;
    let document: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
    let token = document.get("access_token").and_then(Value::as_str);
    Ok((status, token.unwrap_or_default().to_owned()))
}

fn services_of(id: &str) -> String {
    format!("/mec_service_mgmt/v1/applications/{id}/services")
}

#[test]
fn readiness_and_metrics_show_the_node_as_it_is() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    ensure!(fetch(&format!("{}/healthz", base(&lab)?))? == "ok\n");
    ensure!(request(&lab, "/readyz", &[])?.0 == 200);
    let metric = |name: &str| -> anyhow::Result<u64> {
        let (status, body) = request(&lab, "/metrics", &[])?;
        ensure!(status == 200, "{status}: {body}");
        let value = body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value
            .with_context(|| format!("no {name} in {body}"))?
            .parse()?)
    };
    ensure!(metric("edged_instances")? == 0);
    lab.run("web", &["--health-http", "8080/"], &image)?;
    lab.run(
        "never",
        &["--detach", "--health-http", "8080/missing"],
        &image,
    )?;
    ensure!((metric("edged_instances")?, metric("edged_instances_ready")?) == (2, 1));
    for part in ["worker", "guardian", "broker"] {
        ensure!(metric(&format!("edged_{part}_up"))? == 1, "{part}");
    }
    // Without its broker the node says that it is not ready, and why; then it is again.
    let broker = lab.node.pid("broker")?;
    board::client::signal(broker, rustix::process::Signal::KILL)?;
    until(SOON, || {
        let (status, body) = request(&lab, "/readyz", &[])?;
        Ok((status == 503 && body.contains("broker")).then_some(()))
    })
    .context("ready without a broker")?;
    until(SOON, || {
        Ok((request(&lab, "/readyz", &[])?.0 == 200).then_some(()))
    })
}

#[test]
fn a_token_opens_what_is_its_instances_and_ends_with_it() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let image = web(&lab)?;
    for name in ["one", "two"] {
        lab.run(name, &["--health-http", "8080/"], &image)?;
    }
    let (one, two) = (text(&lab, "one", "id")?, text(&lab, "two", "id")?);
    let key = secret(&lab, "one", "mec-client-secret")?;
    ensure!(
        token(&lab, &one, "guessed")?.0 == 401,
        "a wrong secret is taken"
    );
    ensure!(
        token(&lab, &two, &key)?.0 == 401,
        "another's secret is taken"
    );
    let (status, bearer) = token(&lab, &one, &key)?;
    ensure!(status == 200, "{status}");
    let bearer = format!("Authorization: Bearer {bearer}");
    let service = json!({
        "serName": "Thermometer", "version": "1", "state": "ACTIVE", "serializer": "JSON",
        "transportInfo": {
            "id": "t", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1", "security": {},
            "endpoint": { "uris": [format!("http://{}:8080/", Lab::host_name("one"))] },
        },
    })
    .to_string();
    let register = |id: &str, header: &str| {
        let json = "Content-Type: application/json";
        request(
            &lab,
            &services_of(id),
            &["-H", header, "-H", json, "-d", &service],
        )
    };
    ensure!(register(&one, "X-No: token")?.0 == 401, "without a token");
    ensure!(register(&two, &bearer)?.0 == 403, "for another instance");
    let (status, body) = register(&one, &bearer)?;
    ensure!(status == 201, "{status}: {body}");
    let seen = |header: &str| request(&lab, "/mec_service_mgmt/v1/services", &["-H", header]);
    ensure!(seen(&bearer)?.1.contains("Thermometer"));
    lab.node.verb(&["rm", "--force", "one"])?;
    ensure!(seen(&bearer)?.0 == 401, "the token outlives its instance");
    ensure!(
        token(&lab, &one, &key)?.0 == 401,
        "the secret outlives its instance"
    );
    let all = format!("Authorization: Bearer {}", lab.node.line.token);
    let (status, body) = seen(&all)?;
    ensure!(
        status == 200 && !body.contains("Thermometer"),
        "{status}: {body}"
    );
    Ok(())
}
