//! Waits for a condition instead of sleeping for a fixed time.

use std::time::{Duration, Instant};

use crate::{Error, Result};

const PAUSE: Duration = Duration::from_millis(20);

/// Polls `condition` until it returns `Ok(Ok(value))`. `Ok(Err(text))` describes the current state
/// and continues the wait; `Err` ends it. After `limit` it returns an error that contains `what`
/// and the last state.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match condition().await? {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() > limit => {
                return Err(Error::Timeout { what: what.into(), limit, last });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
