//! Bandwidth (ETSI GS MEC 015), allocated over HTTP and seen in bytes a second.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use umec_tests::lab::SOON;

use crate::field::Field;

/// Bits a second that are allocated.
const RATE: u32 = 20_000_000;
/// How long a flow is measured: long enough for what may pass at once to weigh little.
const WHILE: Duration = Duration::from_millis(500);
const PATH: &str = "/bwm/v1/bw_allocations";

/// Bits a second that arrive while the other end writes all it can.
fn rate(field: &Field, from: &str, to: (&str, IpAddr)) -> anyhow::Result<f64> {
    let (place, address) = to;
    let listener = field.within(place, || Ok(TcpListener::bind(("::", 0))?))?;
    let at = SocketAddr::new(address, listener.local_addr()?.port());
    let mut writer = field.within(from, || Ok(TcpStream::connect_timeout(&at, SOON)?))?;
    let (mut reader, _) = listener.accept()?;
    reader.set_read_timeout(Some(SOON))?;
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let piece = [7; 16_384];
            while !enough.load(Ordering::Relaxed) {
                if writer.write_all(&piece).is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 1 << 20];
        let (start, mut bytes) = (Instant::now(), 0.0);
        let mut measure = || -> anyhow::Result<f64> {
            while start.elapsed() < WHILE {
                bytes += f64::from(u32::try_from(reader.read(&mut buffer)?)?);
            }
            Ok(bytes * 8.0 / start.elapsed().as_secs_f64())
        };
        let measured = measure();
        enough.store(true, Ordering::Relaxed);
        // A writer that waits is let go.
        reader.shutdown(Shutdown::Both)?;
        measured
    })
}

fn is_limited(measured: f64) -> anyhow::Result<()> {
    let part = measured / f64::from(RATE);
    ensure!(
        (0.6..1.15).contains(&part),
        "{:.1} Mbit/s of 20",
        measured / 1e6
    );
    Ok(())
}

fn is_free(measured: f64) -> anyhow::Result<()> {
    ensure!(
        measured > 4.0 * f64::from(RATE),
        "{:.1} Mbit/s",
        measured / 1e6
    );
    Ok(())
}

#[test]
fn an_application_is_held_to_its_allocation_until_that_is_released() -> anyhow::Result<()> {
    let field = Field::start(&["a", "b"])?;
    let allocate = |body: &Value| -> anyhow::Result<String> {
        let made = field.ask("POST", PATH, Some(body))?.expect(201)?;
        let location = made.header("location").context("no Location")?;
        let (_, id) = location.rsplit_once('/').context("no path")?;
        Ok(format!("{PATH}/{id}"))
    };
    let release = |path: &str| field.ask("DELETE", path, None)?.expect(204).map(drop);
    let wanted = |direction: &str| -> anyhow::Result<Value> {
        Ok(
            json!({"appInsId": field.id("b")?, "requestType": 0, "fixedAllocation": RATE.to_string(),
            "allocationDirection": direction}),
        )
    };
    for b_at in field.both("b")? {
        is_free(rate(&field, "a", ("b", b_at))?)?;
        let allocation = allocate(&wanted("01")?)?;
        is_limited(rate(&field, "a", ("b", b_at))?)?;
        release(&allocation)?;
        is_free(rate(&field, "a", ("b", b_at))?)?;
    }
    // The other direction is not what hears, and a change is in force when it is answered.
    let b_at = field.at("b")?;
    let allocation = allocate(&wanted("00")?)?;
    is_free(rate(&field, "a", ("b", b_at))?)?;
    field
        .ask("PUT", &allocation, Some(&wanted("10")?))?
        .expect(200)?;
    is_limited(rate(&field, "a", ("b", b_at))?)?;
    field.lab.node.kill("guardian")?;
    is_limited(rate(&field, "a", ("b", b_at))?)?;
    field.lab.node.kill("edged")?;
    is_limited(rate(&field, "a", ("b", b_at))?)?;
    board::client::until(SOON, || {
        Ok(field.ask("GET", "/readyz", None)?.expect(200).ok())
    })?;
    release(&allocation)?;
    is_free(rate(&field, "a", ("b", b_at))?)?;
    field.end()
}
