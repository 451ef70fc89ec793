//! The opendal operators of a store: the transport (timeouts, limits) inside, retries outside. And what a service cannot do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opendal::layers::RetryLayer;
use opendal::{HttpTransporter, OperationContext, Operator, services};

use super::credentials::Credentials;
use super::pages::Pages;
use super::rate::Pace;
use super::transport::Transport;
use crate::base::Name;
use crate::infrastructure::store::{StoreError, StoreSpec};

/// For how long nothing may move between us and a service, unless the store's `timeout` says otherwise.
const IDLE: Duration = Duration::from_secs(30);
/// How often a request is repeated, and after how long: 0.1, 0.2, …, 1.6 and four times 3 seconds, each with as much again by chance.
pub(super) const RETRIES: usize = 9;
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(100);
pub(super) const LAST_DELAY: Duration = Duration::from_secs(3);
/// Packs for WebDAV servers are smaller: many of them refuse larger bodies, or buffer them.
const WEBDAV_PACK: usize = 8 << 20;

/// One service, seen in two ways.
pub(super) struct Service {
    /// For reading, listing, and objects whose name follows from their content: with retries, for a second write changes nothing.
    pub(super) again: Operator,
    /// For create-if-absent: without retries, for a retried success looks like a defeat.
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
    pub(super) pace: Pace,
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
    /// A service that `builder` makes.
    fn new(settings: &Settings<'_>, builder: impl opendal::Builder) -> Result<Self, StoreError> {
        let idle = settings.spec.timeout.map_or(IDLE, |seconds| Duration::from_secs(seconds.get().into()));
        let transport = Transport::new(settings.store.as_str(), settings.pace.clone(), idle);
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
        let once = Operator::new(builder).map_err(|error| settings.wrong(&error))?.with_context(context);
        let retry = RetryLayer::new()
            .with_jitter()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LAST_DELAY)
            .with_max_times(RETRIES);
        Ok(Self { again: once.clone().layer(retry), once, pages: None, pack: None })
    }

    /// S3 and compatible services.
    pub(super) fn s3(settings: &Settings<'_>, bucket: &str, prefix: &str) -> Result<Self, StoreError> {
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
        Self::new(settings, builder)
    }

    /// Google Cloud Storage.
    pub(super) fn gcs(settings: &Settings<'_>, bucket: &str, prefix: &str) -> Result<Self, StoreError> {
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
        Self::new(settings, builder)
    }

    /// Azure Blob Storage.
    pub(super) fn azure(settings: &Settings<'_>, container: &str, prefix: &str) -> Result<Self, StoreError> {
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
        Self::new(settings, builder)
    }

    /// A WebDAV server.
    pub(super) fn webdav(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
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
        Ok(Self { pack: Some(WEBDAV_PACK), ..Self::new(settings, builder)? })
    }

    /// A folder that a web server shows.
    pub(super) fn http(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
        let mut builder = services::Http::default().endpoint(endpoint).root(path);
        let (user, password) = (settings.get("USERNAME"), settings.get("PASSWORD"));
        if let Some(user) = &user {
            builder = builder.username(user).password(password.as_deref().unwrap_or_default());
        }
        let service = Self::new(settings, builder)?;
        let pages = Pages::new(
            format!("{endpoint}{}", path.trim_end_matches('/')),
            user.zip(password),
            service.again.context(),
        );
        Ok(Self { pages: Some(pages), ..service })
    }

    /// HDFS.
    pub(super) fn webhdfs(settings: &Settings<'_>, endpoint: &str, path: &str) -> Result<Self, StoreError> {
        let mut builder = services::Webhdfs::default().endpoint(endpoint).root(path);
        if let Some(user) = settings.get("USERNAME") {
            builder = builder.user_name(&user);
        }
        if let Some(token) = settings.get("DELEGATION") {
            builder = builder.delegation(&token);
        }
        Self::new(settings, builder)
    }

    /// Memory of this process under `name`.
    pub(super) fn memory(name: &str) -> Self {
        let operator = shared_memory(name);
        Self { again: operator.clone(), once: operator, pages: None, pack: None }
    }
}

/// What a service said, without what a query may hold (a signature, a token); never more than a screen's width or two.
pub(super) fn brief(error: &opendal::Error) -> String {
    let mut text = error.message().trim().to_owned();
    if let Some(source) = std::error::Error::source(error) {
        text += &format!(": {source}");
    }
    if text.is_empty() {
        // Only the context knows the status of an answer without a body.
        let whole = error.to_string();
        let status = whole.split_once("status: ").and_then(|(_, rest)| rest.get(..3));
        text = status
            .map_or_else(|| error.kind().to_string(), |status| format!("answered with status {status}"));
    }
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
