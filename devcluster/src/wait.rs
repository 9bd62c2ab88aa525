//! Waiting for a condition, never for a while.

use std::time::{Duration, Instant};

use crate::{Error, Result};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` again and again until it answers `Ok(Ok(value))`. `Ok(Err(text))` says what was seen
/// instead; `Err` gives up at once. After `limit` it fails with `what` and the last thing seen.
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
