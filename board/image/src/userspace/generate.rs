//! Files that follow from the settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{EPOCH, Made};
use serde_json::json;

use super::Settings;
use super::unpack::walk;

/// Mozilla's authorities in Debian's package.
const AUTHORITIES: &str = "ca-certificates/usr/share/ca-certificates/mozilla";
/// Where programs look for all of them in one file.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// edged's user (`files/etc/passwd`).
const EDGED: u32 = 64_900;

/// Writes them all.
pub fn write(tree: &Path, unpacked: &Made, settings: &Settings) -> anyhow::Result<()> {
    let put = |name: &str, text: &str| -> anyhow::Result<()> {
        let path = tree.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put(BUNDLE, &authorities(&unpacked.join(AUTHORITIES))?)?;
    put("etc/edged/edged.toml", &edged(settings)?)?;
    put("etc/edged/broker.toml", &broker(settings)?)?;
    put("etc/edged/broker.env", &broker_listeners(settings))?;
    let mut keys = settings.commission_keys.join("\n");
    keys.push('\n');
    put("etc/edged/commission.keys", &keys)?;
    put("etc/edged/update.pem", &settings.update_key)?;
    if let Some(seconds) = settings.trial {
        put("etc/umec/trial", &format!("{seconds}\n"))?;
    }
    let build = json!({
        "version": settings.version,
        "release": settings.number,
        "board": settings.board,
        "development": settings.development,
        "built": EPOCH,
    });
    put("etc/edged/build.json", &format!("{build:#}\n"))?;
    put(
        "etc/umec/data",
        if settings.without_tpm {
            "plain\n"
        } else {
            "sealed\n"
        },
    )?;
    put("usr/lib/os-release", &os_release(settings))?;
    std::os::unix::fs::symlink("../usr/lib/os-release", tree.join("etc/os-release"))?;
    Ok(())
}

fn authorities(folder: &Path) -> anyhow::Result<String> {
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut |name, path| {
        files.insert(name, path);
    })?;
    let mut bundle = String::new();
    for path in files.values() {
        let text = fs::read_to_string(path)?;
        writeln!(bundle, "{}", text.trim_end())?;
    }
    Ok(bundle)
}

/// As in systemd's os-release(5).
fn os_release(settings: &Settings) -> String {
    let Settings {
        version,
        number,
        board,
        development,
        ..
    } = settings;
    let variant = if *development {
        "DEVELOPMENT"
    } else {
        "production"
    };
    format!(
        "NAME=\"uMEC\"\nID=umec\nID_LIKE=debian\nVERSION_ID={version}\nIMAGE_ID=umec-{board}\nIMAGE_VERSION={version}\n\
         UMEC_RELEASE={number}\nPRETTY_NAME=\"uMEC {version} for {board} ({variant})\"\nVARIANT_ID={}\n",
        variant.to_lowercase()
    )
}

fn node(settings: &Settings) -> toml::Table {
    let mut node = toml::Table::new();
    node.insert("site".to_owned(), settings.site.clone().into());
    node.insert("state".to_owned(), "/var/lib/edged".into());
    node.insert("run".to_owned(), "/run/edged".into());
    // What systemd has delegated to the worker, beside the worker's own process (edged-worker.service).
    let cgroup = "/system.slice/edged-worker.service/applications";
    node.insert("cgroup".to_owned(), cgroup.into());
    node.insert("uid".to_owned(), i64::from(EDGED).into());
    node
}

/// What the image tells edged of itself, and where umec-init and the units meet it.
fn image() -> toml::Table {
    let places = [
        ("build", "/etc/edged/build.json"),
        ("commissioners", "/etc/edged/commission.keys"),
        ("requests", "/run/edged-request"),
        ("event_log", "/run/umec/event-log"),
        ("registers", "/sys/class/tpm/tpm0/pcr-sha256"),
    ];
    let places = places.map(|(name, place)| (name.to_owned(), place.into()));
    toml::Table::from_iter(places)
}

