//! Two chains of steps at once.

use std::sync::mpsc;
use std::thread;

use anyhow::bail;

/// Does both at the same time: what one leaves of the processors, the other takes. The first error is returned at once;
/// the other half then ends with the process, as do the programs that it runs.
///
/// # Errors
/// What either says.
pub fn both<A: Send + 'static, B: Send + 'static>(
    first: impl FnOnce() -> anyhow::Result<A> + Send + 'static,
    second: impl FnOnce() -> anyhow::Result<B> + Send + 'static,
) -> anyhow::Result<(A, B)> {
    enum Half<A, B> {
        First(anyhow::Result<A>),
        Second(anyhow::Result<B>),
    }
    let (tell, told) = mpsc::channel();
    let other = tell.clone();
    // Nobody listens any more once one half has failed.
    thread::spawn(move || drop(tell.send(Half::First(first()))));
    thread::spawn(move || drop(other.send(Half::Second(second()))));
    let (mut one, mut two) = (None, None);
    for half in told {
        match half {
            Half::First(made) => one = Some(made?),
            Half::Second(made) => two = Some(made?),
        }
    }
    match (one, two) {
        (Some(one), Some(two)) => Ok((one, two)),
        _ => bail!("a step panicked; the reason is above"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn both_run_at_once() {
        let here = Arc::new(Barrier::new(2));
        let there = Arc::clone(&here);
        let made = both(
            move || {
                here.wait();
                Ok(1)
            },
            move || {
                there.wait();
                Ok("two")
            },
        );
        assert_eq!(made.unwrap(), (1, "two"));
    }

    #[test]
    fn the_first_error_is_not_kept_waiting_by_the_other_half() {
        let (_never, wait) = mpsc::channel::<()>();
        let made = both(
            move || Ok(wait.recv()?),
            || -> anyhow::Result<()> { bail!("the dependencies cannot be fetched") },
        );
        let error = made.unwrap_err().to_string();
        assert_eq!(error, "the dependencies cannot be fetched");
    }

    #[test]
    fn a_half_that_panics_is_an_error() {
        assert!(both(|| Ok(()), || -> anyhow::Result<()> { panic!("broken") }).is_err());
    }
}
