//! `update install --wait`: stays until the update has ended, over the box's restarts.
//!
//! The bundle goes as without `--wait`. Then the box is asked how it stands, each time over a connection of its own: it
//! starts anew in between, and nobody says so on the old one. That it does not answer for a while is what an update looks
//! like; that another box answers in its place, or that this one takes no key of ours, is an end at once.

use std::time::Duration;

use clap::Parser;
use edged_console::{Command, Output, UpdateVerb, UpdateView, Verb};
use edged_evidence::{printable, printable_json};
use tokio::time::{sleep, timeout};

use crate::args::Destination;
use crate::error::CtlError;
use crate::session::{carry, perform, said};

/// The option, which the box does not hear.
const WAIT: &str = "--wait";
/// Between two questions: each costs the box a key exchange while it is busy with itself.
const PACE: Duration = Duration::from_secs(3);
/// Three trials of at most six minutes (240 s to become healthy, and the box's own guard after that), each between two
/// starts of which the slowest that was seen took two and a half: 33 minutes.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// What `update status` says when nothing is under way, and of an update that was good.
const IDLE: &str = "idle";
const CONFIRMED: &str = "confirmed";

/// A verb of this kind.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What the box is to hear.
    words: Vec<String>,
    output: Output,
}

impl Waiting {
    /// What is asked, if it is this.
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        let command = Command::try_parse_from(words).ok()?;
        match command.verb {
            Verb::Update(UpdateVerb::Install(args)) if args.wait => Some(Self {
                words: words.iter().filter(|word| *word != WAIT).cloned().collect(),
                output: command.output,
            }),
            _ => None,
        }
    }

    /// Does it; ends with 0 where the update was confirmed.
    pub(crate) async fn perform(self, destination: &Destination) -> Result<u8, CtlError> {
        let mut answer = Vec::new();
        let code = carry(destination, self.words, &mut answer, tokio::io::stderr()).await?;
        if code != 0 {
            return Ok(code);
        }
        // Terminals obey some characters, and these are the box's words.
        let tell = |line: &str| eprintln!("{}", printable(line));
        let view = ended(async || look(destination).await, tell).await?;
        match self.output {
            Output::Json => {
                let document = serde_json::to_string_pretty(&view).unwrap_or_default();
                println!("{}", printable_json(&document));
            }
            Output::Table => {
                let words = ["update", "status"].map(str::to_owned);
                perform(destination, words.into()).await?;
            }
        }
        match failure(&view) {
            None => Ok(0),
            Some(why) => Err(CtlError::Update(why)),
        }
    }
}

/// How it stands. A verb that ends with 1 is an answer too.
async fn look(destination: &Destination) -> Result<UpdateView, CtlError> {
    let words = ["update", "status", "-o", "json"].map(str::to_owned);
    let answer = said(destination, words.into()).await?;
    // A box that is on its way down or up may have said something else.
    serde_json::from_slice(&answer).map_err(|_| CtlError::Lost)
}

/// Asks until the update has ended; tells each thing once.
async fn ended(
    mut look: impl AsyncFnMut() -> Result<UpdateView, CtlError>,
    mut tell: impl FnMut(&str),
) -> Result<UpdateView, CtlError> {
    let mut told = String::new();
    let mut say = |line: String| {
        if line != told {
            tell(&line);
            told = line;
        }
    };
    let mut last = "written".to_owned();
    let asking = async {
        loop {
            match look().await {
                Ok(view) if view.state == IDLE && view.last.is_some() => return Ok(view),
                Ok(view) => {
                    last.clone_from(&view.state);
                    say(under_way(&view));
                }
                Err(error) if passes(&error) => {
                    say("the box does not answer: it starts anew".to_owned());
                }
                Err(error) => return Err(error),
            }
            sleep(PACE).await;
        }
    };
    match timeout(LIMIT, asking).await {
        Ok(ended) => ended,
        Err(_) => Err(CtlError::Update(format!(
            "the update has not ended in {} minutes, and the last that was heard of it is `{last}`; look at `update status`, \
             or at the box if it does not answer",
            LIMIT.as_secs() / 60
        ))),
    }
}

/// What the box says of it, in one line.
fn under_way(view: &UpdateView) -> String {
    let finding = view
        .findings
        .iter()
        .find(|finding| finding.what == "update");
    finding.map_or_else(|| view.state.clone(), |finding| finding.means.clone())
}

