//! `update`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, ExitStatus, Stop, not_here};
use crate::progress::watched;
use crate::{Platform, UpdateVerb, is_well, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn update<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: UpdateVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        let view = match verb {
            UpdateVerb::Status => {
                drop(input);
                let view = platform.update_status().await?;
                self.show(&view, |look| render::update(&view, look)).await?;
                return Ok(if is_well(&view.findings) {
                    ExitStatus::OK
                } else {
                    ExitStatus::FAILED
                });
            }
            // Nobody can stay on a box that starts anew.
            UpdateVerb::Install(args) if args.wait => {
                let why = "--wait outlives this connection: use edgectl, or leave it out and ask `update status`";
                return Err(Stop::Usage(why.to_owned()));
            }
            UpdateVerb::Install(args) => {
                let Some(source) = args.source() else {
                    return Err(not_here(
                        "update install",
                        args.from.as_deref().unwrap_or(""),
                    ));
                };
                let work =
                    |progress| platform.install_update(source, args.no_way_back, input, progress);
                watched(self.output, &mut self.err, work).await?
            }
            UpdateVerb::Confirm => platform.confirm_update().await?,
            UpdateVerb::Rollback => platform.roll_back_update().await?,
        };
        self.show(&view, |look| render::update(&view, look)).await?;
        Ok(ExitStatus::OK)
    }
}
