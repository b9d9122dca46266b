//! A box of two applications that keeps everything in memory, for the tests of console, door and edgectl.

#![allow(dead_code, missing_docs)]

mod packages;
mod rules;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edged_console::{
    AccessView, AccountView, AddKeyArgs, Applications, BundleSource, CommissionView, DnsRuleView,
    EXEC_EVENTS, End, ErrorKind, ExecEvent, Finding, FindingState, ImageKeyView, ImageView,
    InstanceDetail, InstanceView, IssueArgs, KeyView, LOG_LINES, LogLine, LogQuery, OperatorView,
    PackageDetail, PackageView, PartView, Platform, PlatformError, Progress, RegistersView,
    ReleaseView, RulePlace, ServiceView, SignerView, StatsView, StatusView, Stream,
    TrafficRuleView, UpdateView,
};
use edged_model::{
    AppName, AppSpec, Digest, ExitCode, ImageReference, InstanceState, MilliCpus, PinnedImage,
    SiteName,
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, mpsc};

#[derive(Default)]
pub struct Fake {
    /// Log readers that follow now.
    pub followers: Arc<AtomicUsize>,
    /// Told whenever that count changes.
    pub changed: Arc<Notify>,
}

fn image_key(name: &str) -> ImageKeyView {
    ImageKeyView {
        name: name.to_owned(),
        fingerprint: "5e".repeat(32),
        from: None,
        until: Some(1_835_395_200),
    }
}

pub fn spec(name: &str) -> AppSpec {
    serde_json::from_value(serde_json::json!({"name": name, "image": format!("r.io/{name}:1")}))
        .unwrap()
}

pub fn view(name: &str, state: InstanceState) -> InstanceView {
    InstanceView {
        name: name.parse().unwrap(),
        id: format!("{name}-1").parse().unwrap(),
        image: format!("r.io/{name}:1").parse().unwrap(),
        state,
        created: 1,
        started: None,
        restarts: 3,
        host_name: format!("{name}.app.mec.example"),
        v4: "10.77.0.2".parse().unwrap(),
        v6: "fd00::2".parse().unwrap(),
        ports: vec!["8080:80".parse().unwrap(), "53:53/udp".parse().unwrap()],
        services: vec!["web".parse().unwrap()],
    }
}

pub fn image(text: &str) -> ImageView {
    ImageView {
        references: vec![text.parse().unwrap()],
        manifest: Digest::from_sha256([0xab; 32]),
        size: edged_model::Bytes(12 << 20),
        layers: 2,
        created: None,
        used_by: vec!["web".parse().unwrap()],
        signed_by: Some("team".to_owned()),
    }
}

fn known(name: &AppName) -> Result<(), PlatformError> {
    if matches!(name.as_str(), "web" | "worker") {
        return Ok(());
    }
    let message = format!("there is no application called {name}");
    Err(PlatformError::new(ErrorKind::NotFound, message).with_hint("ps lists them"))
}

impl Platform for Fake {
    async fn run(
        &self,
        spec: AppSpec,
        wait: Option<Duration>,
        progress: Progress,
    ) -> Result<InstanceView, PlatformError> {
        progress.say("starting");
        let state = match (wait, spec.name.as_str()) {
            (None, _) => InstanceState::Starting,
            (_, "slow") => InstanceState::Unready,
            (_, "broken") => InstanceState::BackOff {
                reason: "its program is not there".to_owned(),
                retry_ms: 1500,
            },
            _ => InstanceState::Ready,
        };
        Ok(view(spec.name.as_str(), state))
    }

    async fn list(&self) -> Result<Vec<InstanceView>, PlatformError> {
        let worker = InstanceState::Ended {
            code: ExitCode::Code(3),
        };
        Ok(vec![
            view("web", InstanceState::Ready),
            InstanceView {
                ports: vec![],
                ..view("worker", worker)
            },
        ])
    }

    async fn inspect(&self, name: &AppName) -> Result<InstanceDetail, PlatformError> {
        known(name)?;
        Ok(InstanceDetail {
            view: view(name.as_str(), InstanceState::Ready),
            spec: spec(name.as_str()),
            pinned: PinnedImage {
                manifest: Digest::from_sha256([1; 32]),
                layers: vec![],
            },
            pid: Some(7),
            last_exit: None,
        })
    }

