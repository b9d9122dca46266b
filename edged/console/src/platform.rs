//! What a box can do for its operator.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use edged_model::{AppName, AppSpec, ExitCode, ImageReference, SiteName};
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use crate::{
    AccessView, AddKeyArgs, BundleSource, CommissionView, DnsRuleView, Finding, ImageKeyView,
    ImageView, InstanceDetail, InstanceView, IssueArgs, KeyView, LogLine, PackageDetail,
    PackageView, PlatformError, Progress, RegistersView, RulePlace, ServiceView, SignerView,
    StatsView, StatusView, Stream, TrafficRuleView, UpdateView,
};

/// Log lines a platform should buffer for one reader: a screen or two, after which the source waits.
pub const LOG_LINES: usize = 64;
/// Events a platform should buffer for one exec: with chunks of 16 KiB, half a mebibyte at most.
pub const EXEC_EVENTS: usize = 32;

/// Which log lines to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Whether to go on with new lines.
    pub follow: bool,
    /// Only this many of the last kept lines; all where absent.
    pub tail: Option<u32>,
}

/// What a running exec tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// It wrote.
    Output {
        /// Where.
        stream: Stream,
        /// What.
        bytes: Bytes,
    },
    /// It has ended and all its output was sent; nothing follows.
    Ended(ExitCode),
}

