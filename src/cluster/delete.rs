//! Deletes a child that a group should no longer have.

use kcg_core::children::ChildKind;
use kcg_core::facts::project;
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;

use super::write::{AppliedWrite, MAX_LOOKUPS, may_write};
use super::{Cluster, WriteError};

impl Cluster {
    /// Deletes the object with this uid, as it was when that was decided: a request that reaches the API server
    /// late, of a process that leads no more, must not delete what its successor wants. If the object has changed
    /// and this process still leads, it is deleted as it is now.
    pub(super) async fn delete(
        &self,
        key: &ObjectKey,
        kind: ChildKind,
        uid: &str,
        mut version: u64,
        leadership: &Leadership,
    ) -> Result<Vec<AppliedWrite>, WriteError> {
        for _ in 0..MAX_LOOKUPS {
            may_write(leadership)?;
            match self.requests.delete(kind, key, uid, version).await {
                Ok(()) => return Ok(vec![AppliedWrite { verb: "delete", kind }]),
                Err(error) if error.is_not_found() => return Ok(Vec::new()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(WriteError::of(kind, &error)),
            }
            let live = self.requests.get(kind, key).await.map_err(|error| WriteError::of(kind, &error))?;
            match live.filter(|live| live["metadata"]["uid"] == *uid) {
                Some(live) => version = project::version(&live),
                // The watch reports what has the name now.
                None => return Ok(Vec::new()),
            }
        }
        Err(WriteError::Waiting)
    }
}
