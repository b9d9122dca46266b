//! Certificates are made when they are needed, and are good whenever that is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edged_authority::{
    Authority, BACKDATED, Client, FileKey, LIFE, Names, Purpose, RequestError, Server, Sign,
    requested_key,
};
use rustls::client::ResolvesClientCert as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const DAY: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    static NOW: Cell<SystemTime> = Cell::new(SystemTime::now());
}

fn now() -> SystemTime {
    NOW.get()
}

fn key(folder: &tempfile::TempDir, name: &str) -> Arc<dyn Sign> {
    Arc::new(FileKey::open(&folder.path().join(name), name).unwrap())
}

fn box_of(folder: &tempfile::TempDir) -> Arc<Authority> {
    let ca = key(folder, "ca.key");
    Arc::new(Authority::open(folder.path(), "edge", ca).unwrap())
}

fn names() -> Names {
    Names {
        common: "edge edged".to_owned(),
        hosts: vec!["edge.mec.internal".to_owned()],
        addresses: vec!["10.77.0.1".parse().unwrap()],
    }
}

/// As a client sees it that trusts the root alone.
fn is_good(
    leaf: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
    name: &str,
    at: SystemTime,
) -> bool {
    is_good_for(KeyUsage::server_auth(), leaf, root, name, at)
}

fn is_good_for(
    usage: KeyUsage,
    leaf: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
    name: &str,
    at: SystemTime,
) -> bool {
    let anchors = [anchor_from_trusted_cert(root).unwrap()];
    let leaf = EndEntityCert::try_from(leaf).unwrap();
    let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let chain = leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &[],
        at,
        usage,
        None,
        None,
    );
    let name = ServerName::try_from(name.to_owned()).unwrap();
    chain.is_ok() && leaf.verify_is_valid_for_subject_name(&name).is_ok()
}

/// A day, a year, ten; back, and beyond what people live to see.
fn moments() -> [SystemTime; 8] {
    let begin = SystemTime::now();
    let year = 365 * DAY;
    [
        begin,
        begin + DAY,
        begin + year,
        begin + 10 * year,
        begin,
        begin - DAY,
        begin + 7000 * year,
        begin - 20 * year,
    ]
}

#[test]
fn whatever_the_clock_says_the_certificate_is_good_then() {
    let folder = tempfile::tempdir().unwrap();
    let authority = box_of(&folder);
    let server = Server::with_clock(
        Arc::clone(&authority),
        key(&folder, "tls.key"),
        names(),
        now,
    );
    for at in moments() {
        NOW.set(at);
        let shown = server.current().unwrap();
        for name in ["edge.mec.internal", "10.77.0.1"] {
            assert!(
                is_good(shown.cert.first().unwrap(), authority.root(), name, at),
                "{name} at {at:?}"
            );
        }
        assert!(!is_good(
            shown.cert.first().unwrap(),
            authority.root(),
            "other.example",
            at
        ));
    }
}

#[test]
fn whatever_the_clock_says_the_box_connects_with_a_certificate_of_then() {
    let folder = tempfile::tempdir().unwrap();
    let authority = box_of(&folder);
    let tls = key(&folder, "tls.key");
    let client = Client::with_clock(Arc::clone(&authority), tls, names(), now).unwrap();
    for at in moments() {
        NOW.set(at);
        let shown = client.current().unwrap();
        let leaf = shown.cert.first().unwrap();
        let good = |usage| is_good_for(usage, leaf, authority.root(), "edge.mec.internal", at);
        assert!(good(KeyUsage::client_auth()), "at {at:?}");
        assert!(!good(KeyUsage::server_auth()), "it serves at {at:?}");
    }
}

#[test]
fn a_server_that_lists_others_is_shown_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let authority = box_of(&folder);
    let tls = key(&folder, "tls.key");
    let client = Client::new(Arc::clone(&authority), tls, names()).unwrap();
    let subject = |root: &CertificateDer<'static>| {
        let anchor = anchor_from_trusted_cert(root).unwrap();
        // webpki keeps what is in the sequence; servers list all of it.
        let length = u8::try_from(anchor.subject.len()).unwrap();
        [&[0x30, length][..], &anchor.subject].concat()
    };
    let ours = subject(authority.root());
    let pole = Authority::open(other.path(), "pole-7", key(&other, "ca.key")).unwrap();
    let theirs = subject(pole.root());
    let is_shown = |roots: &[&[u8]]| client.resolve(roots, &[]).is_some();
    assert!(is_shown(&[]));
    assert!(is_shown(&[&theirs, &ours]));
    assert!(!is_shown(&[&theirs]));
}

