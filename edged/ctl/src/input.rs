//! What a verb reads, and the words that go to the box.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Parser;
use edged_console::{Command, quote};
use tokio::fs::File;
use tokio::io::AsyncRead;

use crate::error::CtlError;

/// A verb's standard input, where it reads any.
pub(crate) type Input = Option<Box<dyn AsyncRead + Send + Unpin>>;

/// The line for the box and the input that belongs to it. Words this version does not understand go as they are: the
/// box decides.
pub(crate) async fn prepare(mut words: Vec<String>) -> Result<(String, Input), CtlError> {
    let mut input: Input = None;
    if let Ok(command) = Command::try_parse_from(&words) {
        if let Some(file) = command.input_file() {
            let path = PathBuf::from(file);
            let opened = File::open(&path).await;
            let opened = opened.map_err(|source| CtlError::Input { path, source })?;
            input = Some(Box::new(opened));
            if let Some(at) = words.iter().rposition(|word| word == file) {
                words.remove(at);
            }
        } else if command.reads_input() {
            input = Some(Box::new(tokio::io::stdin()));
        }
    }
    if wants_color() {
        words.insert(0, "--color".to_owned());
    }
    Ok((quote(&words), input))
}

/// On a terminal, unless its owner says no (no-color.org).
fn wants_color() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !dumb && !unwanted
}
