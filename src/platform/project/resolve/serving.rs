//! What `serve:` may say.

use super::{Checked, Wrong, at, between, index};
use crate::platform::serve::{AbortRule, ServeSpec};

/// Checks the settings of the server, which stand at `path`.
pub(super) fn serve(path: &[&str], spec: &ServeSpec) -> Checked {
    let one = "write a number from 1 on";
    between(&at(path, &["batch", "max"]), spec.batch.max as f64, 1.0..=65_536.0, one)?;
    between(
        &at(path, &["batch", "wait_ms"]),
        spec.batch.wait_ms as f64,
        0.0..=1000.0,
        "a second is the most",
    )?;
    between(&at(path, &["tolerance"]), spec.tolerance, 0.0..=1.0, "a share is between 0 and 1")?;
    let canary = &spec.canary;
    let path = at(path, &["canary"]);
    let window = canary.window as f64;
    between(&at(&path, &["window"]), window, 1.0..=1_000_000.0, one)?;
    let hint = "no rule counts before so many requests: write a number from 1 to `window`";
    between(&at(&path, &["min_requests"]), canary.min_requests as f64, 1.0..=window, hint)?;
    for (i, rule) in canary.abort.iter().enumerate() {
        let (i, max) = (index(i), rule.max());
        let path = at(&path, &["abort", &i, rule.name(), "max"]);
        match rule {
            AbortRule::ErrorRate(_) | AbortRule::Disagreement(_) => {
                between(&path, max, 0.0..=1.0, "a share is between 0 and 1")?;
            }
            AbortRule::P95Ratio(_) if max > 0.0 && max.is_finite() => {}
            AbortRule::P95Ratio(_) => {
                return Err(Wrong::value(&path, format!("{max} is out of range"), "2 is twice as slow"));
            }
        }
    }
    Ok(())
}
