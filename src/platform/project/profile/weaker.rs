//! Whether a gate asks for less than another of the same kind.

use crate::base::Slice;
use crate::platform::model::{
    Approvals, AtLeast, Bound, Budget, Compare, GateSpec, MetricGate, Placeholders, SeedGate,
};

/// In what `own` asks for less than `profile`, if it does.
pub(super) fn weaker(profile: &GateSpec, own: &GateSpec) -> Option<String> {
    match (profile, own) {
        (GateSpec::Metric(want), GateSpec::Metric(have)) => weaker_metric(want, have),
        (GateSpec::Compare(want), GateSpec::Compare(have)) => weaker_comparison(want, have),
        (GateSpec::Slices(want), GateSpec::Slices(have)) => differs("metric", &want.metric, &have.metric)
            .or_else(|| differs("part", &want.on, &have.on))
            .or_else(|| weaker_by("slices", want.by.as_deref(), have.by.as_deref()))
            .or_else(|| below("min", Some(want.min), Some(have.min))),
        (GateSpec::Code(_), GateSpec::Code(_)) => None,
        (GateSpec::Reproduce(want), GateSpec::Reproduce(have)) => {
            let more = have.tolerance > want.tolerance;
            more.then(|| format!("`tolerance` is {}, not {}", have.tolerance, want.tolerance))
        }
        (GateSpec::Expectations(want), GateSpec::Expectations(have))
        | (GateSpec::Leakage(want), GateSpec::Leakage(have)) => {
            differs("dataset", want.as_str(), have.as_str())
        }
        (GateSpec::ModelCard(want), GateSpec::ModelCard(have)) => {
            weaker_page(&want.fields, want.placeholders, &have.fields, have.placeholders)
        }
        (GateSpec::Approvals(want), GateSpec::Approvals(have)) => weaker_approvals(want, have),
        (GateSpec::Command(want), GateSpec::Command(have)) => differs("command", want, have),
        (GateSpec::Budget(want), GateSpec::Budget(have)) => weaker_budget(want, have),
        (GateSpec::Inputs(_), GateSpec::Inputs(_))
        | (GateSpec::Licence(_), GateSpec::Licence(_))
        | (GateSpec::Attestation(_), GateSpec::Attestation(_)) => None,
        (GateSpec::Seed(want), GateSpec::Seed(have)) => weaker_seed(want, have),
        (GateSpec::Calibration(want), GateSpec::Calibration(have)) => differs("part", &want.on, &have.on)
            .or_else(|| above("max", Some(want.max), Some(have.max)))
            .or_else(|| looser(false, want.bound, have.bound)),
        (GateSpec::Groups(want), GateSpec::Groups(have)) => differs("metric", &want.metric, &have.metric)
            .or_else(|| differs("part", &want.on, &have.on))
            .or_else(|| weaker_by("groups", want.by.as_deref(), have.by.as_deref()))
            .or_else(|| above("max_difference", Some(want.max_difference), Some(have.max_difference)))
            .or_else(|| {
                let fewer = have.min_examples > want.min_examples;
                fewer.then(|| format!("groups under {} examples are left out", have.min_examples))
            }),
        (GateSpec::Latency(want), GateSpec::Latency(have)) => {
            let other = want.device.is_some() && want.device != have.device;
            above("p95_ms", Some(want.p95_ms), Some(have.p95_ms))
                .or_else(|| other.then(|| "it may be another device".to_owned()))
        }
        (GateSpec::Serve(want), GateSpec::Serve(have)) => differs("golden file", &want.golden, &have.golden)
            .or_else(|| above("max_abs_diff", Some(want.max_abs_diff), Some(have.max_abs_diff)))
            .or_else(|| above("p95_ms", want.p95_ms, have.p95_ms)),
        (GateSpec::RollbackDrill(want), GateSpec::RollbackDrill(have)) => {
            let stage = |gate: &crate::platform::model::RollbackDrill| {
                gate.stage.as_ref().map_or("the gate's own", crate::base::Name::as_str).to_owned()
            };
            differs("stage", &stage(want), &stage(have))
                .or_else(|| above("max_seconds", want.max_seconds, have.max_seconds))
                .or_else(|| above("max_days", want.max_days.map(f64::from), have.max_days.map(f64::from)))
        }
        (GateSpec::Shadow(want), GateSpec::Shadow(have)) => {
            let stage = have.stage.as_ref().filter(|stage| want.stage.as_ref() != Some(stage));
            stage
                .map(|stage| format!("the stage is `{stage}`"))
                .or_else(|| below("requests", Some(want.requests as f64), Some(have.requests as f64)))
                .or_else(|| {
                    above("max_disagreement", Some(want.max_disagreement), Some(have.max_disagreement))
                })
                .or_else(|| {
                    above("max_failures", Some(want.max_failures as f64), Some(have.max_failures as f64))
                })
                .or_else(|| above("max_latency_ratio", want.max_latency_ratio, have.max_latency_ratio))
        }
        (GateSpec::Size(want), GateSpec::Size(have)) => {
            (have.max > want.max).then(|| format!("max {} is weaker than {}", have.max, want.max))
        }
        (GateSpec::DataCard(want), GateSpec::DataCard(have)) => {
            let data = have.data.as_ref().filter(|data| want.data.as_ref() != Some(data));
            data.map(|data| format!("the dataset is `{data}`"))
                .or_else(|| weaker_page(&want.fields, want.placeholders, &have.fields, have.placeholders))
        }
        (GateSpec::Charter(want), GateSpec::Charter(have)) => differs("file", &want.path, &have.path)
            .or_else(|| differs("section of the criteria", &want.criteria, &have.criteria))
            .or_else(|| weaker_page(&want.fields, want.placeholders, &have.fields, have.placeholders)),
        _ => Some("it is another kind of gate".to_owned()),
    }
}

