//! The condition MonitoringAccepted: whether a Prometheus accepted the ServiceMonitor and none
//! rejected the PrometheusRule.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, unknown, yes};
use crate::child_error::ChildError;
use crate::children::{ChildKind, PerChild};
use crate::facts::{Acceptance, Detail, Observed};

pub(super) fn monitoring_accepted(
    group: &ValidGroup,
    observed: &Observed,
    errors: &PerChild<Option<ChildError>>,
) -> ConditionValue {
    let kinds = [ChildKind::ServiceMonitor, ChildKind::PrometheusRule];
    if let Some(kind) = kinds.into_iter().find(|kind| errors[*kind] == Some(ChildError::NotServed)) {
        return no(Reason::KindNotServed, ChildError::NotServed.describe(kind, &group.name));
    }
    let acceptance = |kind| match observed.own(kind, &group.uid).map(|child| &child.detail) {
        Some(Detail::Monitor(acceptance)) => acceptance.clone(),
        _ => Acceptance::NotReported,
    };
    let monitors = kinds.map(|kind| (kind, acceptance(kind)));
    for (kind, acceptance) in &monitors {
        if let Acceptance::Rejected(why) = acceptance {
            return no(Reason::Rejected, format!("a Prometheus rejected the {}: {why}", kind.kind()));
        }
    }
    // Older prometheus-operators report nothing for a PrometheusRule: it counts unless it is
    // rejected.
    match monitors.each_ref().map(|(_, acceptance)| *acceptance == Acceptance::Accepted) {
        [true, true] => {
            return yes(Reason::Accepted, "a Prometheus accepted the ServiceMonitor and the PrometheusRule");
        }
        [true, false] => {
            return yes(
                Reason::Accepted,
                "a Prometheus accepted the ServiceMonitor; whether one selects the PrometheusRule is not reported: if its alerts are missing, compare spec.alerts.ruleLabels with the Prometheus' ruleSelector",
            );
        }
        [false, _] => {}
    }
    unknown(
        Reason::NotReported,
        "prometheus-operator does not report whether a Prometheus selects the ServiceMonitor (it does with its feature gate StatusForConfigurationResources); if its metrics are missing, compare spec.metrics.labels with the Prometheus' serviceMonitorSelector",
    )
}