    async fn logs(
        &self,
        name: &AppName,
        query: LogQuery,
    ) -> Result<mpsc::Receiver<LogLine>, PlatformError> {
        known(name)?;
        let (sender, receiver) = mpsc::channel(LOG_LINES);
        let (followers, changed) = (Arc::clone(&self.followers), Arc::clone(&self.changed));
        tokio::spawn(async move {
            let lines = [
                (Stream::Stdout, "one"),
                (Stream::Stderr, "two"),
                (Stream::Stdout, "three"),
            ];
            let skipped = query
                .tail
                .map_or(0, |tail| lines.len().saturating_sub(tail as usize));
            for (time, (stream, text)) in lines.into_iter().enumerate().skip(skipped) {
                let line = LogLine {
                    time: time as u64 * 1000,
                    stream,
                    text: text.to_owned(),
                };
                sender.send(line).await.unwrap();
            }
            if query.follow {
                followers.fetch_add(1, Ordering::SeqCst);
                changed.notify_waiters();
                sender.closed().await;
                followers.fetch_sub(1, Ordering::SeqCst);
                changed.notify_waiters();
            }
        });
        Ok(receiver)
    }

    /// `cat` echoes, `exit N` ends so, `flood N` writes N bytes, `args …` prints its words to standard error.
    async fn exec(
        &self,
        name: &AppName,
        command: Vec<String>,
        input: Option<mpsc::Receiver<Bytes>>,
    ) -> Result<mpsc::Receiver<ExecEvent>, PlatformError> {
        known(name)?;
        let (sender, receiver) = mpsc::channel(EXEC_EVENTS);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = |stream, bytes| ExecEvent::Output { stream, bytes };
        let mut code = ExitCode::Code(0);
        let mut text = None;
        match words.as_slice() {
            ["cat"] => {
                let mut input = input.unwrap_or_else(|| mpsc::channel(1).1);
                tokio::spawn(async move {
                    while let Some(bytes) = input.recv().await {
                        if sender.send(output(Stream::Stdout, bytes)).await.is_err() {
                            return;
                        }
                    }
                    let _ = sender.send(ExecEvent::Ended(ExitCode::Code(0))).await;
                });
                return Ok(receiver);
            }
            ["exit", number] => code = ExitCode::Code(number.parse().unwrap()),
            ["killed"] => code = ExitCode::Signal(15),
            ["flood", bytes] => {
                let mut left: usize = bytes.parse().unwrap();
                tokio::spawn(async move {
                    while left > 0 {
                        let length = left.min(16 << 10);
                        left -= length;
                        let bytes = Bytes::from(vec![b'x'; length]);
                        if sender.send(output(Stream::Stdout, bytes)).await.is_err() {
                            return;
                        }
                    }
                    let _ = sender.send(ExecEvent::Ended(ExitCode::Code(0))).await;
                });
                return Ok(receiver);
            }
            ["args", ..] => text = Some(format!("{words:?}\n")),
            other => {
                let message = format!("{:?} is not in the container of {name}", other[0]);
                return Err(PlatformError::new(ErrorKind::NoSuchCommand, message));
            }
        }
        if let Some(text) = text {
            sender
                .send(output(Stream::Stderr, text.into()))
                .await
                .unwrap();
        }
        sender.send(ExecEvent::Ended(code)).await.unwrap();
        Ok(receiver)
    }

    async fn images(&self) -> Result<Vec<ImageView>, PlatformError> {
        Ok(vec![image("r.io/web:1")])
    }

    async fn pull(
        &self,
        reference: ImageReference,
        _: Progress,
    ) -> Result<ImageView, PlatformError> {
        Ok(image(&reference.to_string()))
    }

