//! One line, from words to an exit code.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use self::deed::Deed;
use crate::progress::watched;
use crate::render::{self, Look};
use crate::verb::ExecArgs;
use crate::{
    Command, End, ErrorKind, Output, Platform, PlatformError, RuleKind, Standing, Verb, words,
};

mod commission;
mod deed;
mod exec;
mod image_trust;
mod logs;
mod package;
mod rule;
mod service;
mod start;
mod trust;
mod update;

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(u8);

impl ExitStatus {
    /// It was done.
    pub const OK: Self = Self(0);
    /// It was not done.
    pub const FAILED: Self = Self(1);
    /// It could not be understood.
    pub const USAGE: Self = Self(2);
    /// `exec` did not come to the command, as docker has it.
    pub const NOT_RUN: Self = Self(125);

    /// The number.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// The caller's own streams.
#[derive(Debug)]
pub struct Streams<I, O, E> {
    /// Standard input; dropped at once by verbs that read none.
    pub input: I,
    /// Standard output: the answer.
    pub out: O,
    /// Standard error: progress, errors and hints.
    pub err: E,
}

/// Why a verb ended early.
pub(crate) enum Stop {
    /// The platform says why.
    Platform(PlatformError),
    /// The words are understood and do not fit together.
    Usage(String),
    /// The client takes no more output.
    Gone,
}

impl From<PlatformError> for Stop {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// The list of verbs.
pub fn help() -> String {
    Command::command().render_help().to_string()
}

/// Splits a line as a shell would and does what it says.
pub async fn execute_line<P, I, O, E>(
    platform: &P,
    standing: Standing,
    line: &str,
    mut streams: Streams<I, O, E>,
) -> ExitStatus
where
    P: Platform,
    I: AsyncRead + Send + Unpin,
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    match words::split(line) {
        Ok(words) => execute(platform, standing, words, streams).await,
        Err(error) => {
            let text = format!("error: {error}\n");
            let _ = streams.err.write_all(text.as_bytes()).await;
            ExitStatus::USAGE
        }
    }
}

/// Does what the words say and answers on the streams. Dropping the future ends what only serves this caller.
pub async fn execute<P, I, O, E>(
    platform: &P,
    standing: Standing,
    words: Vec<String>,
    mut streams: Streams<I, O, E>,
) -> ExitStatus
where
    P: Platform,
    I: AsyncRead + Send + Unpin,
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    let command = match Command::try_parse_from(words) {
        Ok(command) => command,
        Err(error) => return explain(&error, &mut streams).await,
    };
    let look = Look {
        color: command.color,
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let is_exec = matches!(command.verb, Verb::Exec(_));
    let output = command.output;
    let Streams { input, out, err } = streams;
    let mut answer = Answer {
        output,
        look,
        out,
        err,
    };
    let allowed = standing.check(&command.verb).map_err(Stop::from);
    let done = match allowed {
        Ok(()) => answer.verb(platform, command.verb, input).await,
        Err(stop) => Err(stop),
    };
    let status = match done {
        Ok(status) => status,
        Err(Stop::Gone) => ExitStatus::FAILED,
        Err(Stop::Usage(text)) => {
            let text = format!("error: {text}\n");
            let _ = answer.err.write_all(text.as_bytes()).await;
            ExitStatus::USAGE
        }
        Err(Stop::Platform(error)) => {
            let _ = answer.complain(&error).await;
            exit_status(error.kind, is_exec)
        }
    };
    let _ = answer.out.flush().await;
    let _ = answer.err.flush().await;
    status
}

fn exit_status(kind: ErrorKind, is_exec: bool) -> ExitStatus {
    match kind {
        ErrorKind::NoSuchCommand => ExitStatus(127),
        ErrorKind::NotExecutable => ExitStatus(126),
        _ if is_exec => ExitStatus::NOT_RUN,
        _ => ExitStatus::FAILED,
    }
}

/// A file that the box cannot open.
fn not_here(verb: &str, file: &str) -> Stop {
    Stop::Usage(format!(
        "{file:?} is on your machine, not on the box; write {verb} < {file}, or use edgectl"
    ))
}

/// Help goes to standard output and is no failure; anything else is a usage error.
async fn explain<I, O, E>(error: &clap::Error, streams: &mut Streams<I, O, E>) -> ExitStatus
where
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let text = error.render().to_string();
    if error.use_stderr() {
        let _ = streams.err.write_all(text.as_bytes()).await;
        let _ = streams.err.flush().await;
        ExitStatus::USAGE
    } else {
        let _ = streams.out.write_all(text.as_bytes()).await;
        let _ = streams.out.flush().await;
        ExitStatus::OK
    }
}

