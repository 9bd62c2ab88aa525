//! The answers of Prometheus' HTTP API.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A labelled value at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels; the metric's name is `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Its value, which may be NaN or infinite.
    pub value: f64,
    /// When it was evaluated, in seconds since 1970.
    pub at: f64,
}

/// A labelled value over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its expression holds, but not for long enough yet.
    Pending,
    /// It fires.
    Firing,
}

/// A pending or firing alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: AlertState,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Found<T> {
    result: Vec<T>,
}

#[derive(Deserialize)]
struct Instant {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Range {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Active>,
}

#[derive(Deserialize)]
struct Active {
    labels: BTreeMap<String, String>,
    state: AlertState,
}

pub(super) fn samples(body: &str) -> Result<Vec<Sample>> {
    let found: Found<Instant> = data(body)?;
    found
        .result
        .into_iter()
        .map(|one| Ok(Sample { labels: one.metric, value: number(&one.value.1)?, at: one.value.0 }))
        .collect()
}

pub(super) fn series(body: &str) -> Result<Vec<Series>> {
    let found: Found<Range> = data(body)?;
    let points = |values: Vec<(f64, String)>| {
        values.into_iter().map(|(at, text)| Ok((at, number(&text)?))).collect::<Result<_>>()
    };
    found
        .result
        .into_iter()
        .map(|one| Ok(Series { labels: one.metric, points: points(one.values)? }))
        .collect()
}

pub(super) fn alerts(body: &str) -> Result<Vec<Alert>> {
    let found: Alerts = data(body)?;
    let alert = |Active { labels, state }: Active| {
        let name = labels.get("alertname").cloned().unwrap_or_default();
        Alert { name, labels, state }
    };
    Ok(found.alerts.into_iter().map(alert).collect())
}

fn data<T: DeserializeOwned>(body: &str) -> Result<T> {
    serde_json::from_str::<Answer<T>>(body)
        .map(|answer| answer.data)
        .map_err(|error| unreadable(error.to_string()))
}

/// A number in Prometheus' format, which has `NaN` and `+Inf`.
fn number(text: &str) -> Result<f64> {
    text.parse().map_err(|_| unreadable(format!("{text:?} is not a number")))
}

fn unreadable(reason: String) -> Error {
    Error::Parse { what: "Prometheus' answer".into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_numbers() -> Result<()> {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"a"},"value":[1.5,"3412"]},{"metric":{},"value":[1.5,"NaN"]},{"metric":{},"value":[1.5,"+Inf"]}]}}"#;
        let found = samples(body)?;
        assert_eq!(found[0].labels["pod"], "a");
        assert_eq!(found[0].value.to_bits(), 3412_f64.to_bits());
        assert!(found[1].value.is_nan() && found[2].value.is_infinite());
        assert!(samples("{}").is_err());
        Ok(())
    }

    #[test]
    fn alerts_have_a_name_and_a_state() -> Result<()> {
        let body =
            r#"{"status":"success","data":{"alerts":[{"labels":{"alertname":"Lag"},"state":"firing"}]}}"#;
        let found = alerts(body)?;
        assert_eq!((found[0].name.as_str(), found[0].state), ("Lag", AlertState::Firing));
        Ok(())
    }
}
