//! TLS with a certificate and a key from files, which are read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::ServeError;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate with its key, as the files have them now.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What tells a file from the one that stood there before.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key, both as PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Arc<Self>, ServeError> {
        let current = RwLock::new(Arc::new(read(certificate, key)?));
        Ok(Arc::new(Self { certificate: certificate.to_owned(), key: key.to_owned(), current }))
    }

    /// Reads the files again whenever they change, until nobody uses them any more. New connections get the new certificate; if
    /// the files do not fit together, the old one stays, and `tell` hears of it.
    pub fn watch(
        self: &Arc<Self>,
        tell: impl Fn(Result<(), ServeError>) + Send + 'static,
    ) -> Result<(), ServeError> {
        let watched = Arc::downgrade(self);
        let mut seen = self.stamp();
        let watch = move || {
            loop {
                std::thread::sleep(LOOK);
                let Some(tls) = watched.upgrade() else { return };
                let now = tls.stamp();
                if now != seen {
                    seen = now;
                    tell(tls.reload());
                }
            }
        };
        std::thread::Builder::new()
            .name("certificate".to_owned())
            .spawn(watch)
            .map(drop)
            .map_err(|source| ServeError::System { action: "start threads", source })
    }

    fn stamp(&self) -> Stamp {
        let stamp = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [&self.certificate, &self.key].map(stamp).to_vec()
    }

    fn reload(&self) -> Result<(), ServeError> {
        let fresh = Arc::new(read(&self.certificate, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What takes connections with it.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, ServeError> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.wrong(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn wrong(&self, detail: String) -> ServeError {
        ServeError::Certificate { path: self.certificate.clone(), detail }
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, ServeError> {
    let wrong = |path: &Path, detail: String| ServeError::Certificate { path: path.to_owned(), detail };
    let bytes = |path: &Path| {
        fs::read(path).map_err(|source| ServeError::Io { action: "read", path: path.to_owned(), source })
    };
    readable_by_others(key)?;
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "it holds no certificate in PEM form".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|_| wrong(key, "it holds no private key in PEM form".to_owned()))?;
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())
        .map_err(|error| wrong(certificate, format!("it does not go with `{}`: {error}", key.display())))?;
    Ok(certified)
}

/// Refuses a key that everybody may read. A group may: that is how keys are mounted for a service.
fn readable_by_others(key: &Path) -> Result<(), ServeError> {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(key) {
        use std::os::unix::fs::PermissionsExt;
        if found.permissions().mode() & 0o007 != 0 {
            let detail = "everybody may read it: `chmod 600` it first".to_owned();
            return Err(ServeError::Certificate { path: key.to_owned(), detail });
        }
    }
    Ok(())
}
