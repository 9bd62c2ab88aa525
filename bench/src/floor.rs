//! A floor of a burst: the recorded requests for each group from the moment it exists, with as many in
//! flight as the operator has, and nothing to watch, to compare or to decide.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use kube::Client;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::recording::{Recording, Verb};
use crate::workload::{Created, Workload};

/// How many groups are written at the same time; each has up to five requests in flight. The operator
/// reconciles as many (`src/controller/concurrency.rs`).
const WORKERS: usize = 8;

/// Writes the children and the status of each group that arrives, until the other end is closed.
pub async fn complete(
    client: &Client,
    recording: &Recording,
    verb: Verb,
    workload: Workload,
    mut groups: UnboundedReceiver<Created>,
) -> Result<()> {
    let mut writing = JoinSet::new();
    while let Some(group) = groups.recv().await {
        while writing.len() >= WORKERS {
            writing.join_next().await.context("a group is being written")???;
        }
        let (client, [creations, statuses]) = (client.clone(), recording.requests(workload, &group, verb));
        writing.spawn(async move {
            try_join_all(creations.into_iter().map(|request| client.request_text(request))).await?;
            for status in statuses {
                client.request_text(status).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    Ok(())
}
