//! Predictions on threads of their own. Requests that wait are computed together; at most so many wait, the rest is
//! refused at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::input::{Batch, Values};
use super::metrics::Metrics;
use super::{BatchSpec, Refusal, ServeError, Served, Signature};
use crate::base::caught;
use crate::platform::data::Inputs;
use crate::platform::train::{Prediction, TrainError};

/// Instances of one request computed between two looks at whether anybody still waits for the answer.
const CHUNK: usize = 64;

/// Predictions, and how long they were computed.
pub(super) struct Made {
    pub(super) count: usize,
    pub(super) inputs: Inputs,
    pub(super) predictions: Vec<Prediction>,
    /// Of the whole batch.
    pub(super) computing: Duration,
}

/// Where predictions are made.
pub(super) struct Engine {
    shared: Arc<Shared>,
    /// Requests that are read, wait or are computed.
    admitted: Arc<Semaphore>,
    /// Requests whose inputs are read on blocking threads.
    reading: Arc<Semaphore>,
}

/// What the threads share.
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Instances computed together, and how long the first of them waits for more.
    batch: BatchSpec,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// A request that waits for its predictions.
struct Job {
    served: Arc<Served>,
    count: usize,
    inputs: Inputs,
    answer: oneshot::Sender<Result<Made, Refusal>>,
    _admitted: OwnedSemaphorePermit,
}

