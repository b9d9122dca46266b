//! `run`.

use edged_model::{ExitCode, InstanceState};
use tokio::io::AsyncWrite;

use super::{Answer, ExitStatus, Stop};
use crate::progress::watched;
use crate::{ErrorKind, Platform, PlatformError, RunArgs, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn start_new<P: Platform>(
        &mut self,
        platform: &P,
        run: RunArgs,
    ) -> Result<ExitStatus, Stop> {
        let wait = run.wait();
        let spec = run.into_spec().map_err(Stop::Usage)?;
        let work = |progress| platform.run(spec, wait, progress);
        let one = watched(self.output, &mut self.err, work).await?;
        self.show(&one, |look| render::started(&one, look)).await?;
        let Some(wait) = wait else {
            return Ok(ExitStatus::OK);
        };
        let name = &one.name;
        let message = match &one.state {
            InstanceState::Ready
            | InstanceState::Ended {
                code: ExitCode::Code(0),
            } => {
                return Ok(ExitStatus::OK);
            }
            InstanceState::Ended { code } => format!("{name} ended: {code}"),
            InstanceState::BackOff { reason, .. } => format!("{name} does not start: {reason}"),
            other => format!("{name} is {other} after {} s", wait.as_secs()),
        };
        Err(PlatformError::new(ErrorKind::Unavailable, message)
            .with_hint(format!(
                "logs {name} shows what it wrote; rm -f {name} removes it"
            ))
            .into())
    }
}
