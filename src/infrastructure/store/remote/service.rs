//! The opendal operators of a store: timeouts inside, retries outside, a limit on concurrency.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opendal::layers::{ConcurrentLimitLayer, RetryLayer, TimeoutLayer};
use opendal::{Operator, services};

use crate::base::Name;
use crate::infrastructure::store::{StoreError, StoreSpec};

/// Requests under way at once, at most.
const CONCURRENCY: usize = 64;
/// How long a service may be silent while it is read from or listed.
const IDLE: Duration = Duration::from_secs(60);
/// How long one pack (at most 64 MiB, in one request) may take to be taken: 15 minutes are 73 KiB a second.
const UPLOAD: Duration = Duration::from_secs(900);

/// One service, seen in three ways.
pub(super) struct Service {
    /// For reading and listing: idle timeout, retries.
    pub(super) reads: Operator,
    /// For content-addressed objects: a long timeout, retries, for a second write changes nothing.
    pub(super) writes: Operator,
    /// For create-if-absent: timeout and no retries, for a retried success looks like a defeat.
    pub(super) once: Operator,
}

impl Service {
    /// Connects lazily: nothing is sent before the first operation.
    pub(super) fn s3(
        store: &Name,
        spec: &StoreSpec,
        bucket: &str,
        prefix: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StoreError> {
        let base = s3(store, spec, bucket, prefix, environment)
            .map_err(|error| StoreError::Spec { store: store.to_string(), detail: brief(&error) })?;
        let base = base.layer(ConcurrentLimitLayer::new(CONCURRENCY));
        let retry =
            || RetryLayer::new().with_jitter().with_min_delay(Duration::from_millis(200)).with_max_times(5);
        let timeout = |io| TimeoutLayer::new().with_timeout(IDLE).with_io_timeout(io);
        Ok(Self {
            reads: base.clone().layer(timeout(IDLE)).layer(retry()),
            writes: base.clone().layer(timeout(UPLOAD)).layer(retry()),
            once: base.layer(timeout(IDLE)),
        })
    }

    /// Memory of this process under `name`.
    pub(super) fn memory(name: &str) -> Self {
        let operator = shared_memory(name);
        Self { reads: operator.clone(), writes: operator.clone(), once: operator }
    }
}

/// The first line of what a service said; never more than a screen's width or two.
pub(super) fn brief(error: &opendal::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(300).collect()
}

fn s3(
    store: &Name,
    spec: &StoreSpec,
    bucket: &str,
    prefix: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> opendal::Result<Operator> {
    opendal::install_default();
    let variable = |key: &str| {
        let store = store.as_str().to_ascii_uppercase().replace('-', "_");
        environment(&format!("{}{store}_{key}", crate::base::variables::STORE_PREFIX))
            .filter(|value| !value.is_empty())
    };
    let mut builder = services::S3::default().bucket(bucket).root(prefix);
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.endpoint(endpoint);
    }
    let region = spec.region.clone().or_else(|| environment("AWS_REGION"));
    builder = builder.region(region.as_deref().unwrap_or("us-east-1"));
    if let (Some(id), Some(secret)) = (variable("ACCESS_KEY_ID"), variable("SECRET_ACCESS_KEY")) {
        builder = builder.access_key_id(&id).secret_access_key(&secret);
        if let Some(token) = variable("SESSION_TOKEN") {
            builder = builder.session_token(&token);
        }
    }
    Operator::new(builder)
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
