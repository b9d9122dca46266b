//! Packages made by hand: every byte of them can be wrong.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod draft;
pub mod zip;

use std::fs::File;
use std::io::{Cursor, Seek, Write};
use std::time::{Duration, SystemTime};

use edged_package::{Image, Limits, Package, PackageBuilder, PackageError, SigningIdentity, Trust};

pub const META: &str = "TOSCA-Metadata/TOSCA.meta";
pub const YAML: &str = "application.yaml";
pub const MANIFEST: &str = "application.mf";
pub const IMAGE: &str = "Artifacts/Images/image.tar";

pub const TOML: &str = r#"
name = "sensor-page"
provider = "Example Works"
version = "1.0.0"
description = "Shows what the sensors say: a page"
confirm_ready = true
egress = false
publish = ["8080:80"]
args = ["--title", "Sensors"]
stop_grace = "5 s"

[env]
GREETING = "hello world"

[resources]
cpus = "0.5"
memory = "64m"

[probes]
readiness = "http:80/healthz"

[mqtt]
subscribe = ["sensors/#"]

[[services.produced]]
ser_name = "sensor-page"
version = "1.0.0"
port = "80/tcp"

[[services.required]]
ser_name = "IOTS"
version = "3.1.1"

[[traffic_rules]]
traffic_rule_id = "cameras"
filter_type = "FLOW"
priority = 10
traffic_filter = [{ dst_address = ["198.51.100.0/24"], dst_port = [554], protocol = ["udp"], dscp = 10 }]
action = "FORWARD_DECAPSULATED"
dst_interface = { interface_type = "IP", dst_ip_address = "10.86.0.2" }

[[dns_rules]]
dns_rule_id = "page"
domain_name = "page.example.org"
ip_address_type = "IP_V4"
ip_address = "10.86.0.2"
ttl = 60
"#;

/// A moment at which every certificate here is valid.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub fn identity(name: &str) -> SigningIdentity {
    SigningIdentity::generate(name, now()).unwrap()
}

pub fn trust(identity: &SigningIdentity) -> Trust {
    Trust::from_pem(identity.certificate_pem()).unwrap()
}

pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// Bytes that do not compress, larger than one buffer of any reader.
pub fn image() -> Vec<u8> {
    let mut state = 1_u32;
    (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

pub fn build(identity: &SigningIdentity) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    PackageBuilder::from_toml("package.toml", TOML)
        .unwrap()
        .build(Image::Archive(file(&image())), identity, &mut out)
        .unwrap();
    out.into_inner()
}

pub fn open(bytes: &[u8], trust: &Trust) -> Result<Package, PackageError> {
    Package::open(file(bytes), trust, &Limits::default(), now())
}
