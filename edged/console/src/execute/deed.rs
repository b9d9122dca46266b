//! What is done to one thing after the other: `rm`, `rmi`, `stop`, `start`.

use std::fmt;
use std::time::Duration;

use edged_model::{AppName, ImageReference};
use tokio::io::AsyncWrite;

use super::{Answer, ExitStatus, Stop, exit_status};
use crate::{Output, Platform, PlatformError, RulePlace, render};

/// One thing and what is done to it.
pub(super) enum Deed {
    Remove {
        name: AppName,
        force: bool,
    },
    Forget(ImageReference),
    Stop {
        name: AppName,
        grace: Option<Duration>,
    },
    Start(AppName),
    Enable {
        package: String,
        enabled: bool,
    },
    RemovePackage(String),
    Distrust(String),
    DistrustKey(String),
    RemoveService(String),
    Switch {
        place: RulePlace,
        active: bool,
    },
}

impl Deed {
    async fn perform<P: Platform>(&self, platform: &P) -> Result<(), PlatformError> {
        match self {
            Self::Remove { name, force } => platform.remove(name, *force).await,
            Self::Forget(image) => platform.remove_image(image).await,
            Self::Stop { name, grace } => platform.stop(name, *grace).await,
            Self::Start(name) => platform.start(name).await,
            Self::Enable { package, enabled } => platform.enable_package(package, *enabled).await,
            Self::RemovePackage(package) => platform.remove_package(package).await,
            Self::Distrust(name) => platform.distrust_signer(name).await,
            Self::DistrustKey(name) => platform.distrust_image_key(name).await,
            Self::RemoveService(id) => platform.remove_service(id).await,
            Self::Switch { place, active } => platform.switch_rule(place, *active).await,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove { name, .. } | Self::Stop { name, .. } | Self::Start(name) => name.fmt(f),
            Self::Forget(image) => image.fmt(f),
            Self::Enable { package: name, .. }
            | Self::RemovePackage(name)
            | Self::Distrust(name)
            | Self::DistrustKey(name)
            | Self::RemoveService(name) => name.fmt(f),
            Self::Switch { place, .. } => place.rule.fmt(f),
        }
    }
}

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    /// One that fails does not keep the others from being done.
    pub(super) async fn each<P: Platform>(
        &mut self,
        platform: &P,
        done: &str,
        deeds: Vec<Deed>,
    ) -> Result<ExitStatus, Stop> {
        let mut finished = Vec::new();
        let mut status = ExitStatus::OK;
        for deed in deeds {
            match deed.perform(platform).await {
                Ok(()) if self.output == Output::Table => self.print(&format!("{deed}\n")).await?,
                Ok(()) => finished.push(deed.to_string()),
                Err(error) => {
                    self.complain(&error).await?;
                    status = exit_status(error.kind, false);
                }
            }
        }
        if self.output == Output::Json {
            let answer = serde_json::json!({ done: finished });
            self.print(&render::json(&answer)).await?;
        }
        Ok(status)
    }
}
