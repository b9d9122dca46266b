//! `run`: from options to an application's specification.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use edged_model::{
    AppName, AppSpec, Bytes, EnvName, ImageReference, Limits, MilliCpus, Mqtt, Network, Probes,
    Protocol, PublishedPort, RestartPolicy, ServiceName, ServiceSpec, StopPolicy, TopicFilter,
};

use crate::health::{HttpProbe, probe};
use crate::signal::Signal;
use crate::words;

/// The longest name of an application: a DNS label.
const NAME_MAX: usize = 63;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
#[allow(
    clippy::struct_excessive_bools,
    clippy::doc_markdown,
    reason = "each is an option of its own on the command line, and its text is read there"
)]
pub struct RunArgs {
    /// Its name [default: the last part of the image's path].
    #[arg(long)]
    name: Option<AppName>,
    /// A variable of its environment; may be given again.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = env_pair)]
    env: Vec<(EnvName, String)>,
    /// Memory it may use, as 64m or 1g [default: 128m].
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Processors it may use, as 0.5 or 2 [default: 1].
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<MilliCpus>,
    /// Processes and threads it may have [default: 256].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Option<u32>,
    /// A port of the box that leads to one of its own, as 8080:80 or 5353:53/udp; may be given again.
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    publish: Vec<PublishedPort>,
    /// An application it may open connections to; may be given again.
    #[arg(long, value_name = "NAME")]
    reach: Vec<AppName>,
    /// Let it out of the box through the uplink.
    #[arg(long)]
    egress: bool,
    /// An MQTT topic filter it may subscribe to, as sensors/#; may be given again.
    #[arg(long, value_name = "FILTER")]
    mqtt_subscribe: Vec<TopicFilter>,
    /// A service it offers while it is ready, as web:80 or names:53/udp; may be given again.
    #[arg(long, value_name = "NAME:PORT", value_parser = service)]
    service: Vec<ServiceSpec>,
    /// Let it write to its root file system; kept in memory, gone with the container.
    #[arg(long)]
    writable: bool,
    /// A program instead of the image's entrypoint, quoted where it has arguments.
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    entrypoint: Option<CommandLine>,
    /// It is ready while GET answers 2xx or 3xx, as 8080/healthz.
    #[arg(long, value_name = "PORT/PATH", group = "readiness")]
    health_http: Option<HttpProbe>,
    /// It is ready while this port takes connections.
    #[arg(long, value_name = "PORT", group = "readiness", value_parser = clap::value_parser!(u16).range(1..))]
    health_tcp: Option<u16>,
    /// It is ready while this command ends with 0, quoted where it has arguments.
    #[arg(long, value_name = "COMMAND", group = "readiness", value_parser = command)]
    health_cmd: Option<CommandLine>,
    /// It is ready only once it said so itself (POST .../confirm_ready), each time it starts.
    #[arg(long)]
    confirm_ready: bool,
    /// It is started again when GET fails, as 8080/live.
    #[arg(long, value_name = "PORT/PATH", group = "liveness")]
    live_http: Option<HttpProbe>,
    /// It is started again when this port takes no connections.
    #[arg(long, value_name = "PORT", group = "liveness", value_parser = clap::value_parser!(u16).range(1..))]
    live_tcp: Option<u16>,
    /// It is started again when this command fails, quoted where it has arguments.
    #[arg(long, value_name = "COMMAND", group = "liveness", value_parser = command)]
    live_cmd: Option<CommandLine>,
    /// What happens when it ends by itself.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Restart::Always)]
    restart: Restart,
    /// An application that must be ready first; may be given again.
    #[arg(long, value_name = "NAME")]
    depends_on: Vec<AppName>,
    /// The signal that asks it to stop, as SIGTERM or 15 [default: the image's].
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,
    /// Seconds between that signal and SIGKILL.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=3600))]
    stop_timeout: u32,
    /// Seconds to wait until it is ready.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        conflicts_with = "detach"
    )]
    wait: u32,
    /// Do not wait until it is ready.
    #[arg(short, long)]
    detach: bool,
    /// [REGISTRY/]REPOSITORY[:TAG][@sha256:…]
    image: ImageReference,
    /// Arguments instead of the image's own.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// What happens when the container ends by itself, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Restart {
    Always,
    OnFailure,
    Never,
}

