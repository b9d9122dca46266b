//! `commission`, `reboot` and `poweroff`: what is about the box itself.

use edged_model::SiteName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Answer, ExitStatus, Stop, not_here};
use crate::{End, ErrorKind, Output, Platform, PlatformError, render};

/// Longest list of operators' keys: some hundred of them.
const KEYS_MAX: u64 = 64 << 10;

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn commission<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        site: Option<SiteName>,
        file: Option<String>,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        if let Some(file) = file {
            return Err(not_here("commission", &file));
        }
        let mut keys = String::new();
        let read = input.take(KEYS_MAX + 1).read_to_string(&mut keys).await;
        if read.is_err() || u64::try_from(keys.len()).is_ok_and(|length| length > KEYS_MAX) {
            return Err(PlatformError::new(
                ErrorKind::Invalid,
                "what came on standard input is no list of public keys, one a line",
            )
            .with_hint("give it a .pub file of ssh-keygen")
            .into());
        }
        let view = platform.commission(site, &keys).await?;
        self.show(&view, |_| render::commission(&view)).await?;
        // The recovery key exists nowhere else: it is forgotten only when it was written to the caller.
        self.out.flush().await?;
        platform.commissioned().await?;
        Ok(ExitStatus::OK)
    }

    pub(super) async fn end<P: Platform>(&mut self, platform: &P, end: End) -> Result<(), Stop> {
        platform.end(end).await?;
        let text = match (self.output, end) {
            (Output::Json, _) => "{}\n",
            (Output::Table, End::Reboot) => "the box starts anew\n",
            (Output::Table, End::Poweroff) => "the box switches itself off\n",
        };
        self.print(text).await
    }
}
