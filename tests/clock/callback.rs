//! Callbacks that want to know who calls: openssl in the place of an application.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, ensure};
use board::client::until;
use board::process;
use serde_json::{Value, json};
use tempfile::TempDir;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::clock::Clock;

/// The application that is called back.
const HEARS: &str = "hears";
/// Whether a server asks for a certificate: it has to have one, it may have one, nobody asks.
const WANTS: [&str; 3] = ["-Verify", "1", "-verify_return_error"];
const TAKES: [&str; 3] = ["-verify", "1", "-verify_return_error"];
const ASKS_NOT: [&str; 0] = [];

/// The application, with a certificate of the box for its name.
struct Application<'a> {
    clock: &'a Clock,
    lab: &'a Lab,
    id: String,
    folder: TempDir,
}

impl Application<'_> {
    fn curl(&self, words: &[&str], path: &str) -> anyhow::Result<String> {
        let http = self.lab.node.line.http.as_deref().context("no HTTP")?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
        curl.args(words).arg(format!("{http}{path}"));
        process::output(curl.current_dir(self.folder.path()))
    }

    fn openssl(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut openssl = Command::new("openssl");
        process::output(openssl.args(words).current_dir(self.folder.path()))
    }

    /// The token and the certificate of this day.
    fn certified(&self) -> anyhow::Result<String> {
        let init = self.lab.init_of(HEARS)?;
        let secret =
            fs::read_to_string(format!("/proc/{init}/root/run/secrets/mec-client-secret"))?;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            self.id,
            secret.trim()
        );
        let answer: Value = serde_json::from_str(&self.curl(&["--data", &form], "/token")?)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        let bearer = format!("Authorization: Bearer {}", token.context("no token")?);
        let request = [
            "req", "-new", "-nodes", "-subj", "/CN=any", "-out", "request",
        ];
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.openssl(&[&request[..], &key, &["-keyout", "key"]].concat())?;
        let chain = self.curl(
            &["--header", &bearer, "--data-binary", "@request"],
            "/api/v1/certificates",
        )?;
        fs::write(self.folder.path().join("chain"), chain)?;
        Ok(bearer)
    }

    /// Has the box send one notification to a server of the application's that was started like this, and returns what
    /// the server said of the connection.
    fn told(&self, port: u16, ca: &str, asking: &[&str]) -> anyhow::Result<String> {
        let bearer = self.certified()?;
        let mut server = Server::start(self, port, ca, asking)?;
        let path = format!(
            "/mec_service_mgmt/v1/applications/{}/subscriptions",
            self.id
        );
        let body = json!({
            "subscriptionType": "SerAvailabilityNotificationSubscription",
            "callbackReference": format!("https://{}:{port}/heard", Lab::host_name(HEARS)),
            "requestTestNotification": true,
        });
        let json = ["--json", &body.to_string()];
        self.curl(&[&["--header", &bearer][..], &json].concat(), &path)?;
        server.heard()
    }
}

/// `openssl s_server` where the application is.
struct Server {
    child: Child,
    to: ChildStdin,
    said: PathBuf,
}

impl Server {
    fn start(of: &Application<'_>, port: u16, ca: &str, asking: &[&str]) -> anyhow::Result<Self> {
        let said = of.folder.path().join(port.to_string());
        let mut server = Command::new("nsenter");
        of.clock.faked(&mut server);
        let init = of.lab.init_of(HEARS)?.to_string();
        server.args(["--target", &init, "--net", "openssl", "s_server"]);
        server.args([
            "-accept",
            &port.to_string(),
            "-cert",
            "chain",
            "-key",
            "key",
        ]);
        server.args(["-CAfile", ca]).args(asking);
        let mut child = server
            .current_dir(of.folder.path())
            .stdin(Stdio::piped())
            .stdout(File::create(&said)?)
            .stderr(File::create(said.with_extension("log"))?)
            .spawn()
            .context("nsenter")?;
        let to = child.stdin.take().context("no input")?;
        let server = Self { child, to, said };
        until(SOON, || Ok(server.text()?.contains("ACCEPT").then_some(())))?;
        Ok(server)
    }

    fn text(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.said)?)
    }

    /// Waits for a notification, and takes it.
    fn heard(&mut self) -> anyhow::Result<String> {
        let text = until(SOON, || {
            let text = self.text()?;
            Ok(text.contains("POST /heard").then_some(text))
        });
        let log = fs::read_to_string(self.said.with_extension("log"))?;
        let text = text.with_context(|| format!("{}{log}", self.text().unwrap_or_default()))?;
        self.to.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        Ok(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The certificate of whoever connected, where it showed one.
fn shown(said: &str) -> Option<&str> {
    let (_, after) = said.split_once("Client certificate\n")?;
    after.split_once("subject=").map(|(pem, _)| pem)
}

#[test]
fn a_callback_that_asks_who_calls_is_shown_a_certificate_of_the_box() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let lab = Lab::start_with(|command| clock.faked(command))?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    lab.run(HEARS, &["--health-http", "8080/"], &web)?;
    let id = lab.inspect(HEARS)?;
    let application = Application {
        clock: &clock,
        lab: &lab,
        id: id
            .get("id")
            .and_then(Value::as_str)
            .context("no id")?
            .to_owned(),
        folder: tempfile::tempdir()?,
    };
    let ca = lab.node.line.ca.to_string_lossy().into_owned();

    let mut before = None;
    for (port, version, to) in [(8443, "-tls1_3", "+0"), (8444, "-tls1_2", "+365d")] {
        clock.jump(to)?;
        let asking = [&WANTS[..], &[version]].concat();
        let said = application.told(port, &ca, &asking)?;
        let pem = shown(&said).with_context(|| format!("no certificate at {to}: {said}"))?;
        fs::write(application.folder.path().join("shown"), pem)?;
        let x509 = ["x509", "-in", "shown", "-noout", "-ext"];
        let text =
            application.openssl(&[&x509[..], &["extendedKeyUsage,subjectAltName"]].concat())?;
        ensure!(text.contains("TLS Web Client Authentication"), "{text}");
        ensure!(!text.contains("TLS Web Server Authentication"), "{text}");
        ensure!(text.contains("DNS:edge.mec.internal"), "{text}");
        ensure!(
            before.replace(pem.to_owned()).as_deref() != Some(pem),
            "a year old at {to}"
        );
    }

    let said = application.told(8445, &ca, &ASKS_NOT)?;
    ensure!(shown(&said).is_none(), "nobody asked: {said}");

    // Whoever believes others alone gets what he got before: a notification, and no certificate that he does not know.
    let request = [
        "req",
        "-x509",
        "-nodes",
        "-subj",
        "/CN=others",
        "-days",
        "9999",
    ];
    application.openssl(&[&request[..], &["-keyout", "other.key", "-out", "other"]].concat())?;
    let said = application.told(8446, "other", &TAKES)?;
    ensure!(shown(&said).is_none(), "not of these: {said}");
    lab.node.stop()
}
