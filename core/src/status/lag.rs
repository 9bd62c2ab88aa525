//! The lag in the status, and whether a status brings anything else.

use kcg_api::status::LagStatus;
use kcg_api::{KconsumerGroupStatus, ValidGroup};

use crate::facts::Observed;
use crate::lag::Tolerance;
use crate::shown_lag;

pub(super) fn lag(group: &ValidGroup, observed: &Observed) -> LagStatus {
    let metrics = group.metrics.lag_metrics();
    let current = observed.autoscaler(&group.uid).and_then(|facts| facts.shown_lag(&metrics));
    LagStatus { current, limit: group.lag_limit, summary: shown_lag::summary(current, group.lag_limit) }
}

/// What a status changes of the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that is worth a write.
    Nothing,
    /// The lag alone, in a way that is worth a write.
    Lag,
    /// More than the lag.
    More,
}

impl Change {
    /// From the previous status to the new one, of a group whose autoscaler has this tolerance.
    pub fn between(
        previous: &KconsumerGroupStatus,
        new: &KconsumerGroupStatus,
        tolerance: Tolerance,
    ) -> Self {
        if previous == new {
            return Self::Nothing;
        }
        let (Some(shown), Some(lag)) = (&previous.lag, &new.lag) else {
            return Self::More;
        };
        if *new != (KconsumerGroupStatus { lag: Some(lag.clone()), ..previous.clone() }) {
            return Self::More;
        }
        if shown.limit != lag.limit
            || shown_lag::is_worth_a_write(shown.current, lag.current, lag.limit, tolerance)
        {
            Self::Lag
        } else {
            Self::Nothing
        }
    }
}