/// The TPM that keeps edged's keys, and whose word opens them: PID 1 has put it there (umec-init).
fn trust(settings: &Settings) -> toml::Value {
    if settings.without_tpm {
        return table(&[]);
    }
    let policy = table(&[
        ("key", "/run/systemd/tpm2-pcr-public-key.pem".into()),
        ("signatures", "/run/systemd/tpm2-pcr-signature.json".into()),
    ]);
    table(&[("tpm", "device:/dev/tpmrm0".into()), ("policy", policy)])
}

/// Which bundles are taken, and who puts them where the firmware looks.
fn update(settings: &Settings) -> toml::Table {
    let places = [
        ("key", "/etc/edged/update.pem"),
        ("slot", "/run/umec/slot.sock"),
        ("stick", "/run/umec/stick.sock"),
        ("policy_key", "/run/systemd/tpm2-pcr-public-key.pem"),
    ];
    let mut update = toml::Table::from_iter(
        places.map(|(name, place)| (name.to_owned(), toml::Value::from(place))),
    );
    // The box is reset when its own time is over; edged is to say why before that.
    if let Some(seconds) = settings.trial {
        let seconds = i64::try_from(seconds * 2 / 3).unwrap_or(i64::MAX);
        update.insert("trial".to_owned(), seconds.into());
    }
    update
}

fn table(pairs: &[(&str, toml::Value)]) -> toml::Value {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    toml::Value::Table(pairs.collect())
}

fn list(items: &[&str]) -> toml::Value {
    items
        .iter()
        .map(|item| toml::Value::from(*item))
        .collect::<Vec<_>>()
        .into()
}

/// One uplink; each address in both families, apart (sysctl `net.ipv6.bindv6only`).
fn edged(settings: &Settings) -> anyhow::Result<String> {
    let upstreams: Vec<String> = settings.upstreams.iter().map(ToString::to_string).collect();
    let upstreams: Vec<&str> = upstreams.iter().map(String::as_str).collect();
    let config = table(&[
        ("version", 1.into()),
        ("node", node(settings).into()),
        ("image", image().into()),
        ("update", update(settings).into()),
        ("trust", trust(settings)),
        ("network", table(&[("uplink", "eth0".into())])),
        (
            "dns",
            table(&[
                ("listen", list(&["0.0.0.0:53", "[::]:53"])),
                ("upstreams", list(&upstreams)),
            ]),
        ),
        (
            "http",
            table(&[("listen", list(&["0.0.0.0:443", "[::]:443"]))]),
        ),
        (
            "ssh",
            table(&[("listen", list(&["0.0.0.0:22", "[::]:22"]))]),
        ),
    ]);
    Ok(toml::to_string(&config)?)
}

/// The broker's own start reads edged's password as a credential (mosquitto.service).
fn broker(settings: &Settings) -> anyhow::Result<String> {
    let password = "/run/credentials/mosquitto.service/mqtt-password";
    let config = table(&[
        ("version", 1.into()),
        ("node", node(settings).into()),
        ("mqtt", table(&[("password_file", password.into())])),
    ]);
    Ok(toml::to_string(&config)?)
}

/// Outside, an image for production speaks MQTT with TLS alone; a development image speaks it without as well.
fn broker_listeners(settings: &Settings) -> String {
    let plain = if settings.development {
        "--listen 0.0.0.0:1883 --listen [::]:1883"
    } else {
        "--listen 127.0.0.1:1883 --listen 10.80.0.1:1883"
    };
    format!("LISTEN={plain} --listen-tls 0.0.0.0:8883 --listen-tls [::]:8883\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(development: bool) -> Settings {
        Settings {
            board: "qemu-aarch64".to_owned(),
            version: "1.0".to_owned(),
            number: 1,
            trial: None,
            update_key: String::new(),
            site: "edge".to_owned(),
            development,
            without_tpm: false,
            commission_keys: Vec::new(),
            upstreams: Vec::new(),
        }
    }

    #[test]
    fn production_speaks_mqtt_to_the_outside_with_tls_alone() {
        assert!(!broker_listeners(&settings(false)).contains("0.0.0.0:1883"));
        assert!(broker_listeners(&settings(true)).contains("0.0.0.0:1883"));
    }
}
