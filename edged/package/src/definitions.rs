//! The descriptor and what it imports in an archive of their own (`application/zip` of MEC 010-2, `appd`).

use std::io::{self, Seek, Write};

use crate::error::{PackageError, WHOLE};
use crate::package::Package;
use crate::zip::Writer;

impl Package {
    /// Writes a ZIP with the descriptor and the definitions in its folder, which are what it imports; each is verified
    /// again while it is read.
    ///
    /// # Errors
    /// [`PackageError`]: the package was cut since it was opened, or `out` takes no more.
    pub fn write_definitions(&self, out: impl Write + Seek) -> Result<(), PackageError> {
        let entry = self.definitions();
        let place = |name: &str| {
            let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
            let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
            (folder.to_owned(), extension.to_ascii_lowercase())
        };
        let (folder, _) = place(entry);
        let beside = |name: &str| {
            let (own, extension) = place(name);
            own == folder && matches!(extension.as_str(), "yaml" | "yml")
        };
        let mut writer = Writer::new(out);
        let names = self.files().keys().map(String::as_str);
        for name in names.filter(|name| *name == entry || beside(name)) {
            if let Some(reader) = self.file(name)? {
                writer
                    .add(name, reader)
                    .map_err(|error| PackageError::read(name, error))?;
            }
        }
        let written = writer.finish().map(drop);
        written.map_err(|error: io::Error| PackageError::read(WHOLE, error))
    }
}