impl Engine {
    /// Computes on `threads` threads and lets `queue` more requests wait.
    pub(super) fn start(
        threads: usize,
        queue: usize,
        batch: BatchSpec,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), batch, metrics });
        for index in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("predict-{index}"))
                .spawn(move || while shared.next().map(|jobs| shared.answer(jobs)).is_some() {})
                .map_err(|source| ServeError::System { action: "start threads", source })?;
        }
        let (admitted, reading) =
            (Arc::new(Semaphore::new(threads + queue)), Arc::new(Semaphore::new(threads)));
        Ok(Self { shared, admitted, reading })
    }

    /// Requests that wait for a thread now.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().waiting.len()
    }

    /// Reads the inputs with `read`, on a blocking thread if that takes long, and predicts.
    pub(super) async fn predict<T: Send + 'static>(
        &self,
        served: &Arc<Served>,
        long: bool,
        read: impl FnOnce(&Signature) -> Result<(T, Batch), Refusal> + Send + 'static,
    ) -> Result<(T, Made), Refusal> {
        let busy = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests wait already");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| busy())?;
        let (extra, (count, inputs)) = if long {
            let turn = Arc::clone(&self.reading).acquire_owned().await.map_err(|_| busy())?;
            let served = Arc::clone(served);
            let work = move || {
                let _turn = turn;
                read(&served.signature)
            };
            let read = tokio::task::spawn_blocking(work).await;
            read.unwrap_or_else(|_| Err(Refusal::internal("the request could not be read")))?
        } else {
            read(&served.signature)?
        };
        let (answer, answered) = oneshot::channel();
        self.shared.put(Job { served: Arc::clone(served), count, inputs, answer, _admitted: admitted });
        let made = answered.await.unwrap_or_else(|_| Err(Refusal::internal("the prediction failed")))?;
        Ok((extra, made))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: Job) {
        self.lock().waiting.push_back(job);
        // A thread that waits for more of its batch may be woken by what is none of its business.
        if self.batch.wait_ms == 0 { self.changed.notify_one() } else { self.changed.notify_all() }
    }

    /// The next requests to compute together: of one version, oldest first. None once the engine is gone.
    fn next(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        let first = loop {
            match queue.waiting.pop_front() {
                // Nobody waits for the answer any more.
                Some(job) if job.answer.is_closed() => {}
                Some(job) => break job,
                None if queue.closed => return None,
                None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let mut count = first.count;
        let mut jobs = vec![first];
        let until = Instant::now() + Duration::from_millis(self.batch.wait_ms);
        loop {
            self.gather(&mut queue.waiting, &mut jobs, &mut count);
            let left = until.saturating_duration_since(Instant::now());
            if count >= self.batch.max || left.is_zero() || queue.closed {
                return Some(jobs);
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Moves what fits into the batch of `jobs` from `waiting` to it.
    fn gather(&self, waiting: &mut VecDeque<Job>, jobs: &mut Vec<Job>, count: &mut usize) {
        let mut index = 0;
        while index < waiting.len() && *count < self.batch.max {
            let job = &waiting[index];
            let fits = Arc::ptr_eq(&job.served, &jobs[0].served) && *count + job.count <= self.batch.max;
            match fits.then(|| waiting.remove(index)).flatten() {
                Some(job) => {
                    *count += job.count;
                    jobs.push(job);
                }
                None => index += 1,
            }
        }
    }

    fn answer(&self, jobs: Vec<Job>) {
        self.metrics.batch(jobs.iter().map(|job| job.count).sum());
        let began = Instant::now();
        if jobs.len() > 1
            && let Ok(predictions) = together(&jobs)
        {
            let computing = began.elapsed();
            let mut predictions = predictions.into_iter();
            for job in jobs {
                let own: Vec<Prediction> = predictions.by_ref().take(job.count).collect();
                job.send(finite(own), computing);
            }
            return;
        }
        // One request that cannot be computed is no reason to refuse those beside it.
        for job in jobs {
            let began = Instant::now();
            let predictions = alone(&job).and_then(finite);
            job.send(predictions, began.elapsed());
        }
    }
}

impl Job {
    fn send(self, predictions: Result<Vec<Prediction>, Refusal>, computing: Duration) {
        let Self { count, inputs, answer, .. } = self;
        // A client that is gone gets nothing.
        let _ = answer.send(predictions.map(|predictions| Made { count, inputs, predictions, computing }));
    }
}

/// The predictions for all of them in one go.
fn together(jobs: &[Job]) -> Result<Vec<Prediction>, Refusal> {
    let served = &jobs[0].served;
    let mut values = Values::new(&served.signature);
    for job in jobs {
        values.append(&job.inputs).map_err(Refusal::internal)?;
    }
    let count = jobs.iter().map(|job| job.count).sum();
    run(served, count, &values.into_inputs())
}

/// The predictions for one of them, in pieces, given up when nobody waits for them any more.
fn alone(job: &Job) -> Result<Vec<Prediction>, Refusal> {
    if job.count <= CHUNK {
        return run(&job.served, job.count, &job.inputs);
    }
    let size = job.served.signature.size();
    let mut predictions = Vec::with_capacity(job.count);
    for start in (0..job.count).step_by(CHUNK) {
        if job.answer.is_closed() {
            return Err(Refusal::internal("nobody waits for the answer"));
        }
        let end = (start + CHUNK).min(job.count);
        let chunk = match &job.inputs {
            Inputs::U8(values) => Inputs::U8(Arc::new(values[start * size..end * size].to_vec())),
            Inputs::F32(values) => Inputs::F32(Arc::new(values[start * size..end * size].to_vec())),
        };
        predictions.extend(run(&job.served, end - start, &chunk)?);
    }
    Ok(predictions)
}

/// What the model says, one prediction per instance. A panic of a kernel is the request's failure, not the server's.
pub(super) fn run(served: &Served, count: usize, inputs: &Inputs) -> Result<Vec<Prediction>, Refusal> {
    let predictions = caught(|| served.model.predict(inputs))
        .map_err(|panic| Refusal::internal(format!("the prediction failed: {panic}")))?
        .map_err(|error| match error {
            TrainError::Input(_) => Refusal::input(error.to_string()),
            error => Refusal::internal(error.to_string()),
        })?;
    if predictions.len() == count {
        return Ok(predictions);
    }
    Err(Refusal::internal("the model did not answer for every instance"))
}

/// The predictions, if all of their numbers are finite.
pub(super) fn finite(predictions: Vec<Prediction>) -> Result<Vec<Prediction>, Refusal> {
    if predictions.iter().all(is_finite) {
        return Ok(predictions);
    }
    Err(Refusal::internal(NOT_FINITE))
}

/// Said of a prediction that is not [finite](is_finite).
pub(super) const NOT_FINITE: &str = "the model gave a value that is not finite";

/// Whether all numbers of a prediction are finite.
pub(super) fn is_finite(prediction: &Prediction) -> bool {
    prediction.value.is_none_or(f32::is_finite)
        && prediction.probabilities.iter().all(|value| value.is_finite())
}
