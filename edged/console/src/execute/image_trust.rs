//! `trust keys add|list|remove|issue|authority`, `trust policy`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::deed::Deed;
use super::{Answer, ExitStatus, Stop, not_here};
use crate::{ImageKeyVerb, Platform, PolicyVerb, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn image_keys<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: ImageKeyVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        match verb {
            ImageKeyVerb::Add(key) => {
                if let Some(file) = &key.file {
                    return Err(not_here(&format!("trust keys add {}", key.name), file));
                }
                let one = platform.trust_image_key(&key, input).await?;
                let list = std::slice::from_ref(&one);
                self.show(&one, |look| render::image_keys(list, look))
                    .await?;
            }
            ImageKeyVerb::Issue(key) => {
                if let Some(file) = &key.file {
                    return Err(not_here("trust keys issue", file));
                }
                let certificate = platform.certify_operator(&key, input).await?;
                self.print(&format!("{certificate}\n")).await?;
            }
            ImageKeyVerb::Authority { addresses } => {
                let line = platform.known_hosts_line(&addresses).await?;
                self.print(&format!("{line}\n")).await?;
            }
            ImageKeyVerb::List => {
                let list = platform.image_keys().await?;
                self.show(&list, |look| render::image_keys(&list, look))
                    .await?;
            }
            ImageKeyVerb::Remove { names } => {
                let deeds = names.into_iter().map(Deed::DistrustKey).collect();
                return self.each(platform, "removed", deeds).await;
            }
        }
        Ok(ExitStatus::OK)
    }

    pub(super) async fn image_policy<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: PolicyVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        let policy = match verb {
            PolicyVerb::Show => platform.image_policy().await?,
            PolicyVerb::Set { file: Some(file) } => {
                return Err(not_here("trust policy set", &file));
            }
            PolicyVerb::Set { file: None } => platform.set_image_policy(input).await?,
        };
        self.print(&render::json(&policy)).await?;
        Ok(ExitStatus::OK)
    }
}
