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

/// Renews it at once, for what was written before may be of another year, and whenever it is not fresh.
pub async fn keep(certificate: BrokerCertificate, broker: BrokerClient) {
    // A broker that has only begun ends by the signal that is to tell it. One that does not begin may be waiting for this.
    let _ = tokio::time::timeout(LOOK, broker.connected()).await;
    let certificate = Arc::new(certificate);
    let mut current: Option<Certificate> = None;
    loop {
        let now = SystemTime::now();
        if !current
            .as_ref()
            .is_some_and(|current| current.is_fresh(now))
        {
            let maker = Arc::clone(&certificate);
            match tokio::task::spawn_blocking(move || maker.renew(now)).await {
                Ok(Ok(made)) => {
                    current = Some(made);
                    if let Err(error) = certificate.tell() {
                        tracing::error!(%error, "the broker keeps the certificate it has until it starts again");
                    }
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the broker's certificate is not renewed");
                }
                Err(_) => return,
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
