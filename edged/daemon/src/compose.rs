//! From an instance and its image to the container's specification: pure.

use std::collections::BTreeMap;

use edged_config::{Addressing, Config};
use edged_image::Image;
use edged_model::AppInstance;
use edged_protocol::worker::ContainerSpec;
use edged_store::Credentials;

/// Where secrets are, inside.
const SECRETS: &str = "/run/secrets";
/// File of the broker password.
const MQTT_PASSWORD: &str = "mqtt-password";
/// File of the OAuth 2.0 client secret.
const CLIENT_SECRET: &str = "mec-client-secret";
/// The search path of programs where an image names none (as docker has it).
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container of an instance; `None` when neither image nor specification names a program.
pub fn container(
    instance: &AppInstance,
    image: &Image,
    credentials: &Credentials,
    config: &Config,
    addressing: &Addressing,
) -> Option<ContainerSpec> {
    let command = command(instance, image);
    if command.is_empty() {
        return None;
    }
    let spec = &instance.spec;
    let zone = config.node.zone();
    let working_dir = if image.process.working_dir.is_empty() {
        "/"
    } else {
        &image.process.working_dir
    };
    Some(ContainerSpec {
        instance: instance.id.clone(),
        hostname: spec.name.to_string(),
        layers: image
            .layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect(),
        command,
        env: environment(instance, image, config, addressing),
        working_dir: working_dir.to_owned(),
        user: image.process.user.clone().unwrap_or_default(),
        limits: spec.limits.clone(),
        writable: spec.writable,
        first_uid: instance.lease.first_uid(),
        resolv_conf: edged_net::resolv_conf(&zone, addressing),
        hosts: edged_net::hosts(&spec.name, &zone, instance.lease, addressing),
        secrets: BTreeMap::from([
            (MQTT_PASSWORD.to_owned(), credentials.mqtt_password.clone()),
            (CLIENT_SECRET.to_owned(), credentials.client_secret.clone()),
        ]),
    })
}

/// An entrypoint of the specification replaces the image's and drops its command; arguments replace the command.
fn command(instance: &AppInstance, image: &Image) -> Vec<String> {
    let spec = &instance.spec;
    let (mut command, default) = match &spec.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), &[][..]),
        None => (
            image.process.entrypoint.clone(),
            image.process.cmd.as_slice(),
        ),
    };
    command.extend_from_slice(if spec.args.is_empty() {
        default
    } else {
        &spec.args
    });
    command
}

/// The image's environment, then the specification's, then the platform's, the last of a name winning.
fn environment(
    instance: &AppInstance,
    image: &Image,
    config: &Config,
    addressing: &Addressing,
) -> Vec<String> {
    let gateway = addressing.gateway4;
    let mec_host = format!(
        "http://{gateway}:{}{}",
        config.http.app_port, config.http.prefix
    );
    let ours = [
        ("MEC_HOST", mec_host.clone()),
        ("MEC_APP_INSTANCE_ID", instance.id.to_string()),
        ("MEC_TOKEN_URL", format!("{mec_host}/token")),
        ("MEC_CLIENT_ID", instance.id.to_string()),
        (
            "MEC_CLIENT_SECRET_FILE",
            format!("{SECRETS}/{CLIENT_SECRET}"),
        ),
        (
            "MQTT_URL",
            format!("mqtt://{gateway}:{}", config.mqtt.app_port),
        ),
        ("MQTT_USERNAME", instance.id.to_string()),
        ("MQTT_PASSWORD_FILE", format!("{SECRETS}/{MQTT_PASSWORD}")),
        ("MEC_ZONE", config.node.zone()),
    ];
    let mut variables: BTreeMap<&str, &str> = BTreeMap::new();
    let image_env = std::iter::once(PATH).chain(image.process.env.iter().map(String::as_str));
    variables.extend(image_env.filter_map(|pair| pair.split_once('=')));
    variables.extend(
        instance
            .spec
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    variables.extend(ours.iter().map(|(name, value)| (*name, value.as_str())));
    variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// The number of a signal's name as images write it; SIGTERM where there is none or it is not known.
pub fn stop_signal(instance: &AppInstance, image_signal: Option<&str>) -> i32 {
    const SIGTERM: i32 = 15;
    let named = |name: &str| {
        let bare = name.strip_prefix("SIG").unwrap_or(name);
        bare.parse().ok().or(match bare {
            "HUP" => Some(1),
            "INT" => Some(2),
            "QUIT" => Some(3),
            "KILL" => Some(9),
            "USR1" => Some(10),
            "USR2" => Some(12),
            "TERM" => Some(SIGTERM),
            "WINCH" => Some(28),
            "RTMIN+3" => Some(37),
            _ => None,
        })
    };
    let valid = |signal: &i32| (1..=64).contains(signal);
    instance
        .spec
        .stop
        .signal
        .filter(valid)
        .or_else(|| image_signal.and_then(named).filter(valid))
        .unwrap_or(SIGTERM)
}
