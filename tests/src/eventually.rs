//! Waiting for a condition instead of sleeping.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(20);

/// Checks again and again until the check gives `Ok(Ok(value))`. `Ok(Err(seen))` means "not yet";
/// `Err` fails at once. After `limit` it fails with `what` and with what was last seen.
pub async fn eventually<T, S: Display>(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> Result<Result<T, S>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match check().await? {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() > limit => bail!("not within {limit:?}: {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The answer of a check that has nothing to return: whether the condition is met, and what was
/// seen instead.
pub fn met<S>(condition: bool, seen: impl FnOnce() -> S) -> Result<(), S> {
    if condition { Ok(()) } else { Err(seen()) }
}
