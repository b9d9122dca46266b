//! `umec-slot --config FILE`: changes what a box starts, for edged, and ends when nobody asks.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edged_config::Config;
use edged_protocol::Refusal;
use edged_protocol::slot::{Command, Reply, Slot};
use edged_slot::keeper::{Boot, Counts, Keeper};
use edged_slot::staged::Folder;
use edged_slot::{Partition, Slots, door, find};
use edged_tpm::{Counter, Tpm};
use edged_update::UpdateKey;

/// By which entry the box was started: PID 1 writes it.
const BOOTED: &str = "/run/umec/slot";
/// Made at the exchange; PID 1's guard looks for it, as for the other one.
const CONFIRMED: &str = "/run/umec/confirmed";
const TRIAL: &str = "/var/lib/umec/trial";
/// The password of the TPM's counter, from when the data partition was made.
const PASSWORD: &str = "/var/lib/umec/counter";
/// With the kernel's resource manager in between: edged speaks with the TPM as well.
const TPM: &str = "/dev/tpmrm0";

/// What the image says of itself.
#[derive(serde::Deserialize)]
struct Build {
    board: String,
    release: u64,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let (Some(flag), Some(path), None) = (words.next(), words.next(), words.next()) else {
        eprintln!("usage: umec-slot --config FILE, with a listening socket as standard input");
        return ExitCode::FAILURE;
    };
    if flag != "--config" {
        eprintln!("umec-slot: --config FILE is missing");
        return ExitCode::FAILURE;
    }
    match run(&PathBuf::from(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("umec-slot: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let config = Config::read(path).map_err(|error| error.to_string())?;
    let uid = config.node.uid;
    // The partition is open only while something is asked of it.
    let answer = |command: &Command| {
        carry_out(&config, command).unwrap_or_else(|sentence| {
            Reply::Refused(Refusal {
                sentence,
                transient: false,
            })
        })
    };
    door::serve(uid, answer).map_err(|error| format!("cannot serve: {error}"))
}

fn carry_out(config: &Config, command: &Command) -> Result<Reply, String> {
    let update = config
        .update
        .as_ref()
        .ok_or("the configuration has no [update]")?;
    let image = config
        .image
        .as_ref()
        .ok_or("the configuration has no [image]")?;
    let text = read(&image.build)?;
    let build: Build = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not understood: {error}", image.build.display()))?;
    let key = UpdateKey::from_pem(&read(&update.key)?)
        .map_err(|error| format!("{}: {error}", update.key.display()))?;
    let bundles = Folder {
        file: config.node.updates().join("staged"),
        board: build.board,
        key,
        policy_key: fs::read_to_string(&update.policy_key).ok(),
    };
    let boot = Boot {
        booted: booted(&read(Path::new(BOOTED))?)?,
        release: build.release,
        trial: PathBuf::from(TRIAL),
        confirmed: PathBuf::from(CONFIRMED),
    };
    let node = find::boot_partition().map_err(|error| error.to_string())?;
    let partition = Partition::open(&node)
        .map_err(|error| format!("cannot open {}: {error}", node.display()))?;
    let slots = Slots::open(&partition).map_err(|error| error.to_string())?;
    Ok(Keeper::new(slots, bundles, Device, boot).answer(command))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn booted(text: &str) -> Result<Slot, String> {
    match text.trim() {
        "a" => Ok(Slot::A),
        "b" => Ok(Slot::B),
        _ => Err(format!(
            "{BOOTED} names no slot: the box was not started by its firmware"
        )),
    }
}

/// The box's TPM.
struct Device;

impl Device {
    fn open() -> Result<Option<Tpm<File>>, String> {
        if !Path::new(TPM).exists() {
            return Ok(None);
        }
        let device = OpenOptions::new().read(true).write(true).open(TPM);
        let device = device.map_err(|error| format!("cannot open {TPM}: {error}"))?;
        Ok(Some(Tpm(device)))
    }
}

impl Counts for Device {
    fn floor(&mut self) -> Result<Option<u64>, String> {
        let Some(mut tpm) = Self::open()? else {
            return Ok(None);
        };
        Counter(&mut tpm).floor().map_err(|error| error.to_string())
    }

    fn raise(&mut self, to: u64) -> Result<u64, String> {
        let mut tpm = Self::open()?.ok_or("this box has no TPM that could count releases")?;
        let password =
            fs::read(PASSWORD).map_err(|error| format!("cannot read {PASSWORD}: {error}"))?;
        Counter(&mut tpm)
            .raise(to, &password)
            .map_err(|error| error.to_string())
    }
}
