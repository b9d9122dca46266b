//! What is made can be opened, and says what was asked for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::io::{Cursor, Read};

use edged_model::{Bytes, MilliCpus, ProbeKind};
use edged_package::{Image, ImageSource, PackageBuilder, Trust};
use support::{IMAGE, TOML, build, file, identity, image, open, trust};

#[test]
fn a_package_that_was_made_opens_and_says_what_was_asked_for() {
    let identity = identity("Example Works");
    let package = open(&build(&identity), &trust(&identity)).unwrap();
    assert_eq!(package.signer().unwrap().subject, "CN=Example Works");
    let descriptor = package.descriptor();
    assert_eq!(descriptor.app_d_id, "sensor-page-1.0.0");
    assert_eq!(
        descriptor.app_traffic_rule[0].traffic_filter[0].dst_port,
        ["554"]
    );
    assert_eq!(descriptor.app_dns_rule[0].ttl, Some(60));
    assert_eq!(*package.image(), ImageSource::Inside(IMAGE.to_owned()));
    let mut content = Vec::new();
    package
        .image_reader()
        .unwrap()
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content, image());

    let spec = descriptor
        .spec("page".parse().unwrap(), "page:1".parse().unwrap())
        .unwrap();
    assert_eq!(
        (spec.limits.cpus, spec.limits.memory),
        (MilliCpus(500), Bytes(64 << 20))
    );
    assert_eq!(spec.network.publish[0].host, 8080);
    assert_eq!(spec.mqtt.subscribe[0].as_str(), "sensors/#");
    assert_eq!(
        (spec.services[0].name.as_str(), spec.services[0].port),
        ("sensor-page", 80)
    );
    assert_eq!(spec.args, ["--title", "Sensors"]);
    assert_eq!(spec.stop.grace_ms, 5_000);
    assert!(spec.probes.confirm);
    assert!(
        matches!(&spec.probes.readiness.as_ref().unwrap().kind, ProbeKind::Http { port: 80, path } if path == "/healthz")
    );
}

#[test]
fn the_descriptor_has_the_shape_of_mec_010_2() {
    let identity = identity("Example Works");
    let package = open(&build(&identity), &trust(&identity)).unwrap();
    let wire = serde_json::to_value(package.descriptor()).unwrap();
    assert_eq!(wire["mecVersion"], "3.1.1");
    assert_eq!(wire["appDId"], "sensor-page-1.0.0");
    assert_eq!(wire["appTrafficRule"][0]["trafficFilter"][0]["dSCP"], 10);
    assert_eq!(
        wire["appTrafficRule"][0]["dstInterface"]["dstIPAddress"],
        "10.86.0.2"
    );
    assert_eq!(wire["appDNSRule"][0]["ipAddressType"], "IP_V4");
    assert_eq!(wire["osContainerDescriptor"][0]["cpuResourceLimit"], 500);
    assert_eq!(
        wire["osContainerDescriptor"][0]["swImageDesc"]["swImage"],
        IMAGE
    );
    assert_eq!(
        wire["terminateAppInstanceOpConfig"]["minGracefulTerminationTimeout"],
        5
    );
    let again: edged_package::AppDescriptor = serde_json::from_value(wire).unwrap();
    assert_eq!(again, *package.descriptor());
}

#[test]
fn one_description_and_one_key_make_one_package_bit_for_bit() {
    let identity = identity("Example Works");
    assert_eq!(build(&identity), build(&identity));
}

#[test]
fn an_image_in_a_registry_is_pinned_or_refused() {
    let identity = identity("Example Works");
    let builder = PackageBuilder::from_toml("package.toml", TOML).unwrap();
    let pinned = format!("registry.example.org/page@sha256:{}", "ab".repeat(32));
    let mut out = Cursor::new(Vec::new());
    builder
        .build(
            Image::Reference(pinned.parse().unwrap()),
            &identity,
            &mut out,
        )
        .unwrap();
    let package = open(out.get_ref(), &trust(&identity)).unwrap();
    assert!(
        matches!(package.image(), ImageSource::Registry(reference, _) if reference.to_string() == pinned)
    );
    assert!(package.image_reader().unwrap().is_none());
    let loose = Image::Reference("registry.example.org/page:1".parse().unwrap());
    let error = builder
        .build(loose, &identity, Cursor::new(Vec::new()))
        .unwrap_err();
    assert_eq!(
        (error.file(), error.field()),
        ("package.toml", Some("image"))
    );
}

#[test]
fn an_unsigned_package_is_the_operators_choice() {
    let identity = identity("Example Works");
    let bytes = build(&identity);
    assert!(open(&bytes, &Trust::default()).is_err());
    // What is signed must still be signed by somebody trusted.
    assert!(open(&bytes, &Trust::default().accept_unsigned()).is_err());
}

#[test]
fn an_image_that_changes_after_opening_is_noticed_while_it_is_read() {
    use std::os::unix::fs::FileExt;
    let identity = identity("Example Works");
    let bytes = build(&identity);
    let file = file(&bytes);
    let other = file.try_clone().unwrap();
    let package = edged_package::Package::open(
        file,
        &trust(&identity),
        &edged_package::Limits::default(),
        support::now(),
    )
    .unwrap();
    let start = image()[..16].to_vec();
    let at = bytes
        .windows(16)
        .position(|window| window == start)
        .unwrap();
    other.write_all_at(b"x", at as u64 + 200_000).unwrap();
    let error = package
        .image_reader()
        .unwrap()
        .unwrap()
        .finish()
        .unwrap_err();
    assert_eq!(error.file(), IMAGE);
}
