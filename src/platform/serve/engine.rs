//! Predictions on blocking threads: at most so many at once, at most so many waiting, the rest refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::{Refusal, Served, Signature};
use crate::platform::data::Inputs;
use crate::platform::train::Prediction;

/// Instances computed between two looks at whether anybody still waits for the answer.
const CHUNK: usize = 64;

/// Predictions and what they were made from.
pub(super) struct Made {
    pub(super) count: usize,
    pub(super) inputs: Inputs,
    pub(super) predictions: Vec<Prediction>,
}

/// Where predictions are made. Dynamic batching belongs behind this type's one method.
pub(super) struct Engine {
    served: Arc<Served>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Engine {
    /// Runs `threads` predictions at once and lets `queue` more wait.
    pub(super) fn new(served: Arc<Served>, threads: usize, queue: usize) -> Self {
        let running = Arc::new(Semaphore::new(threads));
        Self { served, running, admitted: Arc::new(Semaphore::new(threads + queue)) }
    }

    /// The version that answers now. A request asks once and keeps it to its end, so that following a stage can
    /// swap it between requests.
    pub(super) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Reads the inputs with `read` and predicts, both on a blocking thread.
    pub(super) async fn predict<T: Send + 'static>(
        &self,
        served: &Arc<Served>,
        read: impl FnOnce(&Signature) -> Result<(T, usize, Inputs), Refusal> + Send + 'static,
    ) -> Result<(T, Made), Refusal> {
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests wait already");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        let served = Arc::clone(served);
        let abandoned = Abandoned::default();
        let stop = Arc::clone(&abandoned.0);
        let work = move || {
            let _permits = (admitted, running);
            let (extra, count, inputs) = read(&served.signature)?;
            let predictions = predict(&served, count, &inputs, &stop)?;
            Ok((extra, Made { count, inputs, predictions }))
        };
        let result = tokio::task::spawn_blocking(work).await;
        drop(abandoned);
        result.unwrap_or_else(|_| Err(Refusal::internal("the prediction failed")))
    }
}

/// Says so when the future that waits for an answer is dropped.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn predict(
    served: &Served,
    count: usize,
    inputs: &Inputs,
    stop: &AtomicBool,
) -> Result<Vec<Prediction>, Refusal> {
    let size = served.signature.size();
    let mut predictions = Vec::with_capacity(count);
    for start in (0..count).step_by(CHUNK) {
        if stop.load(Ordering::Relaxed) {
            return Err(Refusal::internal("nobody waits for the answer"));
        }
        let range = start * size..(start + CHUNK).min(count) * size;
        let chunk = match inputs {
            Inputs::U8(values) => Inputs::U8(Arc::new(values[range].to_vec())),
            Inputs::F32(values) => Inputs::F32(Arc::new(values[range].to_vec())),
        };
        predictions
            .extend(served.model.predict(&chunk).map_err(|error| Refusal::internal(error.to_string()))?);
    }
    let finite = |p: &Prediction| {
        p.value.is_none_or(f32::is_finite) && p.probabilities.iter().all(|value| value.is_finite())
    };
    if predictions.len() != count || !predictions.iter().all(finite) {
        return Err(Refusal::internal("the model gave a value that is not finite"));
    }
    Ok(predictions)
}
