//! `trust`.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Answer, ExitStatus, Stop};
use crate::{Platform, ProofVerb, is_well, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn trust<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: ProofVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        match verb {
            ProofVerb::Status => {
                let findings = platform.trust_status().await?;
                self.show(&findings, |look| render::findings(&findings, look))
                    .await?;
                if !is_well(&findings) {
                    return Ok(ExitStatus::FAILED);
                }
            }
            ProofVerb::Enrol { credential: None } => {
                let identity = platform.identity().await?;
                self.print(&render::json(&identity)).await?;
            }
            ProofVerb::Enrol {
                credential: Some(credential),
            } => {
                let opened = platform.activate(&credential).await?;
                self.print(&render::json(&opened)).await?;
            }
            ProofVerb::Attest { nonce, plain } => {
                let evidence = platform.attest(nonce.as_bytes(), plain).await?;
                self.print(&render::json(&evidence)).await?;
            }
            ProofVerb::Keys { images: Some(verb) } => {
                return self.image_keys(platform, verb, input).await;
            }
            ProofVerb::Policy(verb) => return self.image_policy(platform, verb, input).await,
            ProofVerb::Keys { images: None } => {
                let keys = platform.keys().await?;
                self.show(&keys, |look| render::keys(&keys, look)).await?;
            }
            ProofVerb::Pcrs => {
                let registers = platform.registers().await?;
                self.show(&registers, |look| render::registers(&registers, look))
                    .await?;
            }
            ProofVerb::Log => {
                let log = platform.event_log().await?;
                self.out.write_all(&log).await?;
            }
        }
        Ok(ExitStatus::OK)
    }
}
