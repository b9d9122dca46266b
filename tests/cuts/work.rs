//! One box that is at work while its power goes, again and again: applications come, go, stop and start, and register
//! services. It lives through all cuts of the lane, so what one of them broke is seen by the next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use board::client::until;
use board::line::Line;
use board_qemu::{Changes, Folder, Guest};
use serde_json::{Value, json};
use umec_tests::ground::{Ground, IMAGE};

use crate::check;
use crate::cut::{Campaign, Moment, each, take_power};
use crate::draw::Draw;
use crate::ledger::{Goal, Ledger, State, ask, look, services, services_of, text};

/// How long a box works before its power goes, at most: half a dozen changes.
const WORK: Duration = Duration::from_secs(15);
/// From power-on to readiness, while two boxes share a machine.
const BOOT: Duration = Duration::from_secs(14);
/// Applications of the box; the first half offers services, the other is stopped and started.
const OFFER: [&str; 2] = ["tide", "wind"];
const STOP: [&str; 2] = ["lamp", "gate"];
/// Services of an application, at most: a few are enough to lose one.
const SERVICES: usize = 4;
/// Until everything that ran before a cut is ready again.
const BACK: Duration = Duration::from_secs(120);
/// Exit code of ssh(1) where the connection broke.
const BROKEN: i32 = 255;

/// All cuts of the lane.
pub fn a_box_at_work_loses_no_acknowledged_change_to_a_power_cut(
    ground: &Ground,
    campaign: &Campaign,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    folder.furnish(&ground.parts)?;
    let guest = check::start(ground, &folder)?;
    guest.commission(&ground.parts.commissioning)?;
    ground.load(&guest.door()?)?;
    let mut ledger = Ledger::default();
    let mut running = Some(guest);
    each("at work", &campaign.work, |number| {
        let draw = &mut Draw::of(campaign.seed, "work", number);
        let guest = match running.take() {
            Some(guest) => guest,
            // The last check failed: the box's next life begins with whatever is on it.
            None => check::start(ground, &folder)?,
        };
        let moment = work(guest, &mut ledger, draw)?;
        let (guest, place) =
            check::console_is_kept_where(&folder, || again(ground, &folder, &mut ledger, draw))
                .with_context(|| format!("cut {moment}"))?;
        running = Some(guest);
        Ok(format!("{place}: {moment}"))
    })
}

/// Changes the box until its power goes.
fn work(guest: Guest, ledger: &mut Ledger, draw: &mut Draw) -> anyhow::Result<Moment> {
    let line = guest.line()?.context("the operator's key does not open")?;
    let moment = Moment::draw(draw, WORK, &[]);
    let (mut theirs, cut) = (draw.clone(), Mutex::new(false));
    let is_cut = || *cut.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| -> anyhow::Result<()> {
            while !is_cut() {
                if let Err(error) = change(&guest, &line, ledger, &mut theirs)
                    && !is_cut()
                {
                    return Err(error);
                }
            }
            Ok(())
        });
        moment.wait(&guest);
        *cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        take_power(&guest, draw)?;
        match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("the one who works panicked"),
        }
    })?;
    guest.machine.cut()?;
    Ok(moment)
}

/// Starts the box again, now and then with another cut as it starts, and compares.
fn again<'a>(
    ground: &Ground,
    folder: &'a Folder,
    ledger: &mut Ledger,
    draw: &mut Draw,
) -> anyhow::Result<(Guest<'a>, String)> {
    if draw.once_in(4) {
        let guest = Guest::start(&ground.root, folder, &Changes::default())?;
        Moment::draw(draw, BOOT, &[]).wait(&guest);
        take_power(&guest, draw)?;
        guest.machine.cut()?;
    }
    let guest = check::start(ground, folder)?;
    check::healthy(&guest)?;
    let line = guest.line()?.context("the operator's key does not open")?;
    let found = until(BACK, || look(&guest, &line).map(Some))?;
    let place = ledger.compare(found)?;
    Ok((guest, place.to_owned()))
}

/// Asks the box for one change, and takes note of the answer.
fn change(guest: &Guest, line: &Line, ledger: &mut Ledger, draw: &mut Draw) -> anyhow::Result<()> {
    let now = ledger.sure.clone();
    let names = [OFFER, STOP].concat();
    let name = *draw.one_of(&names).context("no names")?;
    match now.applications.get(name) {
        None => begin(guest, ledger, now, name, draw),
        Some(_) if draw.once_in(5) => {
            ledger.ask(now.without(name));
            say(guest, ledger, &["rm", "--force", name])
        }
        Some(_) if OFFER.contains(&name) => serve(guest, line, ledger, now, name, draw),
        Some(goal) => {
            let (verb, other) = match goal {
                Goal::Run => ("stop", Goal::Stop),
                Goal::Stop => ("start", Goal::Run),
            };
            let mut new = now.clone();
            new.applications.insert(name.to_owned(), other);
            ledger.ask(new);
            say(guest, ledger, &[verb, name])
        }
    }
}

fn begin(
    guest: &Guest,
    ledger: &mut Ledger,
    mut state: State,
    name: &str,
    draw: &mut Draw,
) -> anyhow::Result<()> {
    state.applications.insert(name.to_owned(), Goal::Run);
    ledger.ask(state);
    let mut words = vec!["run", "--name", name, "--health-http", "8080/index.html"];
    if draw.once_in(2) {
        words.push("--detach");
    }
    words.push(IMAGE);
    say(guest, ledger, &words)
}

fn say(guest: &Guest, ledger: &mut Ledger, words: &[&str]) -> anyhow::Result<()> {
    let answer = guest.door()?.say(words, None)?;
    if answer.status.success() {
        ledger.acknowledged();
        return Ok(());
    }
    let why = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    ensure!(answer.status.code() == Some(BROKEN), "{words:?}: {why}");
    bail!("the connection broke")
}

/// Registers a service of an application, or takes one away.
fn serve(
    guest: &Guest,
    line: &Line,
    ledger: &mut Ledger,
    mut state: State,
    name: &str,
    draw: &mut Draw,
) -> anyhow::Result<()> {
    let own = state.services.iter().filter(|(_, of)| *of == name);
    let own: Vec<String> = own.map(|(service, _)| service.clone()).collect();
    let shown = guest.door()?.told(&["inspect", name], None)?;
    let shown: Value = serde_json::from_str(&shown)?;
    let id = text(&shown, "id")?;
    if own.len() == SERVICES || (!own.is_empty() && draw.once_in(3)) {
        let service = draw.one_of(&own).context("no services")?;
        let there = services(line, id)?;
        let path = there.get(service).context("the service is not listed")?;
        state.services.remove(service);
        ledger.ask(state);
        ask(line, "DELETE", path, None)?;
    } else {
        let service = format!("s{}", draw.below(u64::MAX));
        state.services.insert(service.clone(), name.to_owned());
        ledger.ask(state);
        let body = json!({
            "serName": service, "version": "1", "state": "ACTIVE", "serializer": "JSON",
            "transportInfo": {
                "id": "rest", "name": "REST", "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1",
                "endpoint": {"uris": ["http://192.0.2.10:8080/"]}, "security": {},
            },
        });
        ask(line, "POST", &services_of(id), Some(&body))?;
    }
    ledger.acknowledged();
    Ok(())
}
