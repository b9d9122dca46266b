//! The bus: `sensors/#`, as the account that the platform made for this instance.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

use crate::readings::Readings;
use crate::retry::Pause;

/// What is listened to unless `TOPIC` says otherwise.
const TOPIC: &str = "sensors/#";
/// A broker that is silent this long is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Requests that may wait for the connection: one subscription.
const REQUESTS: usize = 4;

/// Where the broker is and who we are there.
pub struct Account {
    host: String,
    port: u16,
    username: String,
    password_file: PathBuf,
    topic: String,
}

impl Account {
    /// From `MQTT_URL` (`mqtt://HOST:PORT`), `MQTT_USERNAME` and `MQTT_PASSWORD_FILE`; `None` without a URL.
    pub fn from_environment() -> anyhow::Result<Option<Self>> {
        let Ok(url) = env::var("MQTT_URL") else {
            return Ok(None);
        };
        let authority = url
            .strip_prefix("mqtt://")
            .or_else(|| url.strip_prefix("tcp://"))
            .with_context(|| format!("MQTT_URL {url:?} must be mqtt://HOST:PORT"))?
            .trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().with_context(|| url.clone())?),
            None => (authority, 1883),
        };
        Ok(Some(Self {
            host: host.to_owned(),
            port,
            username: env::var("MQTT_USERNAME").context("MQTT_USERNAME")?,
            password_file: env::var("MQTT_PASSWORD_FILE")
                .context("MQTT_PASSWORD_FILE")?
                .into(),
            topic: env::var("TOPIC").unwrap_or_else(|_| TOPIC.to_owned()),
        }))
    }
}

/// Listens for ever.
pub fn listen(account: &Account, readings: &Readings) {
    let mut pause = Pause::new();
    loop {
        // The password is read anew each time: the platform may have changed it.
        match fs::read_to_string(&account.password_file) {
            Ok(password) => session(account, password.trim_end(), readings, &mut pause),
            Err(error) => println!("cannot read {}: {error}", account.password_file.display()),
        }
        readings.set_connected(false);
        pause.wait();
    }
}

/// One connection, until it breaks.
fn session(account: &Account, password: &str, readings: &Readings, pause: &mut Pause) {
    let mut options = MqttOptions::new(&account.username, &account.host, account.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_credentials(&account.username, password);
    let (client, mut connection) = Client::new(options, REQUESTS);
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                if let Err(error) = client.subscribe(&account.topic, QoS::AtLeastOnce) {
                    return println!("cannot subscribe to {}: {error}", account.topic);
                }
            }
            Ok(Event::Incoming(Incoming::SubAck(_))) => {
                println!("listening to {}", account.topic);
                readings.set_connected(true);
                pause.reset();
            }
            Ok(Event::Incoming(Incoming::Publish(message))) => {
                readings.heard(&message.topic, &message.payload);
            }
            Ok(_) => {}
            Err(error) => {
                return println!("broker {}:{}: {error}", account.host, account.port);
            }
        }
    }
}
