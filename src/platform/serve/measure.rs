//! How long a model takes for one example.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ServeError;
use crate::base::Latency;
use crate::platform::data::Inputs;
use crate::platform::train::Model;

/// Predictions before the first that is timed.
const WARM_UP: usize = 20;
/// Timed predictions: at least, and at most.
const FEWEST: usize = 100;
const MOST: usize = 2000;
/// No more are begun after this long, once there are enough.
const LONG: Duration = Duration::from_secs(3);

/// Times predictions of one example each: how many were timed, and quantiles of their seconds. The example is made up; how long
/// a network takes does not depend on what it sees.
pub fn measure(model: &Model) -> Result<(u64, Latency), ServeError> {
    let length: usize = model.shape.iter().product();
    let input = match model.pixels {
        true => Inputs::U8(Arc::new((0..length).map(|index| (index * 37 % 256) as u8).collect())),
        // Zero is a number of any column, and a token of any text.
        false => Inputs::F32(Arc::new(vec![0.0; length])),
    };
    for _ in 0..WARM_UP {
        model.predict(&input)?;
    }
    let begin = Instant::now();
    let mut times = Vec::with_capacity(MOST);
    while times.len() < FEWEST || (times.len() < MOST && begin.elapsed() < LONG) {
        let start = Instant::now();
        model.predict(&input)?;
        times.push(start.elapsed().as_secs_f64());
    }
    // There are some: no fewer than `FEWEST`.
    let latency = Latency::of(&times).unwrap_or(Latency { p50: f64::MAX, p95: f64::MAX, p99: f64::MAX });
    Ok((times.len() as u64, latency))
}
