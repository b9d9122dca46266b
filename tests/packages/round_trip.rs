//! A package made by edgectl: announced, uploaded, read, disabled, deleted.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::desk::{Desk, ONBOARDED, PACKAGES, sha256};
use crate::http::Request;

#[test]
fn a_package_made_by_edgectl_is_on_boarded_read_disabled_and_deleted() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    let content = desk.package("page", "")?;
    let package = desk.onboard(&content)?;
    let by_descriptor = format!("{ONBOARDED}/page-1.0.0");

    let shown = desk.get(&package)?;
    ensure!(shown == desk.get(&by_descriptor)?, "{shown}");
    for (member, value) in [
        ("appDId", json!("page-1.0.0")),
        ("appProvider", json!("Example Works")),
        ("operationalState", json!("ENABLED")),
        ("usageState", json!("NOT_IN_USE")),
        ("mecInfo", json!(["3.1.1"])),
    ] {
        ensure!(shown[member] == value, "{member}: {shown}");
    }
    let list = desk.get(&format!("{PACKAGES}?filter=(eq,appDId,page-1.0.0)"))?;
    ensure!(list.as_array().map(Vec::len) == Some(1), "{list}");
    let list = desk.get(&format!("{ONBOARDED}?filter=(eq,appDId,other)"))?;
    ensure!(list == json!([]), "{list}");

    let read = |path: &str, name: &str, value: &str| {
        let request = Request::new("GET", &format!("{by_descriptor}/{path}"));
        desk.send(request.header(name, value))
    };
    let yaml = read("appd", "Accept", "text/plain")?.expect(200)?;
    ensure!(
        yaml.body.starts_with(b"tosca_definitions_version"),
        "{}",
        yaml.shown()
    );
    let zip = read("appd", "Accept", "application/zip")?.expect(200)?;
    ensure!(zip.body.starts_with(b"PK"), "{}", zip.shown());
    let appd = read("appd", "Accept", "application/json")?
        .expect(200)?
        .json()?;
    ensure!(appd["appName"] == "page", "{appd}");

    let whole = read("package_content", "Accept", "application/zip")?.expect(200)?;
    ensure!(whole.body == content, "the content came back changed");
    let part = read("package_content", "Range", "bytes=10-19")?.expect(206)?;
    ensure!(
        Some(part.body.as_slice()) == content.get(10..20),
        "another part"
    );
    let range = format!("bytes 10-19/{}", content.len());
    ensure!(part.header("content-range") == Some(&range), "{part:?}");
    ensure!(part.header("etag") == whole.header("etag"), "another tag");
    read("package_content", "Range", "bytes=999999999-")?.expect(416)?;

    // Each of the rules about states.
    desk.put(&package, &content)?.expect(409)?;
    desk.switch(&package, "ENABLED", 409)?;
    desk.delete(&package, 409)?;
    let body = json!({"operationState": "DISABLED"});
    let stale = Request::new("PATCH", &by_descriptor).json(&body);
    desk.send(stale.header("If-Match", "\"stale\""))?
        .expect(412)?;
    desk.send(Request::new("PATCH", &by_descriptor).json(&body))?
        .expect(200)?;
    desk.switch(&by_descriptor, "DISABLED", 409)?;
    desk.delete(&by_descriptor, 204)?;
    desk.send(Request::new("GET", &package))?.expect(404)?;
    desk.is_empty()?;
    desk.node.stop()
}

#[test]
fn a_package_is_fetched_from_where_it_was_announced() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    let content = desk.package("fetched", "")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let uri = format!("http://{}/fetched.csar", listener.local_addr()?);
    let served = content.clone();
    thread::spawn(move || -> anyhow::Result<()> {
        let (mut stream, _) = listener.accept()?;
        // One read takes the whole request: it is a few hundred bytes.
        let asked = stream.read(&mut [0; 4096])?;
        ensure!(asked > 0, "nothing was asked");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            served.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&served)?;
        Ok(())
    });
    let announce = |name: &str, uri: &str, status: u16| {
        let body = json!({"appPkgName": name, "appPkgVersion": "1", "appPkgPath": uri,
            "checksum": {"algorithm": "SHA-256", "hash": sha256(&content)}});
        desk.send(Request::new("POST", PACKAGES).json(&body))?
            .expect(status)
    };
    let made = announce("fetched", &uri, 201)?.json()?;
    let path = format!("{PACKAGES}/{}", made["id"].as_str().context("no id")?);
    let shown = desk.settled(&path)?;
    ensure!(shown["onboardingState"] == "ONBOARDED", "{shown}");

    let gone = announce("gone", "http://127.0.0.1:1/gone.csar", 201)?.json()?;
    let path = format!("{PACKAGES}/{}", gone["id"].as_str().context("no id")?);
    let shown = desk.settled(&path)?;
    let detail = shown["onboardingFailureDetails"]["detail"].to_string();
    ensure!(detail.contains("/appPkgPath"), "{shown}");
    announce("file", "file:///etc/passwd", 400)?;
    desk.node.stop()
}
