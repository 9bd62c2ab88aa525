//! The scenarios. Each step waits for what has to happen, and fails if it does not.

pub(crate) mod compare;
mod objects;
pub(crate) mod round;
pub(crate) mod scale;
pub(crate) mod single;

use crate::observe::broker::Subscription;
use crate::settings::Scenario;

/// Which group of a scenario consumes which topics.
pub(crate) fn subscriptions(scenario: Scenario) -> Vec<Subscription> {
    match scenario {
        Scenario::Single => single::subscriptions(),
        Scenario::Comparison => compare::subscriptions(),
        Scenario::Scale => scale::subscriptions(),
    }
}
