//! edged decides: it owns the desired state and every protocol of the box.
//!
//! An unprivileged process with one thread. It never touches the kernel's privileged side itself: containers are
//! edged-worker's, the host's network is edged-guardian's ([`link`]). The flow: a wish comes through the [`door`] or
//! the [`registry`] into the mailbox of the [`reconcile`]r, which makes it durable, drives the world towards it and
//! shows a [`snapshot`] to all readers; [`announce`] tells names and states to the outside. [`boot`] is the list of
//! parts and the order in which they start and end.

mod announce;
mod boot;
mod broker;
mod clock;
mod compose;
mod door;
mod fault;
mod interfaces;
mod link;
mod listeners;
mod machine;
mod metrics;
mod prepare;
mod probe;
mod random;
mod reach;
mod reconcile;
mod registry;
mod renewal;
mod snapshot;
mod trust;
mod update;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edged_config::Config;

/// Where the configuration is unless said otherwise.
const CONFIG: &str = "/etc/edged/edged.toml";

#[derive(Debug, Parser)]
#[command(
    name = "edged",
    version,
    about = "Decides what runs on this box and serves every protocol of it"
)]
struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Serve until SIGTERM (the default)
    Serve,
    /// Make keys, certificates and the broker's password where they are missing, and end
    Init,
    /// Check the configuration and end
    Check,
    /// Write the files of this node's broker, mosquitto
    Mosquitto(broker::Broker),
    /// Print a bearer token for the MEC interfaces
    #[command(group = clap::ArgGroup::new("whose").required(true))]
    Token {
        /// For everything: an orchestrator's
        #[arg(long, group = "whose")]
        all: bool,
        /// For the resources of one application instance
        #[arg(long, group = "whose", value_name = "ID")]
        instance: Option<edged_model::InstanceId>,
        /// Seconds it lives
        #[arg(long, default_value_t = 3600)]
        lifetime: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("EDGED_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match carry_out(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edged: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::read(&arguments.config)?;
    machine::apply(&mut config)?;
    match arguments.verb.clone().unwrap_or(Verb::Serve) {
        Verb::Check => println!("{} is valid", arguments.config.display()),
        Verb::Mosquitto(listeners) => println!("{}", broker::write(&config, &listeners)?.display()),
        Verb::Init => prepare::prepare(&config, &config.addressing()?, &trust(&config)?)?,
        Verb::Token {
            instance, lifetime, ..
        } => {
            // The group says that one is there: without an instance it is for all.
            let access = instance.map_or(edged_mec::Access::All, edged_mec::Access::Instance);
            let tokens = prepare::tokens(&config, &trust(&config)?)?;
            println!("{}", tokens.issue(&access, None, lifetime)?);
        }
        Verb::Serve => {
            // Another default provider can only be there already if it is this one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            // One thread: two cores belong to the applications, and nothing here computes for long.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(boot::run(config))?;
        }
    }
    Ok(())
}

/// The box's keys, for a verb that ends by itself.
fn trust(config: &Config) -> Result<trust::Trust, edged_trust::TrustError> {
    trust::Trust::open(std::sync::Arc::new(config.clone()))
}
