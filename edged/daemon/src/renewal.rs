//! The broker's certificate. mosquitto reads files, so this one is a file, and is renewed while edged serves; whoever
//! started the broker has it read the file again (SIGHUP), which drops nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edged_authority::{
    Authority, Certificate, FileKey, Names, POINT, Purpose, Sign as _, write_durably,
};
use edged_config::{Addressing, Config};
use edged_mqtt::BrokerClient;

use crate::prepare::{self, PrepareError};
use crate::trust::Trust;

/// Between two looks at the clock: it may jump, so nothing is set to a time of day. A look costs nothing.
const LOOK: Duration = Duration::from_secs(10);
/// The file in the image's folder of requests that has the broker told of a new certificate.
const REQUEST: &str = "certificate";

/// Who signs the broker's certificate, and where it lies.
#[derive(Debug)]
pub struct BrokerCertificate {
    authority: Arc<Authority>,
    names: Names,
    public: [u8; POINT],
    path: PathBuf,
    /// How the broker is told, where edged has to ask for that.
    request: Option<PathBuf>,
}

impl BrokerCertificate {
    /// Makes the broker's key where it is missing, a file that is edged's alone; the folder of certificates is anybody's
    /// to read.
    pub fn open(
        config: &Config,
        addressing: &Addressing,
        trust: &Trust,
    ) -> Result<Self, PrepareError> {
        let authority = prepare::authority(config, trust)?;
        let path = prepare::tls_folder(config).join("server.key");
        let key =
            FileKey::open(&path, "broker").map_err(|source| PrepareError::File { path, source })?;
        let folder = prepare::broker_folder(config);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o755)))
            .map_err(|source| PrepareError::File {
                path: folder.clone(),
                source,
            })?;
        Ok(Self {
            authority,
            names: prepare::names(config, addressing),
            public: key.public(),
            path: folder.join("server.pem"),
            request: config
                .image
                .as_ref()
                .map(|image| image.requests.join(REQUEST)),
        })
    }

    /// Whether one of this authority was written before, of whatever time.
    pub fn is_there(&self) -> bool {
        let chain = fs::read_to_string(&self.path);
        chain.is_ok_and(|chain| chain.ends_with(&self.authority.root_pem()))
    }

    /// Writes one that is good from now on. May wait for the TPM.
    pub fn renew(&self, now: SystemTime) -> Result<Certificate, PrepareError> {
        let made = self
            .authority
            .issue(Purpose::Server, &self.names, &self.public, now)?;
        let chain = made.pem() + &self.authority.root_pem();
        let path = self.path.clone();
        write_durably(&path, chain.as_bytes(), 0o644)
            .map_err(|source| PrepareError::File { path, source })?;
        Ok(made)
    }

    /// Asks for the broker to be told of it.
    fn tell(&self) -> Result<(), PrepareError> {
        let Some(path) = self.request.clone() else {
            return Ok(());
        };
        fs::write(&path, "").map_err(|source| PrepareError::File { path, source })
    }
}

/// How far the broker's certificate is.
#[derive(Debug, Default)]
struct Renewed {
    /// The one that was written last.
    written: Option<Certificate>,
    /// The broker shows another one until it is told.
    untold: bool,
}

/// Renews it at once, for what was written before may be of another year, and whenever it is not fresh.
pub async fn keep(certificate: BrokerCertificate, broker: BrokerClient) {
    // A broker that has only begun ends by the signal that is to tell it. One that does not begin may be waiting for this.
    let _ = tokio::time::timeout(LOOK, broker.connected()).await;
    let certificate = Arc::new(certificate);
    let mut renewed = Renewed::default();
    loop {
        look(&certificate, &mut renewed, SystemTime::now()).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Does what is due now; what fails is due at the next look again.
async fn look(certificate: &Arc<BrokerCertificate>, renewed: &mut Renewed, now: SystemTime) {
    let written = renewed.written.as_ref();
    if !written.is_some_and(|written| written.is_fresh(now)) {
        let maker = Arc::clone(certificate);
        match tokio::task::spawn_blocking(move || maker.renew(now)).await {
            Ok(Ok(made)) => {
                *renewed = Renewed {
                    written: Some(made),
                    untold: true,
                };
            }
            Ok(Err(error)) => tracing::error!(%error, "the broker's certificate is not renewed"),
            // edged ends.
            Err(_) => return,
        }
    }
    // Apart from the renewal: to tell it again takes no other certificate.
    if renewed.untold {
        match certificate.tell() {
            Ok(()) => renewed.untold = false,
            Err(error) => {
                tracing::error!(%error, "the broker keeps the certificate it has until it is told");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_that_could_not_be_told_is_told_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name| FileKey::open(&folder.path().join(name), name).unwrap();
        let authority = Authority::open(folder.path(), "test", Arc::new(key("ca"))).unwrap();
        let path = folder.path().join("server.pem");
        let requests = folder.path().join("requests");
        let certificate = Arc::new(BrokerCertificate {
            authority: Arc::new(authority),
            names: Names::default(),
            public: key("broker").public(),
            path: path.clone(),
            request: Some(requests.join(REQUEST)),
        });
        let (mut renewed, now) = (Renewed::default(), SystemTime::now());

        look(&certificate, &mut renewed, now).await;
        let written = fs::read(&path).unwrap();
        assert!(certificate.is_there());

        fs::create_dir(&requests).unwrap();
        look(&certificate, &mut renewed, now).await;
        assert!(requests.join(REQUEST).exists(), "it was not told");
        assert!(fs::read(&path).unwrap() == written, "it was made again");

        fs::remove_file(requests.join(REQUEST)).unwrap();
        look(&certificate, &mut renewed, now).await;
        assert!(!requests.join(REQUEST).exists(), "it was told twice");
    }
}
