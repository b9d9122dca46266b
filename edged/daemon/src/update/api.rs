//! Updates as HTTP has them.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use edged_console::{ErrorKind, PlatformError, Progress};
use edged_mec::Problem;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::Updates;
use super::intake::Source;

impl Updates {
    /// As `update status -o json` has it.
    pub fn shown(&self) -> Value {
        serde_json::to_value(self.status()).unwrap_or_default()
    }

    /// Takes the bundle of a request.
    pub async fn install_body(&self, no_way_back: bool, body: Body) -> Result<Value, Problem> {
        // Whoever asks by HTTP waits for the answer alone.
        let (progress, _steps) = Progress::channel();
        let installed = self.install_from(body, no_way_back, &progress).await;
        installed.map_err(|error| problem(&error))?;
        Ok(self.shown())
    }

    /// Gives up what is under way.
    pub async fn roll_back_shown(&self) -> Result<Value, Problem> {
        self.roll_back().await.map_err(|error| problem(&error))?;
        Ok(self.shown())
    }
}

impl Source for Body {
    async fn next(&mut self) -> Result<Bytes, String> {
        while let Some(frame) = self.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                // Trailers, and pieces of nothing.
                _ => {}
            }
        }
        Ok(Bytes::new())
    }
}

fn problem(error: &PlatformError) -> Problem {
    let text = match &error.hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    };
    match error.kind {
        ErrorKind::Conflict => Problem::conflict(text),
        ErrorKind::Unavailable => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text),
        ErrorKind::Internal => Problem::internal(text),
        _ => Problem::bad_request(text),
    }
}
