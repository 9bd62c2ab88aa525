//! What a review costs the webhook, next to a server with a constant answer; and what the webhook adds to a
//! creation through the API server, next to the same server as a webhook.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kcg_devcluster::pki::Ca;
use kcg_devcluster::{Port, Process, usage};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Bench, progress};
use crate::cluster::Cluster;
use crate::constant_server;
use crate::contestant::{Contestant, Running};
use crate::kinds::{GROUP, NAMESPACE, TOPIC, post};
use crate::machine::{self, Side};
use crate::report::{RATIO, Row};
use crate::reviews::{SIZES, load};
use crate::statistics::{order, percentile, ratios};
use crate::workload::{PARTITIONS, group};

const CASE: &str = "webhook";
/// CPU time of a review, as a multiple of the constant server's.
const MOST_CPU: f64 = 1.15;
/// The 99th percentile that the webhook adds to a creation, as a multiple of what the constant one adds.
const MOST_ADDED: f64 = 1.2;
/// Creations of each kind in a round.
const CREATIONS: usize = 1000;
const LIMIT: Duration = Duration::from_secs(30);

/// A server of reviews.
struct Server {
    name: &'static str,
    process: Serving,
    port: Port,
}

enum Serving {
    Ours(Running),
    Constant(Process),
}

impl Server {
    fn pid(&self) -> u32 {
        match &self.process {
            Serving::Ours(running) => running.pid(),
            Serving::Constant(process) => process.pid(),
        }
    }

    fn cpu(&self) -> Result<f64> {
        usage::cpu_seconds(self.pid()).with_context(|| format!("{} has ended", self.name))
    }
}

/// The servers, and the CA that signed their certificate.
struct Servers {
    servers: [Server; 3],
    ca: Ca,
}

const OURS: &str = "webhook";
const CONSTANT: &str = "constant server";
const WALKING: &str = "constant server that parses";

impl Servers {
    async fn start(program: PathBuf, cluster: &Cluster) -> Result<Self> {
        let (ca, folder) = (Ca::new("bench")?, cluster.plane.folder().join("certificate"));
        let pair = ca.server(&["localhost", "127.0.0.1"])?;
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("tls.crt"), pair.certificate)?;
        std::fs::write(folder.join("tls.key"), pair.key)?;
        let port = Port::take()?;
        let ours = Contestant::webhook(program, port.address(), &folder).start(cluster)?;
        ours.ready().await?;
        let ours = Server { name: OURS, process: Serving::Ours(ours), port };
        let constant = start_constant(cluster, &folder, CONSTANT, false).await?;
        let walking = start_constant(cluster, &folder, WALKING, true).await?;
        Ok(Self { servers: [ours, constant, walking], ca })
    }
}