/// What a box can do; the daemon implements it, the tests have a small one of their own.
///
/// Any returned future may be dropped at any await, and any returned receiver at any time: the client has gone. What
/// was accepted by then goes on (an application that was asked for stays asked for); what only serves the client
/// (a followed log, an exec, half an archive) ends.
pub trait Platform: Send + Sync + 'static {
    /// Makes and starts an application. With `wait`, returns when it is ready, has ended, or the time is over;
    /// without, when it is accepted and durable. A missing image is pulled.
    fn run(
        &self,
        spec: AppSpec,
        wait: Option<Duration>,
        progress: Progress,
    ) -> impl Future<Output = Result<InstanceView, PlatformError>> + Send;

    /// Every application that is wanted, by name.
    fn list(&self) -> impl Future<Output = Result<Vec<InstanceView>, PlatformError>> + Send;

    /// Everything about one application.
    fn inspect(
        &self,
        name: &AppName,
    ) -> impl Future<Output = Result<InstanceDetail, PlatformError>> + Send;

    /// Log lines, oldest first; the channel closes after the last one (never, when following a living application).
    fn logs(
        &self,
        name: &AppName,
        query: LogQuery,
    ) -> impl Future<Output = Result<mpsc::Receiver<LogLine>, PlatformError>> + Send;

    /// Runs a command in an application's container. `input` closes at the end of the input; without it the command
    /// has no input. Dropping the receiver ends the command.
    fn exec(
        &self,
        name: &AppName,
        command: Vec<String>,
        input: Option<mpsc::Receiver<Bytes>>,
    ) -> impl Future<Output = Result<mpsc::Receiver<ExecEvent>, PlatformError>> + Send;

    /// Images in the content store.
    fn images(&self) -> impl Future<Output = Result<Vec<ImageView>, PlatformError>> + Send;

    /// Fetches an image from its registry, or only checks that it is current.
    fn pull(
        &self,
        image: ImageReference,
        progress: Progress,
    ) -> impl Future<Output = Result<ImageView, PlatformError>> + Send;

    /// Takes the images of an archive (OCI layout or `docker save`, plain or compressed) until the end of `input`.
    fn load(
        &self,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> impl Future<Output = Result<Vec<ImageView>, PlatformError>> + Send;

    /// Forgets an image that no application uses.
    fn remove_image(
        &self,
        image: &ImageReference,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Removes an application; returns when nothing of it is left. A running one is refused unless forced.
    fn remove(
        &self,
        name: &AppName,
        force: bool,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Stops an application and leaves it so; returns when its container has ended. `grace` replaces the
    /// application's own time until SIGKILL.
    fn stop(
        &self,
        name: &AppName,
        grace: Option<Duration>,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Starts a stopped or ended application; returns when that is accepted and durable.
    fn start(&self, name: &AppName) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// On-boards the package that `input` holds until its end; returns when it is on-boarded or refused, and then
    /// nothing of it is left.
    fn install_package(
        &self,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> impl Future<Output = Result<PackageView, PlatformError>> + Send;

    /// Every package, oldest first.
    fn packages(&self) -> impl Future<Output = Result<Vec<PackageView>, PlatformError>> + Send;

    /// Everything about one package, by its id or its descriptor's.
    fn package(
        &self,
        package: &str,
    ) -> impl Future<Output = Result<PackageDetail, PlatformError>> + Send;

    /// Whether instances may be made of a package from now on; durable when it returns.
    fn enable_package(
        &self,
        package: &str,
        enabled: bool,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Removes a disabled package that is not in use, its files and its image.
    fn remove_package(
        &self,
        package: &str,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Whose packages are taken, by name.
    fn signers(&self) -> impl Future<Output = Result<Vec<SignerView>, PlatformError>> + Send;

    /// Takes the packages of a signer; `input` holds its certificate in PEM.
    fn trust_signer(
        &self,
        name: &str,
        input: impl AsyncRead + Send + Unpin,
    ) -> impl Future<Output = Result<SignerView, PlatformError>> + Send;

    /// Takes no more packages of a signer.
    fn distrust_signer(&self, name: &str)
    -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// The keys whose images are taken, by name.
    fn image_keys(&self) -> impl Future<Output = Result<Vec<ImageKeyView>, PlatformError>> + Send;

    /// Takes the images that a key signs; `input` holds the public key in PEM. Durable when it returns.
    fn trust_image_key(
        &self,
        key: &AddKeyArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> impl Future<Output = Result<ImageKeyView, PlatformError>> + Send;

    /// Takes no more images of a key; durable when it returns.
    fn distrust_image_key(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Makes the owner of the SSH key on `input` an operator for a while; its certificate, one line.
    fn certify_operator(
        &self,
        key: &IssueArgs,
        input: impl AsyncRead + Send + Unpin,
    ) -> impl Future<Output = Result<String, PlatformError>> + Send;

    /// The line of `known_hosts` by which ssh believes the box at these addresses, whatever its host key is.
    fn known_hosts_line(
        &self,
        addresses: &[IpAddr],
    ) -> impl Future<Output = Result<String, PlatformError>> + Send;

    /// Whose signature images need, as JSON.
    fn image_policy(&self) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Replaces that by the JSON of `input`; durable when it returns.
    fn set_image_policy(
        &self,
        input: impl AsyncRead + Send + Unpin,
    ) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Every service that is offered: registered ones, oldest first, then those that applications were deployed with.
    fn services(&self) -> impl Future<Output = Result<Vec<ServiceView>, PlatformError>> + Send;

    /// One service as MEC 011 has it (`ServiceInfo`), by its id, or by its name where only one has that.
    fn service(&self, service: &str) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Takes a service out of the registry; durable when it returns.
    fn remove_service(&self, id: &str) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// The traffic rules of one application (a name or an `appInstanceId`) or of all, of each in the order in which
    /// packets meet them.
    fn traffic_rules(
        &self,
        application: Option<&str>,
    ) -> impl Future<Output = Result<Vec<TrafficRuleView>, PlatformError>> + Send;

    /// The DNS rules of one application (a name or an `appInstanceId`) or of all.
    fn dns_rules(
        &self,
        application: Option<&str>,
    ) -> impl Future<Output = Result<Vec<DnsRuleView>, PlatformError>> + Send;

    /// One rule as MEC 011 has it (`TrafficRule` or `DnsRule`).
    fn rule(&self, place: &RulePlace) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Replaces a rule by one in the JSON of MEC 011; returns it when it is durable and, where it is `ACTIVE`, in force.
    /// What cannot be in force is refused, and nothing changes.
    fn replace_rule(
        &self,
        place: &RulePlace,
        json: &[u8],
    ) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Makes a rule `ACTIVE` or `INACTIVE`; returns when that is durable and so in the kernel or the resolver.
    fn switch_rule(
        &self,
        place: &RulePlace,
        active: bool,
    ) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// What the named applications use, in that order; all running ones where `names` is empty.
    fn stats(
        &self,
        names: &[AppName],
    ) -> impl Future<Output = Result<Vec<StatsView>, PlatformError>> + Send;

    /// How the box is.
    fn status(&self) -> impl Future<Output = Result<StatusView, PlatformError>> + Send;

    /// Makes a fresh box its operators', whose public keys `keys` has, one a line. In force and durable when it
    /// returns, but for what [`Platform::commissioned`] does.
    fn commission(
        &self,
        site: Option<SiteName>,
        keys: &str,
    ) -> impl Future<Output = Result<CommissionView, PlatformError>> + Send;

    /// The answer to [`Platform::commission`] was written: its secret is forgotten, and a new site takes effect.
    fn commissioned(&self) -> impl Future<Output = Result<(), PlatformError>> + Send;

    /// Makes a token that lives for some seconds, and shows what else the operator's tools need.
    fn access(
        &self,
        lifetime: u64,
    ) -> impl Future<Output = Result<AccessView, PlatformError>> + Send;

    /// Which promises about the box itself hold.
    fn trust_status(&self) -> impl Future<Output = Result<Vec<Finding>, PlatformError>> + Send;

    /// Who the box is, as its TPM says it (`Identity` of edged-evidence).
    fn identity(&self) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// Opens a credential that was made for the box's TPM (JSON), and shows what was in it.
    fn activate(
        &self,
        credential: &str,
    ) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// What the box booted, signed by its TPM for this nonce (`Evidence` of edged-evidence).
    fn attest(
        &self,
        nonce: &[u8],
        plain: bool,
    ) -> impl Future<Output = Result<Value, PlatformError>> + Send;

    /// The box's own keys.
    fn keys(&self) -> impl Future<Output = Result<Vec<KeyView>, PlatformError>> + Send;

    /// The TPM's registers as they are now.
    fn registers(&self) -> impl Future<Output = Result<RegistersView, PlatformError>> + Send;

    /// The firmware's log of this boot.
    fn event_log(&self) -> impl Future<Output = Result<Vec<u8>, PlatformError>> + Send;

    /// Which release runs, what is under way, and how the last update ended.
    fn update_status(&self) -> impl Future<Output = Result<UpdateView, PlatformError>> + Send;

    /// Takes a signed bundle; returns when it is written beside what runs, from when on it is tried by itself. `input`
    /// is read where the source says so.
    fn install_update(
        &self,
        source: BundleSource,
        no_way_back: bool,
        input: impl AsyncRead + Send + Unpin,
        progress: Progress,
    ) -> impl Future<Output = Result<UpdateView, PlatformError>> + Send;

    /// Confirms the release that is on trial; refused where the box does not do as well as before.
    fn confirm_update(&self) -> impl Future<Output = Result<UpdateView, PlatformError>> + Send;

    /// Gives up the update that is under way; refused once it was confirmed.
    fn roll_back_update(&self) -> impl Future<Output = Result<UpdateView, PlatformError>> + Send;

    /// Makes the box start anew or switch itself off; returns when that has begun.
    fn end(&self, end: End) -> impl Future<Output = Result<(), PlatformError>> + Send;
}

/// How a box ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It starts anew.
    Reboot,
    /// It stays off.
    Poweroff,
}
