//! Short descriptions that are wrong: refused with the field and the line.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::io::Cursor;

use edged_package::{Image, PackageBuilder, PackageError};
use support::{TOML, file, identity};

#[track_caller]
fn refused(from: &str, to: &str) -> PackageError {
    assert!(TOML.contains(from), "{from:?}");
    let text = TOML.replacen(from, to, 1);
    let made = PackageBuilder::from_toml("package.toml", &text).and_then(|builder| {
        builder
            .build(
                Image::Archive(file(b"image")),
                &identity("a"),
                Cursor::new(Vec::new()),
            )
            .map(|_| ())
    });
    made.unwrap_err()
}

#[test]
fn a_mistake_is_told_with_its_field() {
    for (from, to, field, reason) in [
        ("name = \"sensor-page\"\n", "", "name", "missing"),
        (
            "provider = \"Example Works\"",
            "provider = \"\"",
            "provider",
            "not empty",
        ),
        (
            "version = \"1.0.0\"",
            "version = 1.0",
            "version (line 4)",
            "string",
        ),
        (
            "description = \"Shows",
            "description = \"a\\nb Shows",
            "description",
            "one line",
        ),
        (
            "confirm_ready = true",
            "confirm_redy = true",
            "confirm_redy (line 6)",
            "unknown field",
        ),
        (
            "publish = [\"8080:80\"]",
            "publish = [\"80\"]",
            "publish (line 8)",
            "HOST:CONTAINER",
        ),
        (
            "cpus = \"0.5\"",
            "cpus = \"none\"",
            "resources.cpus (line 16)",
            "cpus",
        ),
        (
            "memory = \"64m\"",
            "memory = \"64q\"",
            "resources.memory (line 17)",
            "size",
        ),
        (
            "memory = \"64m\"",
            "ram = \"64m\"",
            "resources.ram (line 17)",
            "unknown field",
        ),
        (
            "readiness = \"http:80/healthz\"",
            "readiness = \"http://x\"",
            "probes.readiness",
            "http:PORT/PATH",
        ),
        (
            "\"sensors/#\"",
            "\"sensors#\"",
            "mqtt.subscribe[0] (line 23)",
            "topic filter",
        ),
        (
            "port = \"80/tcp\"",
            "port = \"0\"",
            "services.produced[0].port",
            "PORT",
        ),
        (
            "ser_name = \"sensor-page\"",
            "ser_name = \"Sensor Page\"",
            "services.produced[0].ser_name",
            "label",
        ),
        (
            "priority = 10",
            "priority = 300",
            "traffic_rules[0].priority (line 37)",
            "300",
        ),
        (
            "action = \"FORWARD_DECAPSULATED\"",
            "action = \"ALLOW\"",
            "traffic_rules[0].action (line 39)",
            "ALLOW",
        ),
        (
            "action = \"FORWARD_DECAPSULATED\"",
            "action = \"DROP\"",
            "traffic_rules[0].dst_interface",
            "DROP",
        ),
        (
            "ip_address = \"10.86.0.2\"\nttl",
            "ip_address = \"fe80::1\"\nttl",
            "dns_rules[0].ip_address",
            "family",
        ),
        ("GREETING", "MQTT_URL", "env", "platform"),
        ("name = \"sensor-page\"", "name = sensor-page", "line 2", ""),
        (
            "stop_grace = \"5 s\"",
            "stop_grace = \"5 MB\"",
            "stop_grace (line 10)",
            "5 s",
        ),
    ] {
        let error = refused(from, to);
        assert_eq!(error.file(), "package.toml", "{error}");
        assert!(error.field().unwrap().starts_with(field), "{to}: {error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_only_the_descriptor_shows_is_told_too() {
    let error = refused("stop_grace = \"5 s\"", "mec_versions = [\"three\"]");
    assert_eq!(error.file(), "application.yaml");
    assert!(error.field().unwrap().ends_with("/mec_version"), "{error}");
}

#[test]
fn the_least_description_is_four_lines() {
    let text = "name = \"a\"\nprovider = \"b\"\nversion = \"1\"\ndescription = \"c\"\n";
    let identity = identity("a");
    let mut out = Cursor::new(Vec::new());
    let built = PackageBuilder::from_toml("p.toml", text)
        .unwrap()
        .build(Image::Archive(file(b"image")), &identity, &mut out)
        .unwrap();
    let package = support::open(out.get_ref(), &support::trust(&identity)).unwrap();
    assert_eq!(*package.descriptor(), built.descriptor);
    let spec = package
        .descriptor()
        .spec("a".parse().unwrap(), "a".parse().unwrap())
        .unwrap();
    assert_eq!(spec.limits, edged_model::Limits::default());
    assert_eq!(spec.stop, edged_model::StopPolicy::default());
}