/// A program and its arguments, given as one quoted value.
#[derive(Debug, Clone)]
struct CommandLine(Vec<String>);

impl RunArgs {
    /// How long to wait for it to be ready, where that is wanted.
    pub fn wait(&self) -> Option<Duration> {
        (!self.detach && self.wait > 0).then(|| Duration::from_secs(u64::from(self.wait)))
    }

    /// The specification these options ask for, or why there is none.
    pub fn into_spec(self) -> Result<AppSpec, String> {
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.image)?,
        };
        let defaults = Limits::default();
        let readiness = probe(self.health_http, self.health_tcp, words_of(self.health_cmd));
        let liveness = probe(self.live_http, self.live_tcp, words_of(self.live_cmd));
        Ok(AppSpec {
            name,
            image: self.image,
            entrypoint: words_of(self.entrypoint),
            args: self.args,
            env: self.env.into_iter().collect::<BTreeMap<_, _>>(),
            limits: Limits {
                memory: self.memory.unwrap_or(defaults.memory),
                cpus: self.cpus.unwrap_or(defaults.cpus),
                pids: self.pids.unwrap_or(defaults.pids),
            },
            writable: self.writable,
            network: Network {
                publish: self.publish,
                reach: self.reach,
                egress: self.egress,
            },
            mqtt: Mqtt {
                subscribe: self.mqtt_subscribe,
            },
            services: self.service,
            probes: Probes {
                liveness,
                readiness,
                confirm: self.confirm_ready,
            },
            restart: match self.restart {
                Restart::Always => RestartPolicy::Always,
                Restart::OnFailure => RestartPolicy::OnFailure,
                Restart::Never => RestartPolicy::Never,
            },
            stop: StopPolicy {
                signal: self.stop_signal.map(Signal::number),
                // At most an hour, so the product fits.
                grace_ms: self.stop_timeout.saturating_mul(1000),
            },
            depends_on: self.depends_on,
        })
    }
}

fn words_of(line: Option<CommandLine>) -> Option<Vec<String>> {
    line.map(|line| line.0)
}

fn name_of(image: &ImageReference) -> Result<AppName, String> {
    let repository = image.repository();
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let label: String = last
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() {
                char
            } else {
                '-'
            }
        })
        .take(NAME_MAX)
        .collect();
    label
        .trim_matches('-')
        .parse()
        .map_err(|_| format!("image {image} gives no name for its application; write --name NAME"))
}

fn env_pair(text: &str) -> Result<(EnvName, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} has no value; write NAME=VALUE"))?;
    if value.contains('\0') {
        return Err(format!(
            "the value of {name} contains a NUL byte, which no variable can hold"
        ));
    }
    let name = name.parse::<EnvName>().map_err(|error| error.to_string())?;
    Ok((name, value.to_owned()))
}

fn service(text: &str) -> Result<ServiceSpec, String> {
    let error =
        || format!("{text:?} is not a service; write NAME:PORT or NAME:PORT/udp, port 1 to 65535");
    let (name, rest) = text.split_once(':').ok_or_else(error)?;
    let (port, protocol) = match rest.split_once('/') {
        None => (rest, Protocol::Tcp),
        Some((port, "tcp")) => (port, Protocol::Tcp),
        Some((port, "udp")) => (port, Protocol::Udp),
        Some(_) => return Err(error()),
    };
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(error)?;
    let name = name
        .parse::<ServiceName>()
        .map_err(|error| error.to_string())?;
    Ok(ServiceSpec {
        name,
        port,
        protocol,
    })
}