/// Whether other slices are looked at. Without `by` they are all but those of corruptions.
fn weaker_by(what: &str, want: Option<&str>, have: Option<&str>) -> Option<String> {
    match (want, have) {
        (want, have) if want == have => None,
        (_, Some(by)) => Some(format!("only the {what} by `{by}` are looked at")),
        (Some(by), None) if by == Slice::CORRUPTION => {
            Some(format!("the {what} by `{by}` are not looked at"))
        }
        (_, None) => None,
    }
}

fn weaker_metric(want: &MetricGate, have: &MetricGate) -> Option<String> {
    differs("metric", &want.name, &have.name)
        .or_else(|| differs("part", &want.on, &have.on))
        .or_else(|| below("min", want.min, have.min))
        .or_else(|| above("max", want.max, have.max))
        .or_else(|| want.min.and_then(|_| looser(true, want.bound, have.bound)))
        .or_else(|| want.max.and_then(|_| looser(false, want.bound, have.bound)))
}

fn weaker_comparison(want: &Compare, have: &Compare) -> Option<String> {
    // A smaller alpha finds fewer models worse, and fewer better.
    let easier = match have.require {
        AtLeast::NotWorse => have.alpha < want.alpha,
        AtLeast::Better => want.require == AtLeast::Better && have.alpha > want.alpha,
    };
    differs("stage", want.to.as_str(), have.to.as_str())
        .or_else(|| differs("metric", &want.metric, &have.metric))
        .or_else(|| {
            let less = (want.require, have.require) == (AtLeast::Better, AtLeast::NotWorse);
            less.then(|| "`not_worse` asks for less than `better`".to_owned())
        })
        .or_else(|| easier.then(|| format!("alpha {} is easier to pass than {}", have.alpha, want.alpha)))
}

fn weaker_approvals(want: &Approvals, have: &Approvals) -> Option<String> {
    differs("role", want.role.as_str(), have.role.as_str())
        .or_else(|| {
            (have.count < want.count).then(|| format!("{} of role `{}` are too few", have.count, have.role))
        })
        .or_else(|| match (&want.also, &have.also) {
            (None, _) => None,
            (Some(want), None) => Some(format!("nobody of role `{}` is asked", want.role)),
            (Some(want), Some(have)) => weaker_approvals(want, have),
        })
}

fn differs(what: &str, want: &str, have: &str) -> Option<String> {
    (want != have).then(|| format!("the {what} is `{have}`, not `{want}`"))
}

/// Whether another end of the interval is easier to pass with: of a minimum, or of a maximum.
fn looser(minimum: bool, want: Bound, have: Bound) -> Option<String> {
    // Against a minimum the lower end asks for most, against a maximum the upper end.
    let rank = |bound: Bound| match (bound, minimum) {
        (Bound::Lower95, true) | (Bound::Upper95, false) => 2,
        (Bound::Value, _) => 1,
        _ => 0,
    };
    let easier = rank(have) < rank(want);
    easier.then(|| "the bound is on a more favourable end of the interval".to_owned())
}

fn weaker_page(
    want: &[String],
    want_placeholders: Placeholders,
    have: &[String],
    have_placeholders: Placeholders,
) -> Option<String> {
    let missing = want.iter().find(|field| !have.contains(field));
    let allowed = (want_placeholders, have_placeholders) == (Placeholders::Forbid, Placeholders::Allow);
    missing
        .map(|field| format!("the field `{field}` is not asked for"))
        .or_else(|| allowed.then(|| "placeholders are allowed".to_owned()))
}