#[test]
fn a_certificate_is_shown_until_two_thirds_of_its_life_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with_clock(box_of(&folder), key(&folder, "tls.key"), names(), now);
    let begin = SystemTime::now();
    let shown = |after: Duration| {
        NOW.set(begin + after);
        server.current().unwrap().cert.first().unwrap().clone()
    };
    let first = shown(Duration::ZERO);
    assert_eq!(shown(4 * DAY), first);
    let second = shown(5 * DAY);
    assert_ne!(second, first);
    // Back within the day by which it is backdated, it still is in its time.
    assert_eq!(shown(4 * DAY + BACKDATED / 2), second);
    assert_ne!(shown(Duration::ZERO), second);
}

#[test]
fn a_certificate_lasts_a_week_and_is_for_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let authority = box_of(&folder);
    let at = SystemTime::now();
    let public = key(&folder, "tls.key").public();
    let issue = |purpose| authority.issue(purpose, &names(), &public, at).unwrap();
    let server = issue(Purpose::Server);
    assert_eq!((server.from, server.until), (at - BACKDATED, at + LIFE));
    let good =
        |leaf: &CertificateDer<'_>, at| is_good(leaf, authority.root(), "edge.mec.internal", at);
    assert!(good(&server.der, at + LIFE - DAY));
    assert!(!good(&server.der, at + LIFE + DAY));
    assert!(!good(&server.der, at - BACKDATED - DAY));
    assert!(good(&issue(Purpose::Service).der, at));
    assert!(!good(&issue(Purpose::Client).der, at), "a client's serves");
}

#[test]
fn the_root_stays_and_another_key_or_site_has_another() {
    let folder = tempfile::tempdir().unwrap();
    let first = box_of(&folder).root().clone();
    assert_eq!(box_of(&folder).root(), &first);
    let moved = Authority::open(folder.path(), "pole-7", key(&folder, "ca.key")).unwrap();
    assert_ne!(moved.root(), &first);
    let other = Authority::open(folder.path(), "pole-7", key(&folder, "other.key")).unwrap();
    assert_ne!(other.root(), moved.root());
    // One site's name may end with another's.
    let suffix = Authority::open(folder.path(), "7", key(&folder, "other.key")).unwrap();
    assert_ne!(suffix.root(), other.root());
    let longer = Authority::open(folder.path(), "pole-7", key(&folder, "other.key")).unwrap();
    assert_ne!(longer.root(), suffix.root());
    let public = key(&folder, "tls.key").public();
    let leaf = other
        .issue(Purpose::Server, &names(), &public, SystemTime::now())
        .unwrap();
    assert!(!is_good(
        &leaf.der,
        moved.root(),
        "edge.mec.internal",
        SystemTime::now()
    ));
}

/// openssl has none of our code.
#[test]
fn a_request_counts_where_its_own_key_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let make = |curve: &str| {
        let mut openssl = std::process::Command::new("openssl");
        openssl.args([
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "ec",
            "-subj",
            "/CN=anybody",
        ]);
        openssl.args(["-pkeyopt", &format!("ec_paramgen_curve:{curve}")]);
        openssl.args(["-keyout", "/dev/null", "-outform", "DER"]);
        let made = openssl.current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        made.stdout
    };
    let request = make("P-256");
    let point = requested_key(&request).unwrap();
    assert!(request.windows(point.len()).any(|window| window == point));
    assert_eq!(requested_key(&make("P-384")), Err(RequestError::Kind));
    assert_eq!(requested_key(b"no request"), Err(RequestError::Form));
    // Whatever bit is wrong, it is refused.
    for at in 0..request.len() {
        let mut bent = request.clone();
        bent[at] ^= 1;
        assert!(requested_key(&bent).is_err(), "bit {at}");
    }
}

#[test]
fn a_key_in_a_file_is_made_once_and_read_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let made = key(&folder, "a.key").public();
    assert_eq!(key(&folder, "a.key").public(), made);
    // As earlier releases wrote it.
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.path().join("b.key"), pair.serialize_pem()).unwrap();
    assert_eq!(
        key(&folder, "b.key").public().as_slice(),
        pair.public_key_raw()
    );
    std::fs::write(folder.path().join("c.key"), "no key").unwrap();
    let error = FileKey::open(&folder.path().join("c.key"), "c").unwrap_err();
    assert!(error.to_string().contains("remove it"), "{error}");
}