fn command(text: &str) -> Result<CommandLine, String> {
    match words::split(text) {
        Ok(words) if words.is_empty() => Err("the command is empty; write a program".to_owned()),
        Ok(words) => Ok(CommandLine(words)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Command, Verb};

    fn parse(line: &str) -> Result<AppSpec, String> {
        let words = words::split(line).unwrap();
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        match command.verb {
            Verb::Run(run) => run.into_spec(),
            other => panic!("{other:?} is not run"),
        }
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path_as_a_label() {
        for (image, name) in [
            ("nginx", "nginx"),
            ("r.io/team/sensor_page.v2:1", "sensor-page-v2"),
            ("r.io/a_", "a"),
        ] {
            assert_eq!(parse(&format!("run {image}")).unwrap().name.as_str(), name);
        }
        assert_eq!(parse("run --name web nginx").unwrap().name.as_str(), "web");
    }

    #[test]
    fn without_options_the_model_s_defaults_hold() {
        let spec = parse("run nginx").unwrap();
        assert_eq!(spec.limits, Limits::default());
        assert_eq!(spec.stop, StopPolicy::default());
        assert_eq!(spec.restart, RestartPolicy::default());
        assert_eq!(spec.network, Network::default());
        assert_eq!(spec.probes, Probes::default());
        assert_eq!((spec.entrypoint, spec.args), (None, vec![]));
    }

    #[test]
    fn every_option_reaches_the_specification() {
        let spec = parse(
            "run --name a -e X=1 --env 'Y=a=b c' -m 64m --cpus 0.5 --pids 9 -p 8080:80 \
             --publish 53:53/udp --reach db --egress --mqtt-subscribe sensors/# --service web:80 \
             --service dns:53/udp --writable --entrypoint '/bin/x -y \"z 1\"' --health-http 80/ok \
             --live-cmd 'test -e /x' --confirm-ready --restart on-failure --depends-on db --stop-signal INT \
             --stop-timeout 3 --detach img:1 -v --name b",
        )
        .unwrap();
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "name": "a", "image": "docker.io/library/img:1",
                "entrypoint": ["/bin/x", "-y", "z 1"], "args": ["-v", "--name", "b"],
                "env": {"X": "1", "Y": "a=b c"},
                "limits": {"memory": 64 << 20, "cpus": 500, "pids": 9},
                "writable": true,
                "network": {
                    "publish": [
                        {"host": 8080, "container": 80, "protocol": "tcp"},
                        {"host": 53, "container": 53, "protocol": "udp"},
                    ],
                    "reach": ["db"], "egress": true,
                },
                "mqtt": {"subscribe": ["sensors/#"]},
                "services": [
                    {"name": "web", "port": 80, "protocol": "tcp"},
                    {"name": "dns", "port": 53, "protocol": "udp"},
                ],
                "probes": {
                    "liveness": {"kind": {"exec": {"command": ["test", "-e", "/x"]}},
                        "intervalMs": 2000, "timeoutMs": 1000, "failures": 3},
                    "confirm": true,
                    "readiness": {"kind": {"http": {"port": 80, "path": "/ok"}},
                        "intervalMs": 2000, "timeoutMs": 1000, "failures": 3},
                },
                "restart": "on-failure",
                "stop": {"signal": 2, "graceMs": 3000},
                "dependsOn": ["db"],
            })
        );
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_to_write() {
        for (line, advice) in [
            ("run -e X nginx", "write NAME=VALUE"),
            ("run -e MEC_X=1 nginx", "set by the platform"),
            ("run -m lots nginx", "as in 64m"),
            ("run --cpus 0 nginx", "as in 0.5"),
            ("run -p 80 nginx", "write HOST:CONTAINER"),
            ("run --service web nginx", "write NAME:PORT"),
            ("run --mqtt-subscribe a/#/b nginx", "# last"),
            ("run --health-http x nginx", "write PORT/PATH"),
            (
                "run --health-http 80/ --health-tcp 80 nginx",
                "cannot be used with",
            ),
            ("run --stop-signal FOO nginx", "SIGTERM"),
            ("run --entrypoint \"'x\" nginx", "quote is not closed"),
            ("run NGINX", "write [REGISTRY/]REPOSITORY"),
            ("run", "IMAGE"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(advice), "{line}: {error}");
        }
    }
}
