//! SFTP, as far as putting down one file needs it (draft-ietf-secsh-filexfer-02, version 3).
//!
//! There is one folder, `/`, and in it at most one file, whatever name it was given: what `update install uploaded` takes.
//! It may be written, looked at from outside, and removed, and nothing else may be done. It is written aside and renamed
//! when it is closed, so what is there is what was sent whole; what it is worth, its signature says.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tracing::info;

use crate::bounds::{SFTP_PACKET, UPLOAD_MAX, UPLOAD_SPARE};

/// The version that is spoken.
const VERSION: u32 = 3;
/// Open flags (draft, 6.3).
const WRITE: u32 = 2;
const READ: u32 = 1;
const APPEND: u32 = 4;
/// Attributes that are told: size and permissions (draft, 5).
const ATTRIBUTES: u32 = 1 | 4;
const FOLDER_MODE: u32 = 0o040_700;
const FILE_MODE: u32 = 0o100_600;
/// The handles: there is one file and one folder.
const FILE: &[u8] = b"file";
const FOLDER: &[u8] = b"folder";
/// What the file is called in a list.
const NAME: &str = "uploaded";

/// What is asked (draft, 3).
mod request {
    pub const INIT: u8 = 1;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const FSTAT: u8 = 8;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
}

/// What is answered.
mod answer {
    pub const VERSION: u8 = 2;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
}

/// Why something was not done (draft, 7).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Ok,
    EndOfFile,
    NoSuchFile,
    Denied(&'static str),
    Failure(String),
    Unsupported,
}

impl Status {
    fn parts(&self) -> (u32, &str) {
        match self {
            Self::Ok => (0, "done"),
            Self::EndOfFile => (1, "that is all"),
            Self::NoSuchFile => (2, "there is no such file"),
            Self::Denied(why) => (3, why),
            Self::Failure(why) => (4, why),
            Self::Unsupported => (8, "this folder takes one file and does nothing else"),
        }
    }
}

impl From<io::Error> for Status {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::NoSuchFile
        } else {
            Self::Failure(error.to_string())
        }
    }
}

/// Serves one client until it ends or says something that is no SFTP.
pub(crate) async fn serve(
    path: &Path,
    mut input: impl AsyncRead + Unpin,
    mut out: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut session = Session {
        path: path.to_owned(),
        upload: None,
        listed: None,
    };
    loop {
        let length = match input.read_u32().await {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if !(1..=SFTP_PACKET).contains(&length) {
            return Err(io::Error::other("a packet of an impossible length"));
        }
        let mut packet = vec![0; length];
        input.read_exact(&mut packet).await?;
        let reply = session.answer(&packet).await?;
        out.write_all(&reply).await?;
        out.flush().await?;
    }
}

struct Session {
    path: PathBuf,
    upload: Option<Upload>,
    /// Whether the open folder's list was told; nothing while it is not open.
    listed: Option<bool>,
}

/// The file while it is written; gone with the session unless it was closed.
struct Upload {
    file: File,
    /// Nothing once it was put in its place: what is there then is another session's.
    aside: Option<PathBuf>,
}

impl Upload {
    fn put(&mut self, path: &Path) -> io::Result<()> {
        if let Some(aside) = &self.aside {
            std::fs::rename(aside, path)?;
        }
        self.aside = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            let _ = std::fs::remove_file(aside);
        }
    }
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Folder,
    File,
}

impl Session {
    /// The whole answer to a packet.
    async fn answer(&mut self, packet: &[u8]) -> io::Result<Vec<u8>> {
        let mut reader = Reader(packet);
        let kind = reader.byte()?;
        if kind == request::INIT {
            return Ok(Answer::new(answer::VERSION, None).number(VERSION).whole());
        }
        let id = reader.number()?;
        match self.act(kind, id, &mut reader).await {
            Ok(answer) => Ok(answer),
            Err(Broken::Status(status)) => Ok(of_status(id, &status)),
            Err(Broken::Packet(error)) => Err(error),
        }
    }

