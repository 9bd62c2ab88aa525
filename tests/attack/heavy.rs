//! The attackers that cost the most for their number: clients that read no response, sockets that stay
//! silent on the port of the probes, and the heaviest reviews that are legal.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use kcg_devcluster::Replica;
use kcg_tests::Outcome;
use kcg_tests::objects::group;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use crate::clients::{Target, attacker, exchange};
use crate::post;

/// Reviews of each client that does not read its responses. Their responses fill the buffers of the connection, and those that wait in
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
    review(&group, &Value::Null)
}

/// The spec of a group that is legal and near the bound of bytes, with this many variables; with 900 it is
/// near the bound of values, too.
pub fn heaviest_spec(variables: usize) -> Value {
    let value = "v".repeat(62_000 / variables - 28);
    let variables = (0..variables).map(|number| json!({"name": format!("V{number:03}"), "value": value}));
    json!({"consumerSpec": {"env": variables.collect::<Vec<_>>()}})
}

/// The review of an update of such a group, with 130 KB.
pub fn heaviest_legal_review() -> String {
    let mut group = group("g", &heaviest_spec(900));
    group["metadata"]["namespace"] = "default".into();
    group["spec"]["consumerSpec"]["groupId"] = "g".into();
    let old = group.clone();
    group["spec"]["averageRecordsLagLimit"] = 7.into();
    review(&group, &old)
}

fn review(group: &Value, old: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "name": "g", "namespace": "default",
        "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
        "oldObject": old, "object": group}})
    .to_string()
}

/// Sends reviews whose responses are not read, and keeps the connections until then; returns how many
/// reviews were sent.
pub async fn unread(target: &Target, clients: usize, until: Instant) -> Outcome<usize> {
    let request = post(&heaviest_review());
    let mut unreading = JoinSet::new();
    for number in 0..clients {
        let (target, request) = (target.of(number), request.clone());
        unreading.spawn(async move {
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
            let _ = timeout_at(until.into(), sending).await;
            sent
        });
    }
    Ok(unreading.join_all().await.into_iter().sum())
}

/// Keeps silent sockets at the port of the probes, and probes meanwhile; returns the slowest probe.
pub async fn silent(replica: &Replica, until: Instant) -> Outcome<Duration> {
    let address = replica.probe_address();
    let mut sockets = JoinSet::new();
    for _ in 0..SILENT {
        sockets.spawn(stay_silent(address));
    }
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let probed = Instant::now();
        let (status, body) = replica.get("/healthz").await?;
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
        if let Ok(mut stream) = attacker(Ipv4Addr::new(127, 0, 0, 2), address).await {
            let _ = stream.read(&mut [0]).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends the heaviest reviews from four addresses at once, legal ones and ones that are at fault in turn;
/// returns how many were decided, and how many got a 429 or a 503.
pub async fn heavy(target: &Target, until: Instant) -> Outcome<(usize, usize)> {
    let requests = [heaviest_legal_review(), heaviest_review()].map(|review| post(&review));
    let mut clients = JoinSet::<Outcome<(usize, usize)>>::new();
    for number in 0..HEAVY {
        let (target, requests) = (target.of(number), requests.clone());
        clients.spawn(async move {
            let mut stream = target.connect().await?;
            let (mut decided, mut limited) = (0, 0);
            for request in requests.iter().cycle() {
                if Instant::now() > until {
                    break;
                }
                let head = exchange(&mut stream, request).await?;
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

/// Sends a legal review that is not small twice a second, each over a connection of its own; returns how
/// many were decided, or the first that was not.
pub async fn large_reviews(target: Target, until: Instant) -> Outcome<usize> {
    let (request, mut decided) = (post(&heaviest_legal_review()), 0);
    while Instant::now() < until {
        target.review(&request).await?;
        decided += 1;
        sleep(Duration::from_millis(500)).await;
    }
    Ok(decided)
}
