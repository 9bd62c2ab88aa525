//! The attackers that cost the most for their number: clients that read no response, sockets that stay
//! silent on the port of the probes, and the heaviest reviews that are legal.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kcg_devcluster::Replica;
use kcg_tests::Outcome;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use crate::clients::{Target, attacker};
use crate::post;

/// Clients that do not read their responses.
const UNREADING: usize = 64;
/// Reviews of each of them. Their responses fill the buffers of the connection, and those that wait in
/// the webhook are what this is about: more reviews would only take the cores from everyone.
const UNREAD: usize = 4;
/// Sockets on the port of the probes, more than it has places for.
const SILENT: usize = 600;
/// Clients that send the heaviest review over and over.
const HEAVY: usize = 4;
/// The timeout of the kubelet's probes.
const PROBE: Duration = Duration::from_secs(5);

/// A review with as many values as the bounds of a spec allow, which are objects without their needed
/// fields: each is typed, and each is at fault.
pub fn heaviest_review() -> String {
    let mounts = vec![json!({}); 100];
    let containers = vec![json!({"name": "c", "volumeMounts": mounts}); 47];
    let spec = json!({"consumerSpec": {"image": "a", "topic": "t",
        "podTemplate": {"spec": {"containers": containers}}}});
    let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
        "metadata": {"name": "g", "namespace": "default"}, "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "name": "g", "namespace": "default",
        "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
        "oldObject": Value::Null, "object": group}})
    .to_string()
}

/// Sends reviews whose responses are not read, and keeps the connections for this time; returns how many
/// reviews were sent.
pub async fn unread(target: &Target, duration: Duration) -> Outcome<usize> {
    let (request, until) = (post(&heaviest_review()), tokio::time::Instant::now() + duration);
    let mut clients = JoinSet::new();
    for _ in 0..UNREADING {
        let (target, request) = (target.clone(), request.clone());
        clients.spawn(async move {
            let mut sent = 0;
            // The server may close the connection at any moment.
            let sending = async {
                let mut stream = target.connect().await?;
                for _ in 0..UNREAD {
                    stream.write_all(&request).await?;
                    stream.flush().await?;
                    sent += 1;
                }
                std::future::pending::<std::io::Result<()>>().await
            };
            let _ = timeout_at(until, sending).await;
            sent
        });
    }
    Ok(clients.join_all().await.into_iter().sum())
}

/// Keeps silent sockets at the port of the probes, and probes meanwhile; returns the slowest probe.
pub async fn silent(webhook: &Replica, duration: Duration) -> Outcome<Duration> {
    let (address, began) = (webhook.probe_address(), Instant::now());
    let mut sockets = JoinSet::new();
    for _ in 0..SILENT {
        sockets.spawn(stay_silent(address));
    }
    let mut slowest = Duration::ZERO;
    while began.elapsed() < duration {
        let probed = Instant::now();
        let (status, body) = webhook.get("/healthz").await?;
        if status != 200 {
            return Err(format!("/healthz returns {status}: {body}").into());
        }
        slowest = slowest.max(probed.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    if slowest > PROBE {
        return Err(format!("a probe took {slowest:?}").into());
    }
    Ok(slowest)
}

/// Opens a socket, sends nothing, and opens another one once the server has closed it.
async fn stay_silent(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = attacker(address).await {
            let _ = stream.read(&mut [0]).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends the heaviest reviews from a few clients at once; returns how many were decided, and how many
/// got a 429 or a 503.
pub async fn heavy(target: &Target, duration: Duration) -> Outcome<(usize, usize)> {
    let (request, began) = (post(&heaviest_review()), Instant::now());
    let mut clients = JoinSet::<Outcome<(usize, usize)>>::new();
    for _ in 0..HEAVY {
        let (target, request) = (target.clone(), request.clone());
        clients.spawn(async move {
            let (mut stream, mut read) = (target.connect().await?, Vec::new());
            let (mut decided, mut limited) = (0, 0);
            while began.elapsed() < duration {
                stream.write_all(&request).await?;
                stream.flush().await?;
                read.clear();
                let head = loop {
                    if let Some((head, _)) = crate::answer(&read) {
                        break head.to_owned();
                    }
                    if stream.read_buf(&mut read).await? == 0 {
                        return Err("a heavy review got no response".into());
                    }
                };
                match head.get(9..12) {
                    Some("200") => decided += 1,
                    Some("429" | "503") => {
                        limited += 1;
                        stream = target.connect().await?;
                        sleep(Duration::from_millis(10)).await;
                    }
                    _ => return Err(format!("a heavy review got {head}").into()),
                }
            }
            Ok((decided, limited))
        });
    }
    let mut sum = (0, 0);
    while let Some(client) = clients.join_next().await {
        let (decided, limited) = client??;
        sum = (sum.0 + decided, sum.1 + limited);
    }
    Ok(sum)
}
