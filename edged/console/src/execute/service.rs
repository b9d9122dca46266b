//! `service`.

use tokio::io::AsyncWrite;

use super::deed::Deed;
use super::{Answer, ExitStatus, Stop};
use crate::{Platform, ServiceVerb, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn service<P: Platform>(
        &mut self,
        platform: &P,
        verb: ServiceVerb,
    ) -> Result<ExitStatus, Stop> {
        match verb {
            ServiceVerb::Ls => {
                let list = platform.services().await?;
                self.show(&list, |look| render::services(&list, look))
                    .await?;
            }
            ServiceVerb::Inspect { service } => {
                let service = platform.service(&service).await?;
                self.print(&render::json(&service)).await?;
            }
            ServiceVerb::Rm { ids } => {
                let deeds = ids.into_iter().map(Deed::RemoveService).collect();
                return self.each(platform, "removed", deeds).await;
            }
        }
        Ok(ExitStatus::OK)
    }
}