/// An answer that is being given.
pub(crate) struct Answer<O, E> {
    pub(crate) output: Output,
    pub(crate) look: Look,
    pub(crate) out: O,
    pub(crate) err: E,
}

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    async fn verb<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: Verb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        match verb {
            Verb::Load { file } => return self.load(platform, file, input).await,
            Verb::Commission { site, file } => {
                return self.commission(platform, site, file, input).await;
            }
            Verb::Package(package) => return self.package(platform, package, input).await,
            Verb::Rule(rule) => return self.rule(platform, RuleKind::Traffic, rule, input).await,
            Verb::Dns(rule) => return self.rule(platform, RuleKind::Dns, rule, input).await,
            Verb::Trust(proof) => return self.trust(platform, proof, input).await,
            Verb::Update(update) => return self.update(platform, update, input).await,
            Verb::Exec(ExecArgs {
                interactive,
                name,
                command,
            }) => {
                let input = interactive.then_some(input);
                return self.exec(platform, &name, command, input).await;
            }
            other => {
                // A client that sends input nobody reads must not wait for it to be read.
                drop(input);
                self.verb_without_input(platform, other).await
            }
        }
    }

    async fn verb_without_input<P: Platform>(
        &mut self,
        platform: &P,
        verb: Verb,
    ) -> Result<ExitStatus, Stop> {
        match verb {
            Verb::Run(run) => return self.start_new(platform, *run).await,
            Verb::Ps => {
                let list = platform.list().await?;
                self.show(&list, |look| render::instances(&list, look))
                    .await?;
            }
            Verb::Logs(logs) => self.logs(platform, &logs).await?,
            Verb::Service(service) => return self.service(platform, service).await,
            Verb::Inspect { name } => {
                let detail = platform.inspect(&name).await?;
                self.print(&render::json(&detail)).await?;
            }
            Verb::Images => {
                let list = platform.images().await?;
                self.show(&list, |look| render::images(&list, look)).await?;
            }
            Verb::Pull { image } => {
                let work = |progress| platform.pull(image, progress);
                let pulled = watched(self.output, &mut self.err, work).await?;
                self.show(&pulled, |_| {
                    render::image_names(std::slice::from_ref(&pulled))
                })
                .await?;
            }
            Verb::Rm { force, names } => {
                let remove = |name| Deed::Remove { name, force };
                let deeds = names.into_iter().map(remove).collect();
                return self.each(platform, "removed", deeds).await;
            }
            Verb::Rmi { images } => {
                let deeds = images.into_iter().map(Deed::Forget).collect();
                return self.each(platform, "removed", deeds).await;
            }
            Verb::Stop { time, names } => {
                let grace = time.map(|seconds| Duration::from_secs(seconds.into()));
                let stop = |name| Deed::Stop { name, grace };
                let deeds = names.into_iter().map(stop).collect();
                return self.each(platform, "stopped", deeds).await;
            }
            Verb::Start { names } => {
                let deeds = names.into_iter().map(Deed::Start).collect();
                return self.each(platform, "started", deeds).await;
            }
            Verb::Stats { names } => {
                let list = platform.stats(&names).await?;
                self.show(&list, |look| render::stats(&list, look)).await?;
            }
            Verb::Status => {
                let status = platform.status().await?;
                self.show(&status, |look| render::status(&status, look))
                    .await?;
                if !status.parts.iter().all(|part| part.ok) {
                    return Ok(ExitStatus::FAILED);
                }
            }
            Verb::Access { lifetime } => {
                let access = platform.access(lifetime).await?;
                self.show(&access, |_| render::access(&access)).await?;
            }
            Verb::Reboot => self.end(platform, End::Reboot).await?,
            Verb::Poweroff => self.end(platform, End::Poweroff).await?,
            // They read input, and were done before.
            Verb::Commission { .. }
            | Verb::Load { .. }
            | Verb::Exec(_)
            | Verb::Package(_)
            | Verb::Trust(_)
            | Verb::Update(_)
            | Verb::Rule(_)
            | Verb::Dns(_) => {}
        }
        Ok(ExitStatus::OK)
    }

    async fn load<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        file: Option<String>,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        if let Some(file) = file {
            return Err(not_here("load", &file));
        }
        let work = |progress| platform.load(input, progress);
        let loaded = watched(self.output, &mut self.err, work).await?;
        self.show(&loaded, |_| render::image_names(&loaded)).await?;
        Ok(ExitStatus::OK)
    }

    /// Gives the answer in the wanted form.
    pub(crate) async fn show<T: Serialize>(
        &mut self,
        view: &T,
        table: impl FnOnce(Look) -> String,
    ) -> Result<(), Stop> {
        let text = match self.output {
            Output::Json => render::json(view),
            Output::Table => table(self.look),
        };
        self.print(&text).await
    }

    pub(crate) async fn print(&mut self, text: &str) -> Result<(), Stop> {
        self.out.write_all(text.as_bytes()).await?;
        Ok(())
    }

    pub(crate) async fn complain(&mut self, error: &PlatformError) -> Result<(), Stop> {
        let text = match self.output {
            Output::Json => render::json_line(&serde_json::json!({ "error": error })),
            Output::Table => render::error(error, self.look),
        };
        self.err.write_all(text.as_bytes()).await?;
        Ok(())
    }
}
