//! Bundles from an address: over TLS, from a server that is not ours.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use edged_console::BundleSource;
use edged_protocol::slot::Command as Asked;

use super::Machine;
use super::bundles::{made, take, updates};
use made::{Draft, KEYS};

/// Names two servers: one that is known, and one whose certificate nobody knows. What both serve is in the folder.
const SERVER: &str = "UMEC_TEST_SERVER";
const STRANGER: &str = "UMEC_TEST_STRANGER";
const FOLDER: &str = "UMEC_TEST_FOLDER";
/// A certificate of its own for a server on this machine.
const CERTIFICATE: &str = "[req]\ndistinguished_name=name\nx509_extensions=server\nprompt=no\n\
    [name]\nCN=updates.test\n[server]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";

/// openssl, serving the files of a folder.
struct Server(Child);

impl Server {
    /// Its certificate is in the folder; the second is where it is.
    fn start(folder: &Path) -> (Self, String) {
        std::fs::write(folder.join("request"), CERTIFICATE).unwrap();
        let words = "req -x509 -config request -newkey rsa:2048 -nodes -days 2 -keyout key -out certificate";
        let mut request = Command::new("openssl");
        let certified = request.args(words.split(' ')).current_dir(folder).output();
        assert!(certified.unwrap().status.success());
        let words = "s_server -accept 127.0.0.1:0 -WWW -cert certificate -key key";
        let mut serve = Command::new("openssl");
        serve.args(words.split(' ')).current_dir(folder);
        let serve = serve.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = serve.stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let place = said.lines().find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("ACCEPT ").map(str::to_owned)
        });
        (Self(child), format!("https://{}", place.unwrap()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whom a process believes is in its environment (`SSL_CERT_FILE`), so who fetches is a process of its own: this test again.
#[test]
fn what_an_address_serves_is_judged_as_what_comes_any_other_way() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let [server, stranger] = [SERVER, STRANGER].map(|name| std::env::var(name).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(fetches(&server, &stranger, Path::new(&folder)));
    }
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_server, server) = Server::start(folder.path());
    let (_stranger, stranger) = Server::start(other.path());
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = "what_an_address_serves_is_judged_as_what_comes_any_other_way";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}"), "--nocapture"])
        .env(SERVER, server)
        .env(STRANGER, stranger)
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("certificate"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{why}"
    );
}

async fn fetches(server: &str, stranger: &str, folder: &Path) {
    let machine = Machine::new();
    let updates = updates(&machine, edged_store::SCHEMA_READS).await;
    let (_, good) = Draft::new().bytes();
    let mut foreign = Draft::new();
    foreign.signer = &KEYS[1];
    let files = [
        ("foreign", foreign.bytes().1),
        ("cut", good[..good.len() - 1].to_vec()),
        ("good", good),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    for (address, why) in [
        (format!("{stranger}/good"), "certificate"),
        (format!("{server}/foreign"), "signature is wrong"),
        (format!("{server}/cut"), "cut off"),
        (format!("{server}/nothing"), "no update bundle"),
    ] {
        let source = BundleSource::Address(address.clone());
        let refusal = take(&updates, source).await.unwrap_err();
        assert!(refusal.contains(why), "{address}: {refusal}");
    }
    assert_eq!(machine.medium().asked, []);
    let source = BundleSource::Address(format!("{server}/good"));
    take(&updates, source).await.unwrap();
    assert_eq!(machine.medium().asked.first(), Some(&Asked::Write {}));
}