fn weaker_budget(want: &Budget, have: &Budget) -> Option<String> {
    above("gpu_hours", want.gpu_hours, have.gpu_hours)
        .or_else(|| above("hours", want.hours, have.hours))
        .or_else(|| above("cost", want.cost, have.cost))
        .or_else(|| {
            let other = want.currency.is_some() && want.currency != have.currency;
            other.then(|| "the cost is in another currency".to_owned())
        })
        .or_else(|| above("kwh", want.kwh, have.kwh))
}

fn weaker_seed(want: &SeedGate, have: &SeedGate) -> Option<String> {
    let fewer = have.count < want.count;
    fewer
        .then(|| format!("{} seeds are too few", have.count))
        .or_else(|| {
            let metric = want.metric.as_ref()?;
            differs("metric", metric, have.metric.as_deref().unwrap_or("none"))
        })
        .or_else(|| above("spread", want.spread, have.spread))
}

/// Whether a lower limit went down or away.
fn below(what: &str, want: Option<f64>, have: Option<f64>) -> Option<String> {
    limit(what, want?, have, |want, have| have >= want)
}

/// Whether an upper limit went up or away.
fn above(what: &str, want: Option<f64>, have: Option<f64>) -> Option<String> {
    limit(what, want?, have, |want, have| have <= want)
}

fn limit(what: &str, want: f64, have: Option<f64>, holds: fn(f64, f64) -> bool) -> Option<String> {
    match have {
        None => Some(format!("`{what}` is missing")),
        Some(have) if holds(want, have) => None,
        Some(have) => Some(format!("{what} {have} is weaker than {want}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gate(value: Value) -> GateSpec {
        serde_json::from_value(value).expect("is a gate")
    }

    #[test]
    fn what_asks_for_less_is_named_for_every_kind() {
        for (want, have, why) in [
            (json!({"seed": {"count": 3}}), json!({"seed": {"count": 2}}), "2 seeds are too few"),
            (
                json!({"seed": {"metric": "val.loss", "spread": 0.1}}),
                json!({"seed": {}}),
                "the metric is `none`, not `val.loss`",
            ),
            (
                json!({"calibration": {"max": 0.1}}),
                json!({"calibration": {"max": 0.1, "bound": "value"}}),
                "the bound is on a more favourable end of the interval",
            ),
            (
                json!({"groups": {"metric": "accuracy", "max_difference": 0.1}}),
                json!({"groups": {"metric": "accuracy", "max_difference": 0.1, "min_examples": 100}}),
                "groups under 100 examples are left out",
            ),
            (
                json!({"size": {"max": "1MiB"}}),
                json!({"size": {"max": "2MiB"}}),
                "max 2MiB is weaker than 1MiB",
            ),
            (
                json!({"latency": {"p95_ms": 5.0, "device": "avx512"}}),
                json!({"latency": {"p95_ms": 4.0}}),
                "it may be another device",
            ),
            (
                json!({"serve": {"golden": "g", "p95_ms": 5.0}}),
                json!({"serve": {"golden": "g"}}),
                "`p95_ms` is missing",
            ),
            (
                json!({"shadow": {"requests": 100}}),
                json!({"shadow": {"requests": 10}}),
                "requests 10 is weaker than 100",
            ),
            (
                json!({"rollback_drill": {"max_days": 3}}),
                json!({"rollback_drill": {"max_days": 4}}),
                "max_days 4 is weaker than 3",
            ),
            (
                json!({"data_card": {"fields": ["source"]}}),
                json!({"data_card": {}}),
                "the field `source` is not asked for",
            ),
            (
                json!({"charter": {}}),
                json!({"charter": {"placeholders": "allow"}}),
                "placeholders are allowed",
            ),
            (
                json!({"charter": {}}),
                json!({"charter": {"path": "docs/other.md"}}),
                "the file is `docs/other.md`, not `docs/charter.md`",
            ),
            (
                json!({"charter": {}}),
                json!({"charter": {"criteria": "people"}}),
                "the section of the criteria is `people`, not `what_success_is`",
            ),
            (
                json!({"slices": {"metric": "accuracy", "by": "corruption", "min": 0.5}}),
                json!({"slices": {"metric": "accuracy", "min": 0.9}}),
                "the slices by `corruption` are not looked at",
            ),
            (
                json!({"groups": {"metric": "accuracy", "by": "corruption", "max_difference": 0.1}}),
                json!({"groups": {"metric": "accuracy", "max_difference": 0.1}}),
                "the groups by `corruption` are not looked at",
            ),
            (json!({"budget": {"kwh": 1.0}}), json!({"budget": {"kwh": 2.0}}), "kwh 2 is weaker than 1"),
            (json!({"inputs": "pinned"}), json!({"code": "committed"}), "it is another kind of gate"),
        ] {
            let (want, have) = (gate(want), gate(have));
            assert_eq!(weaker(&want, &have).as_deref(), Some(why));
            assert_eq!(weaker(&want, &want), None, "the same asks for as much");
        }
    }
}
