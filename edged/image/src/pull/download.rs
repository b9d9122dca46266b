//! Fetching one blob: resumed, hashed while it comes, and tried again where that may help.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::registry::Answer;
use super::retry::Retry;
use super::{Pull, PullEvent};
use crate::ImageError;
use crate::document::Blob;
use crate::store::{BlobWriter, CHUNK, CHUNKS_IN_FLIGHT, blocking};

/// Progress is told each time so many bytes came.
const REPORT_EACH: u64 = 256 * 1024;
/// A download that came on by so much begins a new count of attempts; less, and a registry could keep us for ever.
const PROGRESS: u64 = 1024 * 1024;

impl Pull<'_> {
    /// Fetches one blob unless it is here. The caller has it pinned.
    pub(super) async fn fetch(&self, blob: &Blob, report: bool) -> Result<(), ImageError> {
        let turn = self.store.turn(&blob.digest).await;
        let (store, subject, wanted) =
            (self.store.clone(), self.reference.to_string(), blob.clone());
        let writer = blocking(move || {
            // A document is read again anyway; a layer is hashed by whoever unpacks it.
            if store.has(&wanted) && (report || store.read_document(&wanted.digest).is_ok()) {
                return Ok(None);
            }
            BlobWriter::resume(&store, &subject, &wanted, turn).map(Some)
        })
        .await?;
        if let Some(writer) = writer {
            self.report(report, blob, writer.written());
            self.download(blob, writer, report).await?;
        }
        self.report(report, blob, blob.size);
        Ok(())
    }

    fn report(&self, wanted: bool, blob: &Blob, done: u64) {
        if wanted {
            (self.progress)(PullEvent::Layer {
                digest: blob.digest.clone(),
                done,
                total: blob.size,
            });
        }
    }

    async fn download(
        &self,
        blob: &Blob,
        mut writer: BlobWriter,
        report: bool,
    ) -> Result<(), ImageError> {
        let mut retry = Retry::new(self.patience);
        // What an earlier run left may be damaged: it gets one second chance from the first byte.
        let mut inherited = writer.written() > 0;
        let mut furthest = writer.written();
        loop {
            let outcome;
            (writer, outcome) = self.transfer(blob, writer, report).await?;
            if let Err(failure) = outcome {
                let Failure::Passing(reason) = failure else {
                    return failure.into_result();
                };
                // Measured from the furthest point, or a registry that begins anew each time could go on for ever.
                if writer.written().saturating_sub(furthest) >= PROGRESS {
                    furthest = writer.written();
                    retry = Retry::new(self.patience);
                }
                self.again(&mut retry, blob.digest.as_str(), writer.written(), reason)
                    .await?;
                continue;
            }
            if !inherited || writer.matches() {
                return blocking(move || writer.finish().map(drop)).await;
            }
            inherited = false;
            writer = blocking(move || writer.restart().map(|()| writer)).await?;
        }
    }

    /// One request's worth of a blob. The outer error is of the disk or of the content and final.
    async fn transfer(
        &self,
        blob: &Blob,
        mut writer: BlobWriter,
        report: bool,
    ) -> Result<(BlobWriter, Result<(), Failure>), ImageError> {
        if writer.written() == blob.size {
            return Ok((writer, Ok(())));
        }
        let mut answer = match self
            .registry
            .blob(self.reference, blob, writer.written())
            .await
        {
            Ok(answer) => answer,
            Err(failure) => return Ok((writer, Err(failure))),
        };
        let resumed = answer.resumed;
        let (chunks, mut received) = mpsc::channel::<Bytes>(CHUNKS_IN_FLIGHT);
        let done = if resumed { writer.written() } else { 0 };
        let disk = tokio::task::spawn_blocking(move || {
            if !resumed {
                writer.restart()?;
            }
            while let Some(chunk) = received.blocking_recv() {
                writer.write(&chunk)?;
            }
            Ok::<_, ImageError>(writer)
        });
        let ended = self.receive(blob, &mut answer, chunks, done, report).await;
        let writer = disk.await.map_err(|_| ImageError::Cancelled)??;
        Ok((writer, ended))
    }

    /// Hands the answer over to the disk, in batches: waking the other thread costs more than the copy.
    async fn receive(
        &self,
        blob: &Blob,
        answer: &mut Answer,
        chunks: mpsc::Sender<Bytes>,
        mut done: u64,
        report: bool,
    ) -> Result<(), Failure> {
        let mut reported = done;
        let mut batch = BytesMut::with_capacity(CHUNK);
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    done = done.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                    batch.extend_from_slice(&chunk);
                }
                Ok(None) if done < blob.size => {
                    break Err(Failure::passing("the registry stopped early"));
                }
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
            // A closed channel: the disk's side has gone, and it knows why.
            if batch.len() >= CHUNK && chunks.send(batch.split().freeze()).await.is_err() {
                return Ok(());
            }
            if done.saturating_sub(reported) >= REPORT_EACH {
                reported = done;
                self.report(report, blob, done.min(blob.size));
            }
        };
        // What came before a cut counts as well.
        let _ = chunks.send(batch.freeze()).await;
        ended
    }
}
