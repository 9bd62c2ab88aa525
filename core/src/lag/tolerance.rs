//! How far above its limit a lag may be before the HorizontalPodAutoscaler adds consumers.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kcg_api::{ValidGroup, quantity};
use serde_json::Value;

/// Billionths in one.
const ONE: i64 = 1_000_000_000;

/// The tolerance of a HorizontalPodAutoscaler that scales up, as a share of the limit. The alerts,
/// the condition PartitionBound and the lag in the status all go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    billionths: i64,
}

impl Default for Tolerance {
    /// A tenth, which is the default of kube-controller-manager.
    fn default() -> Self {
        Self { billionths: ONE / 10 }
    }
}

impl Tolerance {
    /// That of behavior.scaleUp, else the default. A value that no autoscaler can have counts as
    /// the nearest one that it can have.
    pub fn of(behavior: Option<&HorizontalPodAutoscalerBehavior>) -> Self {
        let written = behavior.and_then(|behavior| behavior.scale_up.as_ref()?.tolerance.as_ref());
        written.map_or_else(Self::default, |tolerance| Self::written(&tolerance.0))
    }

    /// The same of a live HorizontalPodAutoscaler.
    pub fn of_live(autoscaler: &Value) -> Self {
        let written = autoscaler["spec"]["behavior"]["scaleUp"]["tolerance"].as_str();
        written.map_or_else(Self::default, Self::written)
    }

    fn written(tolerance: &str) -> Self {
        quantity::billionths(tolerance).map_or_else(Self::default, |billionths| Self {
            billionths: i64::try_from(billionths.max(0)).unwrap_or(i64::MAX),
        })
    }

    /// That of a group.
    pub fn of_group(group: &ValidGroup) -> Self {
        Self::of(group.scaling.behavior.as_ref())
    }

    /// Whether the HorizontalPodAutoscaler adds consumers at this lag, which is in thousandths of a
    /// record. `lag_limit` is in records.
    pub fn is_exceeded(self, lag_milli: i128, lag_limit: i64) -> bool {
        let factor = i128::from(ONE) + i128::from(self.billionths);
        let most = (i128::from(lag_limit) * 1000).saturating_mul(factor);
        lag_milli.saturating_mul(ONE.into()) > most
    }

    /// The lag above which the HorizontalPodAutoscaler adds consumers, in PromQL.
    pub fn threshold(self, lag_limit: i64) -> String {
        format!("{} * {lag_limit}", self.factor())
    }

    /// The share of the limit at which the tolerance ends: `1.1`.
    pub fn factor(self) -> String {
        decimal(i128::from(ONE) + i128::from(self.billionths), 9)
    }

    /// The tolerance in percent: `10`.
    pub fn percent(self) -> String {
        decimal(self.billionths.into(), 7)
    }
}

/// A number that is not negative, its decimal point moved to the left by so many places.
fn decimal(number: i128, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(tolerance: &serde_json::Value) -> Tolerance {
        let behavior = serde_json::from_value(json!({"scaleUp": {"tolerance": tolerance}})).unwrap();
        Tolerance::of(Some(&behavior))
    }

    #[test]
    fn the_tolerance_of_the_spec_counts_and_else_a_tenth() {
        for (written, factor, percent) in [
            (json!(null), "1.1", "10"),
            (json!("0.05"), "1.05", "5"),
            (json!("125m"), "1.125", "12.5"),
            (json!(0), "1", "0"),
            (json!("2"), "3", "200"),
            (json!("1n"), "1.000000001", "0.0000001"),
            (json!("abc"), "1.1", "10"),
            (json!("-1"), "1", "0"),
            (json!("8E"), "9223372037.854775807", "922337203685.4775807"),
        ] {
            let tolerance = of(&written);
            assert_eq!(
                (tolerance.factor(), tolerance.percent()),
                (factor.into(), percent.into()),
                "{written}"
            );
        }
        let down = json!({"scaleDown": {"tolerance": "0.5"}});
        let down: HorizontalPodAutoscalerBehavior = serde_json::from_value(down).unwrap();
        assert_eq!(Tolerance::of(Some(&down)), Tolerance::default());
        assert_eq!(Tolerance::of(None), Tolerance::default());
    }

    #[test]
    fn a_lag_at_the_tolerance_does_not_exceed_it() {
        for (tolerance, lag_milli, want) in [
            (json!(null), 1_100_000, false),
            (json!(null), 1_100_001, true),
            (json!("0.25"), 1_250_000, false),
            (json!("0.25"), 1_250_001, true),
            (json!("0"), 1_000_001, true),
        ] {
            assert_eq!(of(&tolerance).is_exceeded(lag_milli, 1000), want, "{tolerance} {lag_milli}");
        }
        let most = of(&json!("8E"));
        assert!(!most.is_exceeded(i64::MAX.into(), i64::MAX));
        assert!(
            !Tolerance::default().is_exceeded(i64::MAX.into(), i64::MAX),
            "a limit that is never reached"
        );
    }
}
