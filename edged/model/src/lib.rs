//! What an application is, what is wanted of it, and what to do next. Pure: no I/O, no clock, no randomness but ids.
//!
//! [`AppSpec`] is what somebody asked for, [`AppInstance`] is that wish with an identity and a pinned image,
//! [`Observed`] is what the world shows of it, and [`plan`] names the next [`Action`]s. Everything else in the
//! workspace either parses into these types or executes what `plan` says.

mod app;
mod digest;
mod ids;
mod lease;
mod nonce;
mod observed;
mod plan;
mod reference;
mod rules;
mod state;
mod value;

pub use app::{
    AppInstance, AppSpec, Goal, Limits, Mqtt, Network, PinnedImage, Probe, ProbeKind, Probes,
    RestartPolicy, ServiceSpec, StopPolicy,
};
pub use digest::{Digest, ParseDigestError};
pub use ids::{AppName, InstanceId, ParseIdError, ServiceName, SiteName};
pub use lease::{Lease, LeaseNumber};
pub use nonce::{Nonce, ParseNonceError};
pub use observed::{ContainerState, ExitCode, Observed};
pub use plan::{Action, plan};
pub use reference::{
    ImageReference, ImageTag, PACKAGE_REGISTRY, ParseReferenceError, canonical_registry,
};
pub use rules::{
    AddressRange, Allocation, AllocationId, BitRate, Destination, Direction, DnsRule, DomainName,
    Dscp, FilterType, IpProtocol, MacAddress, ParseRuleError, PortRange, RuleId, Rules,
    SessionFilter, TrafficAction, TrafficFilter, TrafficRule, TunnelEnds, TunnelKind,
};
pub use state::InstanceState;
pub use value::{Bytes, EnvName, MilliCpus, ParseValueError, Protocol, PublishedPort, TopicFilter};