    /// Names the loaded image by what came: `r.io/bytes:LENGTH-SUM`.
    async fn load(
        &self,
        mut input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<Vec<ImageView>, PlatformError> {
        let (mut length, mut sum, mut buffer) = (0_usize, 0_u64, vec![0; 32 << 10]);
        loop {
            let read = input.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            length += read;
            sum += buffer[..read].iter().copied().map(u64::from).sum::<u64>();
            progress.say("loading");
        }
        if length == 0 {
            let message = "the archive is empty";
            return Err(
                PlatformError::new(ErrorKind::Invalid, message).with_hint("write load < ARCHIVE")
            );
        }
        Ok(vec![image(&format!("r.io/bytes:{length}-{sum}"))])
    }

    async fn remove_image(&self, _: &ImageReference) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn remove(&self, name: &AppName, force: bool) -> Result<(), PlatformError> {
        known(name)?;
        if force || name.as_str() != "web" {
            return Ok(());
        }
        Err(PlatformError::new(ErrorKind::Conflict, "web runs")
            .with_hint("stop web first, or write rm -f web"))
    }

    async fn stop(&self, name: &AppName, _: Option<Duration>) -> Result<(), PlatformError> {
        known(name)
    }

    async fn start(&self, name: &AppName) -> Result<(), PlatformError> {
        known(name)
    }

    async fn services(&self) -> Result<Vec<ServiceView>, PlatformError> {
        Ok(rules::services())
    }

    async fn service(&self, service: &str) -> Result<Value, PlatformError> {
        rules::service(service)
    }

    async fn remove_service(&self, id: &str) -> Result<(), PlatformError> {
        rules::service(id).map(drop)
    }

    async fn traffic_rules(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<TrafficRuleView>, PlatformError> {
        rules::traffic(application)
    }

    async fn dns_rules(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<DnsRuleView>, PlatformError> {
        rules::dns(application)
    }

    async fn rule(&self, place: &RulePlace) -> Result<Value, PlatformError> {
        rules::rule(place)
    }

    async fn replace_rule(&self, place: &RulePlace, json: &[u8]) -> Result<Value, PlatformError> {
        rules::replace(place, json)
    }

    async fn switch_rule(&self, place: &RulePlace, _: bool) -> Result<(), PlatformError> {
        rules::rule(place).map(drop)
    }

    async fn install_package(
        &self,
        mut input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> Result<PackageView, PlatformError> {
        progress.say("checking the package");
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).await.unwrap();
        if bytes.starts_with(b"PK") {
            return Ok(packages::good());
        }
        Err(PlatformError::new(
            ErrorKind::Invalid,
            "package: this is no ZIP",
        ))
    }

    async fn packages(&self) -> Result<Vec<PackageView>, PlatformError> {
        Ok(packages::list())
    }

    async fn package(&self, package: &str) -> Result<PackageDetail, PlatformError> {
        packages::detail(package)
    }

    async fn enable_package(&self, package: &str, _: bool) -> Result<(), PlatformError> {
        packages::known(package)
    }

    async fn remove_package(&self, package: &str) -> Result<(), PlatformError> {
        packages::known(package)
    }

    async fn signers(&self) -> Result<Vec<SignerView>, PlatformError> {
        Ok(vec![packages::signer("works")])
    }

    async fn trust_signer(
        &self,
        name: &str,
        _: impl AsyncRead + Send + Unpin,
    ) -> Result<SignerView, PlatformError> {
        Ok(packages::signer(name))
    }

    async fn distrust_signer(&self, _: &str) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn image_keys(&self) -> Result<Vec<ImageKeyView>, PlatformError> {
        Ok(vec![image_key("team")])
    }

    async fn trust_image_key(
        &self,
        key: &AddKeyArgs,
        _: impl AsyncRead + Send + Unpin,
    ) -> Result<ImageKeyView, PlatformError> {
        Ok(image_key(&key.name))
    }

    async fn distrust_image_key(&self, _: &str) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn certify_operator(
        &self,
        key: &IssueArgs,
        _: impl AsyncRead + Send + Unpin,
    ) -> Result<String, PlatformError> {
        let name = key.name.as_deref().unwrap_or("jo@desk");
        Ok(format!("ssh-ed25519-cert-v01@openssh.com AAAA {name}"))
    }

    async fn known_hosts_line(&self, addresses: &[IpAddr]) -> Result<String, PlatformError> {
        let names = addresses.iter().map(|address| format!(",{address}"));
        let names: String = names.collect();
        Ok(format!(
            "@cert-authority edge{names} ecdsa-sha2-nistp256 AAAA"
        ))
    }

    async fn image_policy(&self) -> Result<Value, PlatformError> {
        Ok(serde_json::json!({"default": "deny", "local": "deny", "rules": []}))
    }

    async fn set_image_policy(
        &self,
        _: impl AsyncRead + Send + Unpin,
    ) -> Result<Value, PlatformError> {
        self.image_policy().await
    }

    async fn stats(&self, names: &[AppName]) -> Result<Vec<StatsView>, PlatformError> {
        names.iter().try_for_each(known)?;
        Ok(vec![StatsView {
            name: "web".parse().unwrap(),
            cpu: Some(MilliCpus(125)),
            cpu_limit: MilliCpus(500),
            cpu_us: 61_000_000,
            memory: edged_model::Bytes(3 << 20),
            memory_limit: edged_model::Bytes(64 << 20),
            pids: 4,
            pids_limit: 256,
        }])
    }

    async fn commission(
        &self,
        site: Option<SiteName>,
        keys: &str,
    ) -> Result<CommissionView, PlatformError> {
        Ok(CommissionView {
            site: site.unwrap_or_else(|| "edge".parse().unwrap()),
            operators: keys
                .lines()
                .map(|line| OperatorView {
                    name: line.rsplit(' ').next().unwrap_or_default().to_owned(),
                    fingerprint: "SHA256:Zm9v".to_owned(),
                })
                .collect(),
            recovery_key: Some("cbdefghi-jklnrtuv".to_owned()),
        })
    }

    async fn commissioned(&self) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn access(&self, lifetime: u64) -> Result<AccessView, PlatformError> {
        Ok(AccessView {
            token: "head.body.signature".to_owned(),
            lifetime,
            ca: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            mqtt: AccountView {
                user: "admin".to_owned(),
                password: "secret".to_owned(),
            },
            app_subnet: "10.80.0.0/16".to_owned(),
        })
    }

    async fn trust_status(&self) -> Result<Vec<Finding>, PlatformError> {
        Ok(vec![
            Finding::new("identity", FindingState::Off, "software keys").todo("fit a TPM"),
            Finding::new("boot log", FindingState::Failed, "it explains nothing"),
        ])
    }

    async fn update_status(&self) -> Result<UpdateView, PlatformError> {
        Ok(update("trial 2 of 3"))
    }

    async fn install_update(
        &self,
        source: BundleSource,
        _: bool,
        mut input: impl AsyncRead + Send + Unpin,
        _: Progress,
    ) -> Result<UpdateView, PlatformError> {
        if source == BundleSource::Input {
            tokio::io::copy(&mut input, &mut tokio::io::sink())
                .await
                .unwrap();
        }
        Ok(update("written"))
    }

    async fn confirm_update(&self) -> Result<UpdateView, PlatformError> {
        Ok(update("settling"))
    }

    async fn roll_back_update(&self) -> Result<UpdateView, PlatformError> {
        Err(PlatformError::new(
            ErrorKind::Conflict,
            "nothing is on trial, and what was confirmed is not taken back",
        )
        .with_hint("install a release with a higher number"))
    }

    async fn identity(&self) -> Result<Value, PlatformError> {
        Ok(serde_json::json!({ "key": "AAAA" }))
    }

    async fn activate(&self, credential: &str) -> Result<Value, PlatformError> {
        Ok(serde_json::json!({ "secret": credential }))
    }

    async fn attest(&self, nonce: &[u8], plain: bool) -> Result<Value, PlatformError> {
        Ok(serde_json::json!({ "nonce": nonce, "plain": plain }))
    }

    async fn keys(&self) -> Result<Vec<KeyView>, PlatformError> {
        Ok(vec![KeyView {
            name: "tls".to_owned(),
            place: "software".to_owned(),
            fingerprint: "00ff".to_owned(),
        }])
    }

    async fn registers(&self) -> Result<RegistersView, PlatformError> {
        Ok(RegistersView {
            sha256: [(0, "00ff".to_owned()), (11, "aa11".to_owned())].into(),
        })
    }

    async fn event_log(&self) -> Result<Vec<u8>, PlatformError> {
        let message = "this box has no log of measurements";
        Err(PlatformError::new(ErrorKind::NotFound, message))
    }

    async fn end(&self, _: End) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn status(&self) -> Result<StatusView, PlatformError> {
        let part = |name: &str, ok, detail: &str| PartView {
            name: name.to_owned(),
            ok,
            detail: detail.to_owned(),
        };
        Ok(StatusView {
            version: "1.2.3".to_owned(),
            zone: "mec.example".to_owned(),
            uptime: 3_700,
            build: None,
            commissioned: true,
            applications: Applications { total: 2, ready: 1 },
            parts: vec![
                part("worker", true, "cgroup v2"),
                part("broker", false, "does not answer"),
            ],
        })
    }
}

/// An update, as far as it has come.
fn update(state: &str) -> UpdateView {
    let release = |release| ReleaseView {
        release,
        version: "0.1.0".to_owned(),
    };
    UpdateView {
        running: Some(release(5)),
        state: state.to_owned(),
        update: Some(release(5)),
        last: None,
        findings: vec![
            Finding::new(
                "software",
                FindingState::Warning,
                "release 5 (0.1.0) runs, on trial",
            ),
            Finding::new(
                "update",
                FindingState::Warning,
                format!("release 5 (0.1.0): {state}"),
            )
            .todo("nothing: it ends by itself; `update rollback` gives it up"),
        ],
    }
}
