//! Which news of a child are worth a look at its group. An autoscaler's status moves with every sync; a group
//! is looked at only where its own status would say something else. Floor 1.

use super::{AutoscalerFacts, Child, Detail, Signal};
use crate::status::{self, Cause};

/// Whether a child has changed in anything that a decision looks at. `lag_limit` is the group's, in records.
pub fn matters(before: &Child, after: &Child, lag_limit: i64) -> bool {
    let details_differ = match (&before.detail, &after.detail) {
        (Detail::Autoscaler(before), Detail::Autoscaler(after)) => {
            autoscaler_matters(before, after, lag_limit)
        }
        (before, after) => before != after,
    };
    details_differ
        || before.uid != after.uid
        || before.controller != after.controller
        || before.deleting != after.deleting
        || before.standing != after.standing
}

fn autoscaler_matters(before: &AutoscalerFacts, after: &AutoscalerFacts, lag_limit: i64) -> bool {
    // The wording of a condition differs from one sync to the next; what it comes down to does not.
    let said = |facts: &AutoscalerFacts| facts.scaling_active.as_ref().map(said);
    let bound = |facts: &AutoscalerFacts| {
        facts.lag_milli.map(|lag| status::is_bound(facts, lag, lag_limit, facts.max_replicas))
    };
    before.held != after.held
        || before.max_replicas != after.max_replicas
        || said(before) != said(after)
        || before.unable.is_some() != after.unable.is_some()
        || bound(before) != bound(after)
}

fn said(signal: &Signal) -> (Box<str>, Cause) {
    (signal.reason.clone(), Cause::of(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Standing;

    fn child(facts: AutoscalerFacts) -> Child {
        Child {
            uid: "u".into(),
            resource_version: 1,
            controller: Some("g".into()),
            deleting: false,
            standing: Standing::Matches(1),
            detail: Detail::Autoscaler(facts),
        }
    }

    fn facts(current_replicas: i32, lag: Option<i64>) -> AutoscalerFacts {
        AutoscalerFacts {
            current_replicas,
            max_replicas: 3,
            lag_milli: lag.map(|lag| lag * 1000),
            ..AutoscalerFacts::default()
        }
    }

    #[test]
    fn a_lag_that_moves_matters_only_across_the_limit_at_the_ceiling() {
        for (before, after, want) in [
            (facts(1, Some(10)), facts(2, Some(5000)), false),
            (facts(3, Some(10)), facts(3, Some(999)), false),
            (facts(3, Some(999)), facts(3, Some(1001)), true),
            (facts(2, Some(5000)), facts(3, Some(5000)), true),
            (facts(1, None), facts(1, Some(5)), true),
        ] {
            assert_eq!(
                matters(&child(before.clone()), &child(after.clone()), 1000),
                want,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn a_reworded_condition_does_not_matter_and_another_reason_does() {
        let signal = |reason: &str, message: &str| AutoscalerFacts {
            scaling_active: Some(Signal { status: false, reason: reason.into(), message: message.into() }),
            ..AutoscalerFacts::default()
        };
        let before = child(signal("FailedGetPodsMetric", "once"));
        assert!(!matters(&before, &child(signal("FailedGetPodsMetric", "twice")), 1));
        assert!(matters(&before, &child(signal("AmbiguousSelector", "once")), 1));
        let another_cause =
            child(signal("FailedGetPodsMetric", "the server is currently unable to handle the request"));
        assert!(matters(&before, &another_cause, 1));
    }

    #[test]
    fn an_autoscaler_that_can_no_longer_scale_matters() {
        let unable = AutoscalerFacts { unable: Some("no quota".into()), ..facts(1, None) };
        assert!(matters(&child(facts(1, None)), &child(unable), 1));
    }

    #[test]
    fn another_version_alone_does_not_matter_and_drift_does() {
        let before = child(facts(1, None));
        let newer = Child { resource_version: 2, ..before.clone() };
        assert!(!matters(&before, &newer, 1));
        assert!(matters(&before, &Child { standing: Standing::Differs, ..newer.clone() }, 1));
        assert!(matters(&before, &Child { deleting: true, ..newer.clone() }, 1));
        assert!(matters(&before, &Child { controller: None, ..newer }, 1));
    }
}
