//! The same answers as the service registry's, by handlers that do nothing: what a request costs without the platform.
//!
//! `bare PORT FOLDER` serves on loopback, by edged's own listener, what the folder's `list.json` and `one.json` hold.

use std::net::Ipv4Addr;
use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

const SERVICES: &str = "/mec_service_mgmt/v1/services";
const OF_ONE: &str = "/mec_service_mgmt/v1/applications/{instance}/services";
const ONE: &str = "/mec_service_mgmt/v1/applications/{instance}/services/{service}";
/// As long as the registry's own.
const LOCATION: &str = "http://127.0.0.1/mec_service_mgmt/v1/applications/00000000-0000-0000-0000-000000000000/services/00000000-0000-0000-0000-000000000000";
const ETAG: &str = "\"0000000000000000\"";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let port: u16 = words.next().ok_or("write a port")?.parse()?;
    let folder = words.next().ok_or("write a folder")?;
    let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).map(Bytes::from);
    let (list, one) = (read("list.json")?, read("one.json")?);
    let json = || (header::CONTENT_TYPE, "application/json");
    let made = [json(), (header::LOCATION, LOCATION), (header::ETAG, ETAG)];
    let router = Router::new()
        .route(SERVICES, get(async move || ([json()], list.clone())))
        .route(
            OF_ONE,
            post(async move |_: Bytes| (StatusCode::CREATED, made, one.clone())),
        )
        .route(ONE, delete(async || StatusCode::NO_CONTENT));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        // It goes with its process.
        let (_stop, never) = watch::channel(false);
        edged_mec::serve::serve(listener, None, router, never).await;
        Ok(())
    })
}
