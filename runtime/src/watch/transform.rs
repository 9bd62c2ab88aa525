//! Selects the facts of an object to keep.

use std::fmt;

use serde::de::DeserializeOwned;

/// Reduces an object's JSON text to the fact that is kept of it. The text is dropped afterwards.
pub struct Transform<F>(Box<TransformFn<F>>);

type TransformFn<F> = dyn Fn(&str) -> Result<F, String> + Send + Sync;

impl<F> Transform<F> {
    /// Parses the object as a `T` and keeps what `keep` returns. The error of an object that does
    /// not parse names the field: `spec.replicas: invalid type: string "3", expected i32`.
    pub fn new<T: DeserializeOwned>(keep: impl Fn(T) -> F + Send + Sync + 'static) -> Self {
        Self(Box::new(move |text| parse::<T>(text).map(&keep)))
    }

    /// Like [`Transform::new`], but `keep` may reject the object with an error.
    pub fn try_new<T: DeserializeOwned>(
        keep: impl Fn(T) -> Result<F, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |text| parse::<T>(text).and_then(&keep)))
    }

    /// Keeps what `keep` reads from the text itself, for an object that is too large to be parsed
    /// before something is known of it.
    pub fn from_text(keep: impl Fn(&str) -> Result<F, String> + Send + Sync + 'static) -> Self {
        Self(Box::new(keep))
    }

    pub(super) fn apply(&self, text: &str) -> Result<F, String> {
        (self.0)(text)
    }
}

impl<F> fmt::Debug for Transform<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transform")
    }
}

/// Tracking the path of each field costs time, so only an object that failed to parse is parsed
/// again with it.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|plain| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let located = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err();
        located.map_or_else(|| plain.to_string(), |error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Topic {
        spec: Spec,
    }

    #[derive(Deserialize)]
    struct Spec {
        partitions: i32,
    }

    #[test]
    fn an_unparsable_object_is_reported_with_field_and_reason() {
        let transform = Transform::new(|topic: Topic| topic.spec.partitions);
        assert_eq!(transform.apply(r#"{"spec":{"partitions":3}}"#), Ok(3));
        let error = transform.apply(r#"{"spec":{"partitions":"3"}}"#).unwrap_err();
        assert!(error.starts_with("spec.partitions: invalid type: string \"3\", expected i32"), "{error}");
    }

    #[test]
    fn a_transform_may_reject_an_object_that_parses() {
        let transform = Transform::<i32>::try_new(|_: Topic| Err("too many".to_owned()));
        assert_eq!(transform.apply(r#"{"spec":{"partitions":3}}"#), Err("too many".to_owned()));
    }
}
