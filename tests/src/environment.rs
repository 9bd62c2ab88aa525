//! What a run of the tests is told by environment variables.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Result, anyhow};

/// The value of an environment variable; `None` if it is not set. Another type's value is an error.
pub fn variable<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| anyhow!("{name}={text}: {error:#}"))
}
