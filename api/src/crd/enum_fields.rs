//! The descriptions of fields with an enum.

use serde_json::{Value, json};

use crate::preset::{Endpoint, Preset};

/// The description of a field with an enum would be that of the enum, which describes its values one
/// by one: `kubectl explain` would show neither them nor the default.
pub(super) fn descriptions() -> impl Iterator<Item = (String, Value)> {
    let presets = Preset::ALL.map(|preset| {
        let Endpoint { port, path } = preset.endpoint();
        format!("{preset:?} (port {port}, path {path})")
    });
    let preset = format!(
        "The kind of client whose metrics are scraped: {}. Defaults to {:?}, unless the installation has another default. It sets the port and the path if they are not set, and the names of the client's metrics.",
        presets.join(", "),
        Preset::default()
    );
    [
        ("metrics.preset", preset),
        (
            "metrics.lagStatistic",
            "How the lags of a pod's partitions become the pod's lag: Sum (all records that wait for the pod) or Max (its worst partition). Defaults to Sum. Must not be set together with lagMetric.".to_owned(),
        ),
        (
            "scaling.partitions",
            "How the partitions of several topics count together: Max (those of the largest topic, for the range assignor, which leaves further consumers idle; it is the default of the Java client and of librdkafka) or Sum (those of all topics, for the sticky and the round-robin assignor). Defaults to Max.".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(field, description)| (format!("spec.{field}"), json!({"description": description})))
}
