//! Who signed, how, and when: what OpenSSL signs we verify, what we sign it verifies, and the rest is refused.
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

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use edged_package::{Limits, Package, PackageError, SigningIdentity, Trust};
use support::draft::{Draft, pem, sign};
use support::zip::{Entry, deflated, stored, zip};
use support::{IMAGE, MANIFEST, META, build, file, identity, now, open, trust};
use tempfile::TempDir;

fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A folder with `key.pem` and a certificate of its own, `cert.pem`.
fn signer(new_key: &str) -> (TempDir, Trust) {
    let folder = TempDir::new().unwrap();
    openssl(folder.path(), &format!("{new_key} -out key.pem"));
    openssl(
        folder.path(),
        "req -new -x509 -key key.pem -subj /CN=signer -days 3650 -out cert.pem",
    );
    let trust =
        Trust::from_pem(&fs::read_to_string(folder.path().join("cert.pem")).unwrap()).unwrap();
    (folder, trust)
}

const EC: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// A good package signed by OpenSSL.
fn signed_by_openssl(folder: &Path, options: &str) -> Vec<u8> {
    let manifest = Draft::good().manifest();
    fs::write(folder.join("manifest"), &manifest).unwrap();
    let signature = openssl(
        folder,
        &format!(
            "cms -sign -binary -in manifest -signer cert.pem -inkey key.pem -outform PEM {options}"
        ),
    );
    let whole = manifest + std::str::from_utf8(&signature).unwrap();
    zip(&Draft::good().entries(&whole))
}

/// Valid certificates of OpenSSL begin when they are made.
fn open_today(bytes: &[u8], trust: &Trust) -> Result<Package, PackageError> {
    Package::open(file(bytes), trust, &Limits::default(), SystemTime::now())
}

#[track_caller]
fn refused(result: Result<Package, PackageError>, file: &str, reason: &str) {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.file(), file, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn openssl_verifies_what_we_sign() {
    let identity = identity("Example Works");
    let folder = TempDir::new().unwrap();
    let manifest = sign(&Draft::good().manifest(), &identity);
    let at = manifest.find("-----BEGIN CMS").unwrap();
    fs::write(folder.path().join("content"), &manifest[..at]).unwrap();
    fs::write(folder.path().join("signature"), &manifest[at..]).unwrap();
    fs::write(folder.path().join("ca.pem"), identity.certificate_pem()).unwrap();
    let verify = "cms -verify -binary -inform PEM -in signature -content content -CAfile ca.pem -purpose any -out out \
                  -attime 1790000000";
    openssl(folder.path(), verify);
    fs::write(folder.path().join("content"), "other").unwrap();
    let status = Command::new("openssl")
        .current_dir(folder.path())
        .args(verify.split_whitespace())
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
}

#[test]
fn we_verify_what_openssl_signs_with_each_kind_of_key() {
    for (key, options) in [
        (EC, ""),
        (EC, "-md sha384"),
        (EC, "-keyid"),
        (EC, "-nosmimecap -cades"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            "-md sha384",
        ),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", ""),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "-md sha512",
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest",
        ),
    ] {
        let (folder, trust) = signer(key);
        let package = open_today(&signed_by_openssl(folder.path(), options), &trust)
            .unwrap_or_else(|error| panic!("{key} {options}: {error}"));
        assert_eq!(package.signer().unwrap().subject, "CN=signer");
    }
}

#[test]
fn schemes_that_are_weak_or_without_attributes_are_refused() {
    for (key, options, reason) in [
        (EC, "-md sha1", "SHA-256"),
        (EC, "-noattr", "signed attributes"),
        (EC, "-nodetach", "its own content"),
        (EC, "-nocerts", "certificate is neither"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "",
            "not taken",
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
            "",
            "wrong",
        ),
    ] {
        let (folder, trust) = signer(key);
        refused(
            open_today(&signed_by_openssl(folder.path(), options), &trust),
            MANIFEST,
            reason,
        );
    }
}

