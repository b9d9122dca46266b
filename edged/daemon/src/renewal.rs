//! The broker's certificate. mosquitto reads files, so this one is a file, and is renewed while edged serves; whoever
//! started the broker has it read the file again (SIGHUP), which drops nobody. In our image nobody does that yet: there
//! the broker has its certificate as a credential, which systemd freezes at its start, so it is made once, for good.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edged_authority::{
    Authority, Certificate, FileKey, Names, POINT, Purpose, Sign as _, write_durably,
};
use edged_config::{Addressing, Config};

use crate::prepare::{self, PrepareError};
use crate::trust::Trust;

/// Between two looks at the clock: it may jump, so nothing is set to a time of day. A look costs nothing.
const LOOK: Duration = Duration::from_secs(10);

/// Who signs the broker's certificate, and where it lies.
#[derive(Debug)]
pub struct BrokerCertificate {
    authority: Arc<Authority>,
    names: Names,
    public: [u8; POINT],
    path: PathBuf,
    /// Whether the broker is never told of another one.
    is_for_good: bool,
}

impl BrokerCertificate {
    /// Makes the broker's key where it is missing: a file, `server.key`.
    pub fn open(
        config: &Config,
        addressing: &Addressing,
        trust: &Trust,
    ) -> Result<Self, PrepareError> {
        let authority = prepare::authority(config, trust)?;
        let folder = prepare::tls_folder(config);
        let path = folder.join("server.key");
        let key =
            FileKey::open(&path, "broker").map_err(|source| PrepareError::File { path, source })?;
        Ok(Self {
            authority,
            names: prepare::names(config, addressing),
            public: key.public(),
            path: folder.join("server.pem"),
            is_for_good: config.image.is_some(),
        })
    }

    /// Whether one of this authority was written before, of whatever time.
    pub fn is_there(&self) -> bool {
        let chain = std::fs::read_to_string(&self.path);
        chain.is_ok_and(|chain| chain.ends_with(&self.authority.root_pem()))
    }

    /// Writes one that is good from now on. May wait for the TPM.
    pub fn renew(&self, now: SystemTime) -> Result<Certificate, PrepareError> {
        let (purpose, names, public) = (Purpose::Server, &self.names, &self.public);
        let made = if self.is_for_good {
            self.authority.issue_for_good(purpose, names, public)?
        } else {
            self.authority.issue(purpose, names, public, now)?
        };
        let chain = made.pem() + &self.authority.root_pem();
        let path = self.path.clone();
        write_durably(&path, chain.as_bytes(), 0o644)
            .map_err(|source| PrepareError::File { path, source })?;
        Ok(made)
    }
}

/// Renews it at once, for what was written before may be of another year, and whenever it is not fresh.
pub async fn keep(certificate: BrokerCertificate) {
    if certificate.is_for_good && certificate.is_there() {
        return;
    }
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
                Ok(Ok(made)) => current = Some(made),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the broker's certificate is not renewed");
                }
                Err(_) => return,
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
