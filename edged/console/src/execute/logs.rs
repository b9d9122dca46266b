//! `logs`.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Answer, Stop};
use crate::verb::LogsArgs;
use crate::{LOG_LINES, LogLine, LogQuery, Output, Platform, Stream, render};

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    /// What the application wrote to standard error goes to standard error, as if it ran here.
    pub(super) async fn logs<P: Platform>(
        &mut self,
        platform: &P,
        logs: &LogsArgs,
    ) -> Result<(), Stop> {
        let query = LogQuery {
            follow: logs.follow,
            tail: logs.tail,
        };
        let mut lines = platform.logs(&logs.name, query).await?;
        let mut batch = Vec::with_capacity(LOG_LINES);
        while lines.recv_many(&mut batch, LOG_LINES).await > 0 {
            self.write_lines(&batch, logs.timestamps).await?;
            batch.clear();
        }
        Ok(())
    }

    /// Neighbours on the same stream go out together: a line a packet would be slow.
    async fn write_lines(&mut self, lines: &[LogLine], timestamps: bool) -> Result<(), Stop> {
        if self.output == Output::Json {
            let text: String = lines.iter().map(render::json_line).collect();
            self.print(&text).await?;
            return Ok(self.out.flush().await?);
        }
        for run in lines.chunk_by(|one, next| one.stream == next.stream) {
            let text: String = run
                .iter()
                .map(|line| render::log_line(line, timestamps))
                .collect();
            if run
                .first()
                .is_some_and(|line| line.stream == Stream::Stderr)
            {
                self.err.write_all(text.as_bytes()).await?;
                self.err.flush().await?;
            } else {
                self.print(&text).await?;
                self.out.flush().await?;
            }
        }
        Ok(())
    }
}
