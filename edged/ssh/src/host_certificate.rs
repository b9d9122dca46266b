//! The box's own certificate at the door (OpenSSH, `PROTOCOL.certkeys`): who believes its authority needs no host key.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_authority::{BACKDATED, LIFE, POINT, Sign};
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{PrivateKey, PublicKey};
use russh::server::Config;

use crate::certificate::{CertificateError, Issuing, key_data};
use crate::server::offer;

/// Addresses that a certificate names: ssh reads 256 names, and no box has so many addresses that are not made up.
const ADDRESSES: usize = 64;
/// How long after its beginning a certificate is used at the earliest: a clock that went back further gets a new one.
const EARLIEST: Duration = Duration::from_secs(3600);

/// Vouches for the host key, for some days at a time.
pub(crate) struct Voucher {
    authority: Arc<dyn Sign>,
    names: Vec<String>,
    key: PrivateKey,
    now: fn() -> SystemTime,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// Where the box was reached: what its clients call it.
    addresses: BTreeSet<IpAddr>,
    made: Option<(SystemTime, Arc<Config>)>,
}

impl Voucher {
    pub(crate) fn new(
        authority: Arc<dyn Sign>,
        names: Vec<String>,
        key: PrivateKey,
        now: fn() -> SystemTime,
    ) -> Self {
        Self {
            authority,
            names,
            key,
            now,
            current: Mutex::default(),
        }
    }

    /// What a client is served with that came to this address: a certificate that is good now and names it. May wait for
    /// the TPM: never on the thread that serves.
    pub(crate) fn config(&self, at: Option<IpAddr>) -> Result<Arc<Config>, CertificateError> {
        let now = (self.now)();
        // Held while one is made: whoever comes meanwhile wants this very one.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses = current.addresses.clone();
        let is_new =
            at.is_some_and(|at| addresses.len() < ADDRESSES && addresses.insert(at.to_canonical()));
        if let Some((made, config)) = &current.made
            && !is_new
            && is_fresh(*made, now)
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(&addresses, now)?);
        *current = Current {
            addresses,
            made: Some((now, Arc::clone(&config))),
        };
        Ok(config)
    }

    fn make(
        &self,
        addresses: &BTreeSet<IpAddr>,
        now: SystemTime,
    ) -> Result<Config, CertificateError> {
        let make = |error: &dyn fmt::Display| CertificateError::Make(error.to_string());
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_err(|error| make(&error))?;
        let point = self.authority.public();
        let issuing = Issuing {
            authority: &*self.authority,
            public: key_data(&point).ok_or_else(|| make(&"the authority's key is none"))?,
        };
        let begins = now.saturating_sub(BACKDATED).as_secs();
        let ends = now.saturating_add(LIFE).as_secs();
        let key = self.key.public_key().key_data().clone();
        let filled = (|| {
            let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key, begins, ends)?;
            builder.cert_type(CertType::Host)?;
            builder.key_id(self.names.first().map_or("edged", String::as_str))?;
            for name in &self.names {
                builder.valid_principal(name.as_str())?;
            }
            for address in addresses {
                builder.valid_principal(address.to_string())?;
            }
            builder.sign(&issuing)
        })();
        let certificate = filled.map_err(|error| make(&error))?;
        Ok(offer(self.key.clone(), vec![certificate]))
    }
}

/// Whether one that was made then is shown to somebody new: until two thirds of its life are over.
fn is_fresh(made: SystemTime, now: SystemTime) -> bool {
    match now.duration_since(made) {
        Ok(age) => age < LIFE / 3 * 2,
        Err(ahead) => ahead.duration() + EARLIEST < BACKDATED,
    }
}

/// The line of `known_hosts` by which ssh believes the host certificates of this authority under these names.
///
/// # Errors
/// The authority's key is none.
pub fn known_hosts_line(
    authority: &[u8; POINT],
    names: &[String],
) -> Result<String, CertificateError> {
    let make = |error: &dyn fmt::Display| CertificateError::Make(error.to_string());
    let key = key_data(authority).ok_or_else(|| make(&"the authority's key is none"))?;
    let key = PublicKey::from(key).to_openssh();
    let key = key.map_err(|error| make(&error))?;
    Ok(format!("@cert-authority {} {key}", names.join(",")))
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voucher")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use edged_authority::FileKey;
    use russh::keys::ssh_key::Fingerprint;
    use russh::keys::{Algorithm, HashAlg};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    thread_local! {
        static NOW: Cell<SystemTime> = Cell::new(SystemTime::now());
    }

    fn voucher() -> (Voucher, Fingerprint) {
        let folder = tempfile::tempdir().unwrap();
        let authority = FileKey::open(&folder.path().join("ca.key"), "ca").unwrap();
        let known = key_data(&authority.public()).unwrap();
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        let names = vec!["edge.mec.internal".to_owned()];
        let voucher = Voucher::new(Arc::new(authority), names, key, || NOW.get());
        (voucher, known.fingerprint(HashAlg::Sha256))
    }

    #[test]
    fn whatever_the_clock_says_the_host_certificate_is_good_then() {
        let (voucher, authority) = voucher();
        let begin = SystemTime::now();
        let year = 365 * DAY;
        for at in [
            begin,
            begin + DAY,
            begin + year,
            begin + 10 * year,
            begin,
            begin - DAY,
            begin - 20 * year,
        ] {
            NOW.set(at);
            let config = voucher.config(None).unwrap();
            let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
            let good = config.certificates[0].validate_at(seconds, [&authority]);
            assert!(good.is_ok(), "at {at:?}: {good:?}");
        }
    }

    #[test]
    fn a_host_certificate_names_where_the_box_was_reached_and_is_made_once() {
        let (voucher, _) = voucher();
        let names = |config: &Config| config.certificates[0].valid_principals().to_vec();
        let first = voucher.config(Some([192, 0, 2, 7].into())).unwrap();
        assert_eq!(names(&first), ["edge.mec.internal", "192.0.2.7"]);
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert!(Arc::ptr_eq(&first, &voucher.config(Some(mapped)).unwrap()));
        let second = voucher.config(Some("2001:db8::7".parse().unwrap()));
        assert_eq!(names(&second.unwrap())[1..], ["192.0.2.7", "2001:db8::7"]);
    }

    #[test]
    fn a_host_certificate_is_shown_until_two_thirds_of_its_life_are_over() {
        let made = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(24 * 3600);
        assert!(is_fresh(made, made));
        assert!(is_fresh(made, made + 4 * day));
        assert!(!is_fresh(made, made + 5 * day));
        assert!(is_fresh(made, made - day / 2));
        assert!(!is_fresh(made, made - day));
        assert!(!is_fresh(made, made + 3650 * day));
    }
}