/// Whether a box that starts anew may be the reason.
fn passes(error: &CtlError) -> bool {
    matches!(
        error,
        CtlError::Connect { .. }
            | CtlError::Ssh(_)
            | CtlError::Lost
            | CtlError::Slow(_)
            | CtlError::Refused
    )
}

/// Why an ended update is no success.
fn failure(view: &UpdateView) -> Option<String> {
    let last = view.last.as_ref()?;
    if last.outcome == CONFIRMED {
        return None;
    }
    let what = if last.outcome == "kept" {
        "failed its trial and stays, as the release before does not start any more"
    } else {
        "was rolled back"
    };
    Some(format!(
        "release {} ({}) {what}: {}",
        last.release.release,
        last.release.version,
        last.why.as_deref().unwrap_or("it does not say why")
    ))
}

#[cfg(test)]
mod tests {
    use edged_console::{EndedView, Finding, FindingState, ReleaseView};

    use super::*;

    fn release() -> ReleaseView {
        ReleaseView {
            release: 2,
            version: "0.2.0".to_owned(),
        }
    }

    fn view(state: &str) -> UpdateView {
        UpdateView {
            running: None,
            state: state.to_owned(),
            update: None,
            last: None,
            findings: vec![Finding::new(
                "update",
                FindingState::Warning,
                format!("release 2: {state}"),
            )],
        }
    }

    fn end(outcome: &str, why: Option<&str>) -> UpdateView {
        UpdateView {
            last: Some(EndedView {
                release: release(),
                outcome: outcome.to_owned(),
                why: why.map(str::to_owned),
                at: 1,
            }),
            ..view(IDLE)
        }
    }

    /// Waits over these answers, the last of which comes again and again.
    async fn over(
        mut answers: Vec<fn() -> Result<UpdateView, CtlError>>,
    ) -> (Result<UpdateView, CtlError>, Vec<String>) {
        answers.reverse();
        let mut told = Vec::new();
        let look = async || match answers.len() {
            1 => answers[0](),
            _ => answers.pop().unwrap()(),
        };
        let ended = ended(look, |line| told.push(line.to_owned())).await;
        (ended, told)
    }

    #[test]
    fn the_box_does_not_hear_that_somebody_waits() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let waiting = Waiting::of(&words("update install stick --wait -o json")).unwrap();
        assert_eq!(waiting.words, words("update install stick -o json"));
        assert_eq!(waiting.output, Output::Json);
        assert!(Waiting::of(&words("update install stick")).is_none());
        assert!(Waiting::of(&words("run --wait x")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_over_restarts_and_tells_each_step_once() {
        let (ended, told) = over(vec![
            || Ok(view("written")),
            || Ok(view("written")),
            || Err(CtlError::Lost),
            || Err(CtlError::Lost),
            || Ok(view("trial 1 of 3")),
            || Ok(view("settling")),
            || Ok(end("confirmed", None)),
        ])
        .await;
        assert_eq!(failure(&ended.unwrap()), None);
        assert_eq!(
            told,
            [
                "release 2: written",
                "the box does not answer: it starts anew",
                "release 2: trial 1 of 3",
                "release 2: settling",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_rolled_back_is_no_success_and_says_why() {
        let (ended, _) = over(vec![|| {
            Ok(end("rolled-back", Some("the broker does not work")))
        }])
        .await;
        assert_eq!(
            failure(&ended.unwrap()).unwrap(),
            "release 2 (0.2.0) was rolled back: the broker does not work"
        );
        let kept = failure(&end("kept", Some("it hung"))).unwrap();
        assert!(
            kept.contains("stays") && kept.ends_with("it hung"),
            "{kept}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_ever_and_says_what_it_heard_last() {
        let (ended, _) = over(vec![|| Ok(view("trial 2 of 3")), || Err(CtlError::Lost)]).await;
        let why = ended.unwrap_err().to_string();
        assert!(
            why.contains("40 minutes") && why.contains("`trial 2 of 3`"),
            "{why}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn another_box_in_its_place_is_an_end_at_once() {
        let changed = || {
            Err(CtlError::ChangedHost {
                target: "admin@box".parse().unwrap(),
                fingerprint: String::new(),
                path: "known_hosts".into(),
                line: 1,
            })
        };
        let (ended, _) = over(vec![|| Ok(view("written")), changed, || {
            Ok(end("confirmed", None))
        }])
        .await;
        assert!(matches!(ended, Err(CtlError::ChangedHost { .. })));
    }
}