    async fn act(&mut self, kind: u8, id: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Broken> {
        match kind {
            request::REALPATH => {
                let path = resolve(reader.text()?);
                Ok(Answer::new(answer::NAME, Some(id))
                    .number(1)
                    .text(path.as_bytes())
                    .text(path.as_bytes())
                    .number(0)
                    .whole())
            }
            request::STAT | request::LSTAT => {
                let place = place(reader.text()?)?;
                let (size, mode) = match place {
                    Place::Folder => (0, FOLDER_MODE),
                    Place::File => (self.size()?, FILE_MODE),
                };
                Ok(attributes(Answer::new(answer::ATTRS, Some(id)), size, mode).whole())
            }
            request::FSTAT => {
                let upload = self.open_file(reader.text()?)?;
                let size = upload.file.metadata().map_err(Status::from)?.len();
                Ok(attributes(Answer::new(answer::ATTRS, Some(id)), size, FILE_MODE).whole())
            }
            request::OPEN => {
                let place = place(reader.text()?)?;
                let flags = reader.number()?;
                self.open(&place, flags)?;
                Ok(Answer::new(answer::HANDLE, Some(id)).text(FILE).whole())
            }
            request::WRITE => {
                let upload = self.open_file(reader.text()?)?;
                let offset = reader.long()?;
                write(&upload.file, offset, reader.text()?)?;
                Err(Status::Ok.into())
            }
            request::CLOSE => {
                let handle = reader.text()?;
                if handle == FOLDER {
                    self.listed = None;
                } else {
                    self.open_file(handle)?;
                    self.close().await?;
                }
                Err(Status::Ok.into())
            }
            request::OPENDIR => {
                if place(reader.text()?)? != Place::Folder {
                    return Err(Status::NoSuchFile.into());
                }
                self.listed = Some(false);
                Ok(Answer::new(answer::HANDLE, Some(id)).text(FOLDER).whole())
            }
            request::READDIR => {
                if reader.text()? != FOLDER || self.listed != Some(false) {
                    return Err(Status::EndOfFile.into());
                }
                self.listed = Some(true);
                let size = self.size().map_err(|_| Status::EndOfFile)?;
                let long = format!("-rw-------    1 edged    edged    {size:>10} {NAME}");
                let answer = Answer::new(answer::NAME, Some(id))
                    .number(1)
                    .text(NAME.as_bytes())
                    .text(long.as_bytes());
                Ok(attributes(answer, size, FILE_MODE).whole())
            }
            request::REMOVE => {
                if place(reader.text()?)? != Place::File {
                    return Err(Status::Denied("the folder stays").into());
                }
                std::fs::remove_file(&self.path).map_err(Status::from)?;
                Err(Status::Ok.into())
            }
            _ => Err(Status::Unsupported.into()),
        }
    }

    fn size(&self) -> Result<u64, Status> {
        Ok(std::fs::metadata(&self.path)?.len())
    }

    fn open(&mut self, place: &Place, flags: u32) -> Result<(), Status> {
        if *place == Place::Folder {
            return Err(Status::Failure(
                "this is the folder; name a file in it".to_owned(),
            ));
        }
        if flags & WRITE == 0 || flags & (READ | APPEND) != 0 {
            return Err(Status::Denied(
                "a bundle is written here, from its beginning, and never read back",
            ));
        }
        if self.upload.is_some() {
            return Err(Status::Failure("one file at a time".to_owned()));
        }
        let aside = self.path.with_extension("part");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&aside)?;
        // Before anything of it is changed: another session's upload stays whole.
        // Also one that was put in its place, or given up, since it was opened here.
        if file.try_lock().is_err() || !is_at(&file, &aside) {
            return Err(Status::Failure("somebody else is uploading".to_owned()));
        }
        file.set_len(0)?;
        self.upload = Some(Upload {
            file,
            aside: Some(aside),
        });
        Ok(())
    }

    fn open_file(&self, handle: &[u8]) -> Result<&Upload, Status> {
        self.upload
            .as_ref()
            .filter(|_| handle == FILE)
            .ok_or_else(|| Status::Failure("nothing is open by this handle".to_owned()))
    }

    /// What was sent is whole: durable, then in its place.
    async fn close(&mut self) -> Result<(), Status> {
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        let path = self.path.clone();
        let closed = tokio::task::spawn_blocking(move || {
            upload.file.sync_all()?;
            upload.put(&path)?;
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
            upload.file.metadata()
        });
        let closed = closed
            .await
            .map_err(|_| Status::Failure("the box is ending".to_owned()))?;
        info!(bytes = closed?.len(), "a bundle was uploaded");
        Ok(())
    }
}

/// Whether the open file is the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

fn write(file: &File, offset: u64, data: &[u8]) -> Result<(), Status> {
    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
    if offset.saturating_add(length) > UPLOAD_MAX {
        return Err(Status::Failure("no bundle is as long as that".to_owned()));
    }
    let disk = rustix::fs::fstatvfs(file).map_err(|error| Status::from(io::Error::from(error)))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < UPLOAD_SPARE.saturating_add(length) {
        let why = "the data partition is full; remove images that nobody uses with `rmi`";
        return Err(Status::Failure(why.to_owned()));
    }
    Ok(file.write_all_at(data, offset)?)
}

