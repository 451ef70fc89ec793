//! What a run used, and what that cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run used of machines. What nobody measured is absent, never guessed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Hours that it had machines, times their number.
    pub hours: f64,
    /// Hours that it had GPUs, times their number.
    pub gpu_hours: f64,
    /// kWh that its GPUs drew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_kwh: Option<f64>,
    /// kWh that all processors of its machine drew while it ran, for whomever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_kwh: Option<f64>,
    /// How many of its attempts this counts; of others nothing is known.
    pub attempts: u32,
}

impl Usage {
    /// kWh of its GPUs, or else of its machine's processors, with those of the processors where both are known; none if it had GPUs and
    /// nobody measured them.
    pub fn kwh(&self) -> Option<f64> {
        match (self.gpu_hours > 0.0, self.gpu_kwh) {
            (true, None) => None,
            (true, Some(gpus)) => Some(gpus + self.cpu_kwh.unwrap_or(0.0)),
            (false, _) => self.cpu_kwh,
        }
    }

    /// Both together, of attempts one after the other.
    pub fn and(&self, more: &Self) -> Self {
        let both = |one: Option<f64>, other: Option<f64>| Some(one? + other?);
        Self {
            hours: self.hours + more.hours,
            gpu_hours: self.gpu_hours + more.gpu_hours,
            gpu_kwh: both(self.gpu_kwh, more.gpu_kwh),
            cpu_kwh: both(self.cpu_kwh, more.cpu_kwh),
            attempts: self.attempts + more.attempts,
        }
    }
}

/// What a run cost, with the price that applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The amount.
    pub amount: f64,
    /// Its currency, such as `EUR`.
    pub currency: String,
    /// Price of an hour with a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_hour: Option<f64>,
    /// Price of an hour with the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<f64>,
}

impl Cost {
    /// What `usage` costs at a price.
    pub fn of(usage: &Usage, gpu_hour: Option<f64>, hour: Option<f64>, currency: &str) -> Self {
        let amount = usage.gpu_hours * gpu_hour.unwrap_or(0.0) + usage.hours * hour.unwrap_or(0.0);
        Self { amount, currency: currency.to_owned(), gpu_hour, hour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_attempt_does_not_know_the_sum_does_not_know() {
        let known =
            Usage { hours: 1.0, gpu_hours: 2.0, gpu_kwh: Some(0.5), cpu_kwh: Some(0.25), attempts: 1 };
        let sum = known.and(&Usage { cpu_kwh: None, ..known.clone() });
        let wanted = Usage { hours: 2.0, gpu_hours: 4.0, gpu_kwh: Some(1.0), cpu_kwh: None, attempts: 2 };
        assert_eq!(sum, wanted);
        assert_eq!((known.kwh(), sum.kwh()), (Some(0.75), Some(1.0)));
        assert_eq!(Usage { gpu_kwh: None, ..known.clone() }.kwh(), None, "it had GPUs");
        assert_eq!(Usage { gpu_kwh: None, gpu_hours: 0.0, ..known.clone() }.kwh(), Some(0.25));
        let cost = Cost::of(&known, Some(0.45), Some(0.1), "EUR");
        assert!((cost.amount - 1.0).abs() < 1e-12, "{cost:?}");
    }
}