#[test]
fn a_certificate_may_come_in_a_file_of_its_own() {
    let (folder, trust) = signer(EC);
    let certificate = fs::read(folder.path().join("cert.pem")).unwrap();
    let draft = Draft::good().meta(
        "Created-By: me",
        "Created-By: me\nETSI-Entry-Certificate: signer.cert",
    );
    let manifest = draft.manifest();
    fs::write(folder.path().join("manifest"), &manifest).unwrap();
    for (form, name) in [("DER", "application.p7s"), ("PEM", "application.cms")] {
        let signature = openssl(
            folder.path(),
            &format!(
                "cms -sign -binary -nocerts -in manifest -signer cert.pem -inkey key.pem -outform {form}"
            ),
        );
        let mut entries = draft.entries(&manifest);
        entries.push(stored("signer.cert", &certificate));
        entries.push(stored(name, &signature));
        let package = open_today(&zip(&entries), &trust).unwrap();
        assert_eq!(package.signer().unwrap().subject, "CN=signer");
        // Without the signature the certificate proves nothing.
        entries.pop();
        refused(open_today(&zip(&entries), &trust), MANIFEST, "not signed");
    }
}

#[test]
fn a_signer_is_trusted_through_its_authority() {
    let (folder, authority) = signer(EC);
    let path = folder.path();
    fs::rename(path.join("key.pem"), path.join("ca-key.pem")).unwrap();
    fs::rename(path.join("cert.pem"), path.join("ca.pem")).unwrap();
    let issue = |extensions: &str| {
        fs::write(path.join("ext"), extensions).unwrap();
        openssl(path, &format!("{EC} -out key.pem"));
        openssl(
            path,
            "req -new -key key.pem -subj /CN=developer -out request.pem",
        );
        openssl(
            path,
            "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 -extfile ext -out cert.pem",
        );
        signed_by_openssl(path, "")
    };
    let bytes = issue("basicConstraints=CA:FALSE\nextendedKeyUsage=codeSigning\n");
    assert_eq!(
        open_today(&bytes, &authority)
            .unwrap()
            .signer()
            .unwrap()
            .subject,
        "CN=developer"
    );
    let later = SystemTime::now() + Duration::from_secs(40 * 86_400);
    let expired = Package::open(file(&bytes), &authority, &Limits::default(), later);
    refused(expired, MANIFEST, "not valid at this time");
    let (_other, stranger) = signer(EC);
    refused(open_today(&bytes, &stranger), MANIFEST, "not trusted");
    // The authority's web servers do not sign packages.
    let server = issue("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n");
    refused(open_today(&server, &authority), MANIFEST, "refused");
}

#[test]
fn a_stranger_and_a_forger_are_refused() {
    let (own, stranger) = (identity("Example Works"), identity("Example Works"));
    let bytes = build(&stranger);
    refused(open(&bytes, &trust(&own)), MANIFEST, "not trusted");
    refused(open(&bytes, &Trust::default()), MANIFEST, "not trusted");
    // The right certificate with the wrong key.
    let der =
        |identity: &SigningIdentity| identity.sign(Draft::good().manifest().as_bytes()).unwrap();
    let mut forged = der(&own);
    let wrong = der(&stranger);
    let tail = forged.len() - 60;
    forged[tail..].copy_from_slice(&wrong[wrong.len() - 60..]);
    let manifest = Draft::good().manifest() + &pem("CMS", &forged);
    let error = open(&zip(&Draft::good().entries(&manifest)), &trust(&own))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, PackageError::Signature { .. }), "{error}");
}

