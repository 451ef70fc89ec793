//! The opendal operators of a store: timeouts inside, retries outside, a limit on concurrency. And what a service cannot do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opendal::layers::{ConcurrentLimitLayer, RetryLayer, TimeoutLayer};
use opendal::{Operator, services};

use super::credentials::Credentials;
use super::pages::Pages;
use crate::base::Name;
use crate::infrastructure::store::{StoreError, StoreSpec};

/// Requests under way at once, at most.
const CONCURRENCY: usize = 64;
/// How long a service may be silent while it is read from or listed.
const IDLE: Duration = Duration::from_secs(30);
/// How long one pack (at most 64 MiB, in one request) may take to be taken: 15 minutes are 73 KiB a second.
const UPLOAD: Duration = Duration::from_secs(900);
/// Packs for WebDAV servers are smaller: many of them refuse larger bodies, or buffer them.
const WEBDAV_PACK: usize = 8 << 20;

/// One service, seen in three ways.
pub(super) struct Service {
    /// For reading and listing: idle timeout, retries.
    pub(super) reads: Operator,
    /// For content-addressed objects: a long timeout, retries, for a second write changes nothing.
    pub(super) writes: Operator,
    /// For create-if-absent: timeout and no retries, for a retried success looks like a defeat.
    pub(super) once: Operator,
    /// Where the listing is the page that a web server makes of a folder.
    pub(super) pages: Option<Pages>,
    /// The size at which a pack for it is closed, if it wants smaller ones.
    pub(super) pack: Option<usize>,
}

/// What a location needs besides `url`: settings and credentials.
pub(super) struct Settings<'a> {
    pub(super) store: &'a Name,
    pub(super) spec: &'a StoreSpec,
    pub(super) credentials: Credentials<'a>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Settings<'_> {
    fn wrong(&self, error: &opendal::Error) -> StoreError {
        StoreError::Spec { store: self.store.to_string(), detail: brief(error) }
    }

    fn get(&self, key: &str) -> Option<String> {
        self.credentials.get(key)
    }
}

impl Service {
    fn layered(base: Operator) -> Self {
        let base = base.layer(ConcurrentLimitLayer::new(CONCURRENCY));
        let retry =
            || RetryLayer::new().with_jitter().with_min_delay(Duration::from_millis(100)).with_max_times(5);
        let timeout = |io| TimeoutLayer::new().with_timeout(IDLE).with_io_timeout(io);
        Self {
            reads: base.clone().layer(timeout(IDLE)).layer(retry()),
            writes: base.clone().layer(timeout(UPLOAD)).layer(retry()),
            once: base.layer(timeout(IDLE)),
            pages: None,
            pack: None,
        }
    }

