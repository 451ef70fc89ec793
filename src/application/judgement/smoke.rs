//! Asking a real server what a golden file asks.

use serde_json::Value;

use super::{Judging, trusted};
use crate::application::rehearsal::Rehearsal;
use crate::base::{Digest, Failure, Latency, Smoke};
use crate::hardware::{device_line, facts};
use crate::platform::model::{Candidate, ModelError, golden};

/// Starts a server of the candidate and asks it what the golden file at `path` of the trust branch asks.
///
/// # Errors
/// If the file is no golden file, or the server does not start or does not answer. Wrong answers are none.
pub(super) fn ask(judging: &Judging<'_>, candidate: &Candidate<'_>, path: &str) -> Result<Smoke, Failure> {
    let page = trusted::page(judging, path)?;
    let text = page.text.unwrap_or_default();
    let lines = golden(&text).map_err(|why| ModelError::Golden { path: path.to_owned(), why })?;
    let version = candidate.version;
    let server = Rehearsal::start(&judging.project.root, candidate.history.model(), version.number)?;
    // The first answer takes longer; nobody is served by it.
    server.predict(&lines[0].request)?;
    let (mut times, mut wrong, mut first_wrong, mut farthest) = (Vec::new(), 0, None, 0.0_f64);
    for (index, line) in lines.iter().enumerate() {
        let answer = server.predict(&line.request)?;
        times.push(answer.time.as_secs_f64());
        let distance = match answer.status {
            200 => distance(&line.answer.predictions, &answer.body["predictions"], "predictions"),
            status => Err(format!("status {status}: {}", short(&answer.body))),
        };
        match distance {
            Ok(distance) => farthest = farthest.max(distance),
            Err(why) => {
                wrong += 1;
                first_wrong.get_or_insert(format!("line {}: {why}", index + 1));
            }
        }
    }
    // A golden file has lines: there are some.
    let latency = Latency::of(&times).unwrap_or(Latency { p50: f64::MAX, p95: f64::MAX, p99: f64::MAX });
    Ok(Smoke {
        model: version.tree,
        golden: Digest::of(text.as_bytes()),
        requests: lines.len() as u64,
        wrong,
        first_wrong,
        max_abs_diff: farthest,
        latency,
        device: device_line(),
        host: facts::host(),
    })
}

/// The largest distance between numbers at the same place, or where the two are not alike. What only `found` has does not count.
fn distance(wanted: &Value, found: &Value, place: &str) -> Result<f64, String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(all)) => {
            let mut farthest = 0.0_f64;
            for (key, wanted) in wanted {
                let at = format!("{place}.{key}");
                let found = all.get(key).ok_or_else(|| format!("{at} is missing"))?;
                farthest = farthest.max(distance(wanted, found, &at)?);
            }
            Ok(farthest)
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut farthest = 0.0_f64;
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                farthest = farthest.max(distance(wanted, found, &format!("{place}[{index}]"))?);
            }
            Ok(farthest)
        }
        (Value::Number(wanted), Value::Number(found)) => {
            Ok((wanted.as_f64().unwrap_or(f64::NAN) - found.as_f64().unwrap_or(f64::NAN)).abs())
        }
        (wanted, found) if wanted == found => Ok(0.0),
        (wanted, found) => Err(format!("{place} is {}, not {}", short(found), short(wanted))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_a_distance_and_all_else_is_the_same_or_not() {
        let wanted = json!([{"label": "3", "probabilities": [0.25, 0.75]}]);
        let close = json!([{"label": "3", "probabilities": [0.375, 0.625], "key": "k"}]);
        assert_eq!(distance(&wanted, &close, "p"), Ok(0.125));
        for (found, why) in [
            (json!([{"label": "4", "probabilities": [0.25, 0.75]}]), "p[0].label is \"4\", not \"3\""),
            (json!([{"probabilities": [0.25, 0.75]}]), "p[0].label is missing"),
            (
                json!([{"label": "3", "probabilities": [0.25]}]),
                "p[0].probabilities is [0.25], not [0.25,0.75]",
            ),
            (json!(null), "p is null, not [{\"label\":\"3\",\"probabilities\":[0.25,0.75]}]"),
        ] {
            assert_eq!(distance(&wanted, &found, "p"), Err(why.to_owned()));
        }
    }
}