#[test]
fn a_certificate_is_good_in_its_time_only() {
    let identity = identity("Example Works");
    let bytes = build(&identity);
    let at = |time| Package::open(file(&bytes), &trust(&identity), &Limits::default(), time);
    refused(
        at(now() + Duration::from_secs(3 * 365 * 86_400)),
        MANIFEST,
        "expired",
    );
    refused(
        at(now() - Duration::from_secs(86_400)),
        MANIFEST,
        "valid from",
    );
    refused(
        at(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
        MANIFEST,
        "before 1970",
    );
}

#[test]
fn a_signature_is_over_this_manifest_and_whole() {
    let identity = identity("Example Works");
    let whole = sign(&Draft::good().manifest(), &identity);
    let with = |manifest: String| open(&zip(&Draft::good().entries(&manifest)), &trust(&identity));
    let later = whole.replace("2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z");
    refused(with(later), MANIFEST, "over another content");
    refused(with(Draft::good().manifest()), MANIFEST, "not signed");
    refused(
        with(whole.replace("-----END CMS-----\n", "")),
        MANIFEST,
        "PEM",
    );
    refused(
        with(format!("{whole}Source: x\nAlgorithm: SHA-256\nHash: 00\n")),
        MANIFEST,
        "PEM",
    );
    refused(
        with(format!(
            "{whole}{}",
            &whole[whole.find("-----BEGIN").unwrap()..]
        )),
        MANIFEST,
        "PEM",
    );
    refused(
        with(Draft::good().manifest() + &pem("CMS", b"junk")),
        MANIFEST,
        "no CMS signature",
    );
    refused(
        with(Draft::good().manifest() + &pem("CMS", b"")),
        MANIFEST,
        "no CMS signature",
    );
}

#[test]
fn who_takes_unsigned_packages_gets_them() {
    let bytes = zip(&Draft::good().entries(&Draft::good().manifest()));
    refused(open(&bytes, &Trust::default()), MANIFEST, "not signed");
    let package = open(&bytes, &Trust::default().accept_unsigned()).unwrap();
    assert!(package.signer().is_none());
    // Even then every file has its digest.
    let bare = zip(&Draft::good().entries(&Draft::good().metadata));
    refused(
        open(&bare, &Trust::default().accept_unsigned()),
        IMAGE,
        "not listed",
    );
}

/// A CSAR without digests, its signature beside it, in one ZIP.
fn envelope(identity: &SigningIdentity) -> Vec<Entry> {
    let csar = zip(&Draft::good().entries(&Draft::good().metadata));
    let signature = identity.sign(&csar).unwrap();
    vec![stored("page.csar", &csar), stored("page.cms", &signature)]
}

#[test]
fn a_csar_in_a_signed_envelope_is_taken() {
    let identity = identity("Example Works");
    let mut entries = envelope(&identity);
    entries.push(stored("page.cert", identity.certificate_pem().as_bytes()));
    let package = open(&zip(&entries), &trust(&identity)).unwrap();
    assert_eq!(package.signer().unwrap().subject, "CN=Example Works");
    package.image_reader().unwrap().unwrap().finish().unwrap();
}

#[test]
fn an_envelope_is_whole_and_holds_nothing_else() {
    let identity = identity("Example Works");
    let with = |spoil: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = envelope(&identity);
        spoil(&mut entries);
        open(&zip(&entries), &trust(&identity))
    };
    refused(
        with(&|entries| drop(entries.pop())),
        "page.cms",
        "page.csar",
    );
    refused(
        with(&|entries| entries.push(stored("evil.sh", b"x"))),
        "evil.sh",
        "nothing else",
    );
    refused(
        with(&|entries| drop(entries.remove(0))),
        META,
        "every package",
    );
    refused(
        with(&|entries| {
            let mut csar = entries[0].packed.clone();
            csar[100_000] ^= 1;
            entries[0] = stored("page.csar", &csar);
        }),
        "page.cms",
        "over another content",
    );
    refused(
        with(&|entries| entries[0] = deflated("page.csar", &entries[0].packed)),
        "page.csar",
        "without compression",
    );
    let stranger = support::identity("Stranger");
    let error = open(&zip(&envelope(&stranger)), &trust(&identity))
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.file(), "page.cms", "{error}");
    // A good envelope does not excuse what is inside.
    let partial = Draft::good().with("extra", b"x");
    let csar = zip(&partial.entries(&Draft::good().manifest()));
    let entries = [
        stored("page.csar", &csar),
        stored("page.cms", &identity.sign(&csar).unwrap()),
    ];
    refused(
        open(&zip(&entries), &trust(&identity)),
        "extra",
        "not listed",
    );
}

#[test]
fn an_identity_is_a_key_and_its_certificate() {
    let (own, other) = (identity("a"), identity("b"));
    let again = SigningIdentity::from_pem(own.key_pem(), own.certificate_pem()).unwrap();
    assert_eq!(build(&again), build(&own));
    let error = SigningIdentity::from_pem(own.key_pem(), other.certificate_pem()).unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");
    assert!(SigningIdentity::from_pem("", own.certificate_pem()).is_err());
    assert!(SigningIdentity::from_pem(own.key_pem(), "").is_err());
    assert!(!format!("{own:?}").contains("PRIVATE"));
    // OpenSSL's keys are taken too.
    let (folder, trust) = signer(EC);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let theirs = SigningIdentity::from_pem(&read("key.pem"), &read("cert.pem")).unwrap();
    open_today(&build(&theirs), &trust).unwrap();
}

#[test]
fn only_certificates_can_be_trusted() {
    let identity = identity("a");
    for bad in [
        "",
        "hello",
        identity.key_pem(),
        &pem("CERTIFICATE", b"junk"),
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        assert!(Trust::from_pem(bad).is_err(), "{bad:?}");
    }
    assert!(Trust::from_pem(&identity.certificate_pem().repeat(65)).is_err());
}
