//! A sample MEC application: sensor readings as a page and a JSON API.
//!
//! It shows everything an application does on the platform: it asks for its token, says that it is ready, offers its
//! service, listens to `sensors/#` on the bus and answers HTTP. It is one static program, so its image holds one file.
//! Without the platform's variables (`MEC_…`, `MQTT_…`) it still serves its page: each part is done where its
//! variables are there. A platform or broker that is away is asked again later; the page never stops.
//!
//! Threads: the page (main), the bus, the announcement, the signals. They share [`readings::Readings`] and nothing else.

mod broker;
mod http;
mod page;
mod platform;
mod readings;
mod retry;

use std::sync::Arc;
use std::thread;

use readings::Readings;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Where the page is served unless `PORT` says otherwise; above 1023, so that no capability is needed.
const PORT: u16 = 8080;

fn main() -> anyhow::Result<()> {
    let port = match std::env::var("PORT") {
        Ok(text) => text.parse()?,
        Err(_) => PORT,
    };
    // Process 1 of a container has no default for signals: without this, every stop would wait for the SIGKILL.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("asked to end");
            std::process::exit(0);
        }
    });
    let readings = Arc::new(Readings::new());
    match broker::Account::from_environment()? {
        Some(account) => {
            let readings = Arc::clone(&readings);
            thread::spawn(move || broker::listen(&account, &readings));
        }
        None => println!("no MQTT_URL: nothing will be heard from sensors"),
    }
    match platform::Platform::from_environment()? {
        Some(platform) => {
            thread::spawn(move || platform::announce(&platform, port));
        }
        None => println!("no MEC_HOST: not announced anywhere"),
    }
    page::serve(port, &readings)
}
