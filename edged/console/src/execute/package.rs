//! `package`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::deed::Deed;
use super::{Answer, ExitStatus, Stop, not_here};
use crate::progress::watched;
use crate::{PackageVerb, Packages, Platform, TrustVerb, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn package<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        verb: PackageVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        if let Some(file) = verb.input_file() {
            let words = match &verb {
                PackageVerb::Trust(TrustVerb::Add { name, .. }) => {
                    format!("package trust add {name}")
                }
                _ => "package install".to_owned(),
            };
            return Err(not_here(&words, file));
        }
        let enable = |enabled: bool, Packages { packages }: Packages| {
            let deed = |package| Deed::Enable { package, enabled };
            packages.into_iter().map(deed).collect::<Vec<_>>()
        };
        match verb {
            PackageVerb::Install { .. } => {
                let work = |progress| platform.install_package(input, progress);
                let one = watched(self.output, &mut self.err, work).await?;
                self.show(&one, |_| render::installed(&one)).await?;
            }
            PackageVerb::Ls => {
                let list = platform.packages().await?;
                self.show(&list, |look| render::packages(&list, look))
                    .await?;
            }
            PackageVerb::Inspect { package } => {
                let detail = platform.package(&package).await?;
                self.print(&render::json(&detail)).await?;
            }
            PackageVerb::Enable(packages) => {
                return self.each(platform, "enabled", enable(true, packages)).await;
            }
            PackageVerb::Disable(packages) => {
                return self
                    .each(platform, "disabled", enable(false, packages))
                    .await;
            }
            PackageVerb::Rm(Packages { packages }) => {
                let deeds = packages.into_iter().map(Deed::RemovePackage).collect();
                return self.each(platform, "removed", deeds).await;
            }
            PackageVerb::Trust(TrustVerb::Ls) => {
                let list = platform.signers().await?;
                self.show(&list, |look| render::signers(&list, look))
                    .await?;
            }
            PackageVerb::Trust(TrustVerb::Add { name, .. }) => {
                let one = platform.trust_signer(&name, input).await?;
                let list = std::slice::from_ref(&one);
                self.show(&one, |look| render::signers(list, look)).await?;
            }
            PackageVerb::Trust(TrustVerb::Rm { names }) => {
                let deeds = names.into_iter().map(Deed::Distrust).collect();
                return self.each(platform, "removed", deeds).await;
            }
        }
        Ok(ExitStatus::OK)
    }
}
