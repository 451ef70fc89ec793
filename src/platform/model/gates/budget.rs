//! `budget: {…}`: what the run that made the version used.

use super::{Case, Finding};
use crate::base::Run;
use crate::platform::model::Budget;

pub(super) const MEANING: &str = "What the run that made the model used is in its record: hours with GPUs and with machines, kWh where \
     its host measures them, the cost where its host has a price. Each must be within its bound, over all attempts of the run. \
     What was not counted is unknown, unless what was counted is too much already.";

const NO_ENERGY: &str = "nobody measured its energy";
const NO_PRICE: &str = "its host has no price";
const OTHER_CURRENCY: &str = "its cost is in another currency";

/// One bound: the most, its unit, and how much it was or why that is not known.
struct Bound {
    most: f64,
    unit: String,
    used: Result<f64, &'static str>,
}

pub(super) fn wanted(gate: &Budget) -> String {
    let currency = gate.currency.clone().unwrap_or_else(|| "of any currency".to_owned());
    let bounds = [
        (gate.gpu_hours, "GPU hours".to_owned()),
        (gate.hours, "hours".to_owned()),
        (gate.cost, currency),
        (gate.kwh, "kWh".to_owned()),
    ];
    let bounds: Vec<String> =
        bounds.into_iter().filter_map(|(most, unit)| Some(format!("{} {unit}", most?))).collect();
    format!("at most {}", bounds.join(", "))
}

fn bounds(gate: &Budget, run: &Run) -> Vec<Bound> {
    let usage = run.end.usage.as_ref();
    let used = |value: Option<f64>| value.ok_or("the run does not tell what it used");
    let kwh = match usage {
        None => Err("the run does not tell what it used"),
        Some(usage) => usage.kwh().ok_or(NO_ENERGY),
    };
    let (cost, unit) = match &run.cost {
        None => (Err(NO_PRICE), gate.currency.clone().unwrap_or_default()),
        Some(cost) if gate.currency.as_ref().is_some_and(|currency| *currency != cost.currency) => {
            (Err(OTHER_CURRENCY), cost.currency.clone())
        }
        Some(cost) => (Ok(cost.amount), cost.currency.clone()),
    };
    let bounds = [
        (gate.gpu_hours, "GPU hours".to_owned(), used(usage.map(|usage| usage.gpu_hours))),
        (gate.hours, "hours".to_owned(), used(usage.map(|usage| usage.hours))),
        (gate.cost, unit, cost),
        (gate.kwh, "kWh".to_owned(), kwh),
    ];
    bounds.into_iter().filter_map(|(most, unit, used)| Some(Bound { most: most?, unit, used })).collect()
}

pub(super) fn find(gate: &Budget, case: &Case<'_>) -> Finding {
    let Some((id, run)) = &case.candidate.run else {
        return super::no_run();
    };
    let run = &run.body;
    let bounds = bounds(gate, run);
    let shown = |bound: &Bound| match bound.used {
        Ok(used) => format!("{} {}", short(used), bound.unit),
        Err(why) => why.to_owned(),
    };
    let mut observed: Vec<String> = bounds.iter().map(shown).collect();
    observed.dedup();
    let observed = observed.join(", ");
    let counted = run.end.usage.as_ref().map_or(0, |usage| usage.attempts);
    let finding = if bounds.iter().any(|bound| bound.used.is_ok_and(|used| used > bound.most)) {
        Finding::decided(false, observed).next(super::another(case))
    } else if let Some(why) = bounds.iter().find_map(|bound| bound.used.err()) {
        let again = super::trained(case, "--force ");
        let next = match why {
            NO_ENERGY => format!("{again}  # on a host that measures its energy"),
            NO_PRICE => format!("{again}  # on a host with a `price:` (mlp host add)"),
            OTHER_CURRENCY => format!("{again}  # on a host with a `price:` in that currency"),
            _ => again,
        };
        Finding::unknown(observed).because(why).next(next)
    } else if counted < run.end.attempts {
        let why = format!("what {counted} of its {} attempts used is known", run.end.attempts);
        Finding::unknown(observed).because(why).next(super::trained(case, "--force "))
    } else {
        Finding::decided(true, observed)
    };
    finding.resting_on([*id])
}

fn short(value: f64) -> String {
    match value {
        value if value > 0.0 && value < 0.01 => format!("{value:.1e}"),
        value => format!("{value:.2}"),
    }
}