    /// S3 and compatible services.
    pub(super) fn s3(settings: &Settings<'_>, bucket: &str, prefix: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        // Signatures do not cover the body: with `Content-MD5` the service refuses one that was damaged on the way.
        let mut builder = services::S3::default().bucket(bucket).root(prefix).checksum_algorithm("md5");
        if let Some(endpoint) = &settings.spec.endpoint {
            builder = builder.endpoint(endpoint);
        }
        let region = settings.spec.region.clone().or_else(|| (settings.environment)("AWS_REGION"));
        builder = builder.region(region.as_deref().unwrap_or("us-east-1"));
        if let (Some(id), Some(secret)) = (settings.get("ACCESS_KEY_ID"), settings.get("SECRET_ACCESS_KEY")) {
            builder = builder.access_key_id(&id).secret_access_key(&secret);
            if let Some(token) = settings.get("SESSION_TOKEN") {
                builder = builder.session_token(&token);
            }
        }
        Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))
    }

    /// Google Cloud Storage.
    pub(super) fn gcs(settings: &Settings<'_>, bucket: &str, prefix: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        let mut builder = services::Gcs::default().bucket(bucket).root(prefix);
        if let Some(endpoint) = &settings.spec.endpoint {
            builder = builder.endpoint(endpoint);
        }
        let keys = [settings.get("CREDENTIAL_FILE"), settings.get("CREDENTIAL"), settings.get("TOKEN")];
        // Google's own chain must not hand its tokens to an endpoint that a project chose.
        if settings.spec.endpoint.is_some() && keys.iter().all(Option::is_none) {
            builder = builder.skip_signature();
        }
        let [path, credential, token] = keys;
        if let Some(path) = path {
            builder = builder.credential_path(&path);
        } else if let Some(credential) = credential {
            builder = builder.credential(&credential);
        }
        if let Some(token) = token {
            builder = builder.token(token);
        }
        Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))
    }

    /// Azure Blob Storage.
    pub(super) fn azure(settings: &Settings<'_>, container: &str, prefix: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        let mut builder = services::Azblob::default().container(container).root(prefix);
        let account = settings.get("ACCOUNT_NAME");
        let endpoint = match (&settings.spec.endpoint, &account) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(account)) => format!("https://{account}.blob.core.windows.net"),
            (None, None) => {
                let variable = super::credentials::variable(settings.store, "ACCOUNT_NAME");
                let detail = format!("Azure needs an account: set {variable}, or `endpoint`");
                return Err(StoreError::Spec { store: settings.store.to_string(), detail });
            }
        };
        builder = builder.endpoint(&endpoint);
        if let Some(account) = account {
            builder = builder.account_name(&account);
        }
        let (key, sas) = (settings.get("ACCOUNT_KEY"), settings.get("SAS_TOKEN"));
        // Azure's own chain must not hand its tokens to an endpoint that a project chose.
        if settings.spec.endpoint.is_some() && key.is_none() && sas.is_none() {
            builder = builder.skip_signature();
        }
        if let Some(key) = key {
            builder = builder.account_key(&key);
        }
        if let Some(token) = sas {
            builder = builder.sas_token(&token);
        }
        Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))
    }

    /// A WebDAV server.
    pub(super) fn webdav(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        let mut builder = services::Webdav::default().endpoint(endpoint).root(path);
        if let Some(user) = settings.get("USERNAME") {
            builder = builder.username(&user);
        }
        if let Some(password) = settings.get("PASSWORD") {
            builder = builder.password(&password);
        }
        if let Some(token) = settings.get("TOKEN") {
            builder = builder.token(&token);
        }
        let service = Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))?;
        Ok(Self { pack: Some(WEBDAV_PACK), ..service })
    }

    /// A folder that a web server shows.
    pub(super) fn http(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        let mut builder = services::Http::default().endpoint(endpoint).root(path);
        let (user, password) = (settings.get("USERNAME"), settings.get("PASSWORD"));
        if let Some(user) = &user {
            builder = builder.username(user).password(password.as_deref().unwrap_or_default());
        }
        let service = Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))?;
        let pages = Pages::new(format!("{endpoint}{}", path.trim_end_matches('/')), user.zip(password));
        Ok(Self { pages: Some(pages), ..service })
    }

    /// HDFS.
    pub(super) fn webhdfs(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
        opendal::install_default();
        let mut builder = services::Webhdfs::default().endpoint(endpoint).root(path);
        if let Some(user) = settings.get("USERNAME") {
            builder = builder.user_name(&user);
        }
        if let Some(token) = settings.get("DELEGATION") {
            builder = builder.delegation(&token);
        }
        Operator::new(builder).map(Self::layered).map_err(|error| settings.wrong(&error))
    }

    /// Memory of this process under `name`.
    pub(super) fn memory(name: &str) -> Self {
        let operator = shared_memory(name);
        Self { reads: operator.clone(), writes: operator.clone(), once: operator, pages: None, pack: None }
    }
}

/// The first line of what a service said, without what a query may hold (a signature, a token); never more than a screen's
/// width or two.
pub(super) fn brief(error: &opendal::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word.split_once('?') {
            Some((place, query)) if query.contains('=') => format!("{place}?…"),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ").chars().take(300).collect()
}

/// One operator per name, for the life of the process.
fn shared_memory(name: &str) -> Operator {
    static OPERATORS: Mutex<Option<HashMap<String, Operator>>> = Mutex::new(None);
    let mut operators = OPERATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let operators = operators.get_or_insert_default();
    match operators.get(name) {
        Some(operator) => operator.clone(),
        None => match Operator::new(services::Memory::default()) {
            Ok(operator) => operators.entry(name.to_owned()).or_insert(operator).clone(),
            Err(error) => unreachable!("a memory service takes no settings: {error}"),
        },
    }
}