/// A path without its dots; it never leaves the folder.
fn resolve(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn place(path: &[u8]) -> Result<Place, Status> {
    let path = resolve(path);
    let name = path.trim_start_matches('/');
    match (name.is_empty(), name.contains('/')) {
        (true, _) => Ok(Place::Folder),
        (false, false) => Ok(Place::File),
        (false, true) => Err(Status::NoSuchFile),
    }
}

/// Why there is no other answer than a status, or none at all.
enum Broken {
    Status(Status),
    Packet(io::Error),
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Packet(error)
    }
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| io::Error::other("a packet that ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn number(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?.try_into().map_err(io::Error::other)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn long(&mut self) -> io::Result<u64> {
        let bytes = self.take(8)?.try_into().map_err(io::Error::other)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn text(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(io::Error::other)?;
        self.take(length)
    }
}

/// An answer that is being written, its length in front.
struct Answer(Vec<u8>);

impl Answer {
    fn new(kind: u8, id: Option<u32>) -> Self {
        let answer = Self(vec![0, 0, 0, 0, kind]);
        match id {
            Some(id) => answer.number(id),
            None => answer,
        }
    }

    fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn text(self, text: &[u8]) -> Self {
        let mut answer = self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        answer.0.extend_from_slice(text);
        answer
    }

    fn whole(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        for (byte, value) in self.0.iter_mut().zip(length.to_be_bytes()) {
            *byte = value;
        }
        self.0
    }
}

fn attributes(answer: Answer, size: u64, mode: u32) -> Answer {
    let mut answer = answer.number(ATTRIBUTES);
    answer.0.extend_from_slice(&size.to_be_bytes());
    answer.number(mode)
}

fn of_status(id: u32, status: &Status) -> Vec<u8> {
    let (code, words) = status.parts();
    Answer::new(answer::STATUS, Some(id))
        .number(code)
        .text(words.as_bytes())
        .text(b"en")
        .whole()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_folder() {
        for (path, resolved) in [
            ("", "/"),
            (".", "/"),
            ("/a/../b", "/b"),
            ("../../etc/passwd", "/etc/passwd"),
        ] {
            assert_eq!(resolve(path.as_bytes()), resolved, "{path}");
        }
        assert_eq!(place(b"../../etc/passwd"), Err(Status::NoSuchFile));
        assert_eq!(place(b"./x.update"), Ok(Place::File));
    }

    #[test]
    fn nothing_is_longer_than_a_bundle() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(write(&file, 0, b"x"), Ok(()));
        for offset in [UPLOAD_MAX, u64::MAX] {
            assert!(write(&file, offset, b"x").is_err(), "{offset}");
        }
    }

    #[test]
    fn an_upload_that_was_put_in_its_place_leaves_the_next_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uploaded");
        let session = || {
            let path = path.clone();
            Session {
                path,
                upload: None,
                listed: None,
            }
        };
        let (mut first, mut second) = (session(), session());
        first.open(&Place::File, WRITE).unwrap();
        assert!(second.open(&Place::File, WRITE).is_err());
        let mut done = first.upload.take().unwrap();
        done.put(&path).unwrap();
        // Before the first has ended altogether.
        second.open(&Place::File, WRITE).unwrap();
        drop(done);
        second.upload.take().unwrap().put(&path).unwrap();
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_meanwhile_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let [aside, path] = ["uploaded.part", "uploaded"].map(|name| folder.path().join(name));
        let file = File::create(&aside).unwrap();
        assert!(is_at(&file, &aside));
        std::fs::rename(&aside, &path).unwrap();
        assert!(!is_at(&file, &aside));
        File::create(&aside).unwrap();
        assert!(!is_at(&file, &aside));
    }

    #[tokio::test]
    async fn packets_that_lie_end_the_session_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uploaded");
        let open = [
            &[3, 0, 0, 0, 7, 0, 0, 0, 1, b'a'][..],
            &[0, 0, 0, 0x1a],
            &[0; 4],
        ]
        .concat();
        let packets = [
            vec![0, 0, 0, 0],
            vec![0xff; 8],
            [&[0, 0, 0, 9][..], &[3, 0, 0, 0, 7, 0, 0, 1, 0]].concat(),
            [&[0, 0, 0, 18][..], &open].concat(),
        ];
        for packet in packets {
            let mut out = Vec::new();
            let _ = serve(&path, packet.as_slice(), &mut out).await;
            assert!(!path.exists());
        }
        // The file that was opened and never closed is gone with its session.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
