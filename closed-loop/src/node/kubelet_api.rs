//! The part of the kubelet's API that `kubectl logs` uses through the API server.

use std::io::SeekFrom;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kcg_devcluster::https;
use kcg_devcluster::pki::CertifiedKey;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::bytes::BytesMut;

use super::runs::{Run, Runs};
use crate::Result;

const POLL: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Wanted {
    follow: bool,
    previous: bool,
    tail_lines: Option<usize>,
}

/// Serves on the calling runtime.
pub(super) async fn serve(address: SocketAddr, pair: &CertifiedKey, runs: Arc<Runs>) -> Result<()> {
    let router =
        Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(logs)).with_state(runs);
    // The server ends with the runtime.
    drop(https::serve(address, pair, router).await?);
    Ok(())
}

async fn logs(
    State(runs): State<Arc<Runs>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let mut of_container = runs.all();
    of_container.retain(|run| run.namespace == namespace && run.pod == pod && run.container == container);
    let run = of_container.into_iter().rev().nth(usize::from(wanted.previous));
    let Some(run) = run else {
        return (StatusCode::NOT_FOUND, format!("container {container} of pod {pod} has not run here"))
            .into_response();
    };
    let text = tokio::fs::read(run.log()).await.unwrap_or_default();
    let start = wanted.tail_lines.map_or(0, |lines| tail(&text, lines));
    let first = Bytes::copy_from_slice(&text[start..]);
    if !wanted.follow {
        return first.into_response();
    }
    let at = text.len() as u64;
    let rest = futures::stream::unfold((run, at), added);
    let whole = futures::StreamExt::chain(futures::stream::iter([Ok::<_, std::io::Error>(first)]), rest);
    Body::from_stream(whole).into_response()
}

/// The bytes added to the log; none once the program has ended and everything was read.
async fn added((run, at): (Arc<Run>, u64)) -> Option<(std::io::Result<Bytes>, (Arc<Run>, u64))> {
    loop {
        // Checked before the file is read, so that everything written before the end is read.
        let ended = run.pid().is_none();
        match read_from(&run, at).await {
            Ok(bytes) if bytes.is_empty() && ended => return None,
            Ok(bytes) if bytes.is_empty() => tokio::time::sleep(POLL).await,
            Ok(bytes) => {
                let next = at + bytes.len() as u64;
                return Some((Ok(bytes), (run, next)));
            }
            Err(_) => return None,
        }
    }
}

async fn read_from(run: &Run, at: u64) -> std::io::Result<Bytes> {
    let mut file = File::open(run.log()).await?;
    file.seek(SeekFrom::Start(at)).await?;
    let mut bytes = BytesMut::with_capacity(64 * 1024);
    file.read_buf(&mut bytes).await?;
    Ok(bytes.freeze())
}

/// The offset of the last `lines` lines.
fn tail(text: &[u8], lines: usize) -> usize {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if lines == 0 {
        return text.len();
    }
    let mut ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.nth(lines - 1).map_or(0, |(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_whole_lines() {
        for (lines, want) in [(0, ""), (1, "c\n"), (2, "b\nc\n"), (9, "a\nb\nc\n")] {
            let text = b"a\nb\nc\n";
            assert_eq!(&text[tail(text, lines)..], want.as_bytes(), "{lines} lines");
        }
    }
}