async fn start_constant(cluster: &Cluster, folder: &Path, name: &'static str, walks: bool) -> Result<Server> {
    let port = Port::take()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(constant_server::Arguments::to_arguments(port.address(), folder, walks));
    let log = cluster.plane.folder().join(format!("{}.log", name.replace(' ', "-")));
    let process = Process::start_command(name, command, log)?;
    let began = Instant::now();
    while TcpStream::connect(port.address()).await.is_err() {
        process.must_run()?;
        ensure!(began.elapsed() < LIMIT, "{name} does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(Server { name, process: Serving::Constant(process), port })
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let cluster = bench.cluster().await?;
    create_namespaces(&cluster.client).await?;
    let servers = Servers::start(bench.ours().program.clone(), &cluster).await?;
    through_the_api_server(bench, &cluster, &servers).await?;
    // The load needs the other half of the cores.
    cluster.plane.pause_apiserver()?;
    if cluster.is_pinned() {
        for server in &servers.servers {
            machine::pin(server.pid(), Side::ControlPlane).await?;
        }
    }
    cpu_of_reviews(bench, &servers).await?;
    cluster.plane.resume_apiserver()?;
    Ok(())
}

async fn cpu_of_reviews(bench: &mut Bench<'_>, servers: &Servers) -> Result<()> {
    for size in SIZES {
        let mut micros: [Vec<f64>; 3] = Default::default();
        for round in 0..bench.options.rounds {
            for index in order(servers.servers.len(), round) {
                let server = &servers.servers[index];
                let before = server.cpu()?;
                let loaded = load(server.port.address(), servers.ca.certificate(), size).await;
                loaded.with_context(|| format!("{} reviews to the {}", size.name, server.name))?;
                micros[index].push((server.cpu()? - before) * 1e6 / size.requests as f64);
            }
        }
        let row = |what: String, unit, samples| Row::new(CASE, 0, what, unit, samples);
        let name = size.name;
        let mut rows = vec![
            row(format!("webhook / constant server, {name}"), RATIO, ratios(&micros[0], &micros[1])),
            row(
                format!("webhook / constant server that parses, {name}"),
                RATIO,
                ratios(&micros[0], &micros[2]),
            ),
        ];
        // A large review is not worth having if nothing of it is read.
        let judged = usize::from(size.review().len() > 10_000);
        rows[judged].target = Some(MOST_CPU);
        for (server, samples) in servers.servers.iter().zip(micros) {
            rows.push(row(format!("{}: CPU of a review, {name}", server.name), "µs", samples));
        }
        bench.add(rows)?;
    }
    Ok(())
}

/// The namespaces without a webhook, with ours and with the constant one.
const NAMESPACES: [&str; 3] = ["without", "ours", "constant"];

async fn through_the_api_server(bench: &mut Bench<'_>, cluster: &Cluster, servers: &Servers) -> Result<()> {
    // The constant one first: once ours refuses, the API server knows both.
    for (namespace, server) in [(NAMESPACES[2], &servers.servers[1]), (NAMESPACES[1], &servers.servers[0])] {
        register(&cluster.client, namespace, server.port.address(), servers.ca.certificate()).await?;
    }
    wait_until_refused(&cluster.client).await?;
    let mut times: [Vec<Vec<f64>>; 3] = Default::default();
    for round in 0..bench.options.rounds {
        let mut samples: [Vec<f64>; 3] = Default::default();
        for creation in 0..CREATIONS {
            for index in order(NAMESPACES.len(), creation) {
                let object = group(&format!("g-{round}-{creation}"));
                let began = Instant::now();
                create(&cluster.client, NAMESPACES[index], &object).await?;
                samples[index].push(began.elapsed().as_secs_f64() * 1000.0);
            }
        }
        progress(&format!("creations through the API server, round {}", round + 1));
        times.iter_mut().zip(samples).for_each(|(times, samples)| times.push(samples));
    }
    for (name, part, target) in [("p50", 0.5, None), ("p99", 0.99, Some(MOST_ADDED))] {
        let [without, ours, constant] = [0, 1, 2]
            .map(|index| times[index].iter().map(|samples| percentile(samples, part)).collect::<Vec<_>>());
        let added = |with: &[f64]| -> Vec<f64> {
            with.iter().zip(&without).map(|(with, without)| with - without).collect()
        };
        let (by_ours, by_constant) = (added(&ours), added(&constant));
        let row = |what: String, unit, samples| Row::new(CASE, 0, what, unit, samples);
        let ratio = row(
            format!("added to a creation, webhook / constant: {name}"),
            RATIO,
            ratios(&by_ours, &by_constant),
        );
        bench.add(vec![
            row(format!("creation without a webhook: {name}"), "ms", without.clone()),
            row(format!("added by the webhook: {name}"), "ms", by_ours),
            row(format!("added by a constant webhook: {name}"), "ms", by_constant),
            Row { target, ..ratio },
        ])?;
    }
    Ok(())
}

async fn create_namespaces(client: &Client) -> Result<()> {
    for name in NAMESPACES {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"bench": name}}});
        client.request::<Value>(post(&NAMESPACE.all(), &object)).await?;
    }
    Ok(())
}

async fn create(client: &Client, namespace: &str, object: &Value) -> kube::Result<Value> {
    client.request(post(&GROUP.in_namespace(namespace), object)).await
}

/// Registers a server as a mutating and as a validating webhook of one namespace, as ours is registered.
async fn register(client: &Client, namespace: &str, address: SocketAddr, ca: &str) -> Result<()> {
    for (kind, plural, path) in [
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "mutate"),
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "validate"),
    ] {
        let webhook = json!({
            "name": "bench.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"bench": namespace}},
            "clientConfig": {"url": format!("https://localhost:{}/{path}", address.port()), "caBundle": BASE64.encode(ca)},
            "rules": [{"apiGroups": ["thenextapps.com"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["kconsumergroups"]}],
        });
        let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": namespace},
            "webhooks": [webhook]});
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
        client.request::<Value>(post(&path, &object)).await?;
    }
    Ok(())
}

/// Waits until our webhook refuses a group whose minimum is above its topic's partitions, which only it
/// knows.
async fn wait_until_refused(client: &Client) -> Result<()> {
    let topic = json!({"apiVersion": TOPIC.api_version(), "kind": TOPIC.name, "metadata": {"name": "refused",
        "labels": {"strimzi.io/cluster": "my-cluster"}}, "spec": {"partitions": PARTITIONS, "replicas": 1}});
    client.request::<Value>(post(&TOPIC.in_namespace(NAMESPACES[1]), &topic)).await?;
    let (mut refused, began) = (group("refused"), Instant::now());
    refused["spec"]["minReplicas"] = json!(PARTITIONS + 1);
    let path = format!("{}?dryRun=All", GROUP.in_namespace(NAMESPACES[1]));
    while client.request::<Value>(post(&path, &refused)).await.is_ok() {
        ensure!(began.elapsed() < LIMIT, "the webhook is not called");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
