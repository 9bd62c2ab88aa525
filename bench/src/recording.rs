//! The requests with which an operator makes one group complete, recorded by a proxy between the operator
//! and the API server. The floor sends the same ones for other groups.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::contestant::Contestant;
use crate::kinds::request;
use crate::observe::Convergence;
use crate::workload::{Created, Workload};

/// The recorded group. Its names are as long as those of the groups that are measured.
const SAMPLE: Workload = Workload::new("first", 1);

/// One write of a group or of its children.
#[derive(Clone, Debug, PartialEq)]
struct Write {
    method: String,
    path: String,
    content_type: String,
    body: String,
}

/// The writes for one group, and its names in them.
#[derive(Clone, Debug)]
pub struct Recording {
    writes: Vec<Write>,
    uid: String,
    /// Of the group as it was created, by which its status was decided.
    version: String,
}

/// How the floor writes the children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// As recorded.
    Same,
    /// By server-side apply, what was recorded as a creation.
    Apply,
}

impl Recording {
    /// Lets an operator complete one group.
    pub async fn of(operator: &Contestant, cluster: &Cluster) -> Result<Self> {
        let proxy = Proxy::start(cluster.client.clone()).await?;
        let running = operator.start_with(cluster, &proxy.kubeconfig(cluster)?)?;
        SAMPLE.create_topics(&cluster.client).await?;
        running.rest().await?;
        let (sender, mut created) = tokio::sync::mpsc::unbounded_channel();
        let convergence = Convergence::begin(&cluster.client, SAMPLE).await?;
        SAMPLE.create_groups(&cluster.client, Some(&sender)).await?;
        let Created { uid, version, .. } = created.recv().await.context("the group was created")?;
        convergence.end(&cluster.client, || Ok(())).await?;
        running.rest().await?;
        running.stop().await?;
        let namespace = SAMPLE.namespace(0);
        let is_of_group = |write: &Write| write.path.contains(&namespace) && !write.path.contains("/events");
        let writes: Vec<Write> =
            proxy.writes.lock().iter().filter(|write| is_of_group(write)).cloned().collect();
        let recording = Self { writes, uid, version };
        ensure!(
            recording.counts() == (5, 1),
            "five creations and a status were expected: {}",
            recording.describe()
        );
        Ok(recording)
    }

    /// How many creations there are, and how many other writes.
    fn counts(&self) -> (usize, usize) {
        let creations = self.writes.iter().filter(|write| write.method == "POST").count();
        (creations, self.writes.len() - creations)
    }

    /// The writes and the sizes of their bodies, for the report.
    pub fn describe(&self) -> String {
        let of = |write: &Write| format!("{} {} ({} bytes)", write.method, write.path, write.body.len());
        self.writes.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// The creations of another group's children, which can be sent together, and its status, which
    /// follows them.
    pub fn requests(&self, workload: Workload, group: &Created, verb: Verb) -> [Vec<Request<Vec<u8>>>; 2] {
        let (creations, others): (Vec<&Write>, Vec<&Write>) =
            self.writes.iter().partition(|write| write.method == "POST");
        let renamed = |text: &str| {
            text.replace(&SAMPLE.namespace(0), &workload.namespace(group.index))
                .replace(&SAMPLE.name(0), &workload.name(group.index))
                .replace(&self.uid, &group.uid)
                .replace(&versioned(&self.version), &versioned(&group.version))
        };
        let build = |write: &&Write| {
            let (path, body) = (renamed(&write.path), renamed(&write.body).into_bytes());
            if verb == Verb::Same || write.method != "POST" {
                return request(&write.method, &path, &write.content_type, body);
            }
            let all = path.split('?').next().unwrap_or_default();
            let path = format!("{all}/{}?fieldManager=floor&force=true", workload.name(group.index));
            request("PATCH", &path, "application/apply-patch+yaml", body)
        };
        [creations.iter().map(build).collect(), others.iter().map(build).collect()]
    }
}

/// The field of a body that names a resourceVersion.
fn versioned(version: &str) -> String {
    format!(r#""resourceVersion":"{version}""#)
}

/// Forwards requests to the API server as the administrator, and records the writes.
struct Proxy {
    address: SocketAddr,
    writes: Arc<Mutex<Vec<Write>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    async fn start(client: Client) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let writes: Arc<Mutex<Vec<Write>>> = Arc::default();
        let recorded = Arc::clone(&writes);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, recorded) = (client.clone(), Arc::clone(&recorded));
                let service =
                    service_fn(move |request| forward(client.clone(), Arc::clone(&recorded), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, writes, accepting })
    }

    /// A kubeconfig of the proxy, which needs no credentials.
    fn kubeconfig(&self, cluster: &Cluster) -> Result<PathBuf> {
        let path = cluster.plane.folder().join("recording.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
             clusters: [{{name: proxy, cluster: {{server: \"http://{}\"}}}}]\n\
             contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]\n\
             users: [{{name: proxy, user: {{}}}}]\n",
            self.address
        );
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(
    client: Client,
    recorded: Arc<Mutex<Vec<Write>>>,
    request: Request<Incoming>,
) -> Result<Response<Either<Body, Full<Bytes>>>, Infallible> {
    match relay(client, recorded, request).await {
        Ok(response) => Ok(response.map(Either::Left)),
        Err(error) => {
            let mut response = Response::new(Either::Right(Full::from(format!("{error:#}"))));
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

async fn relay(
    client: Client,
    recorded: Arc<Mutex<Vec<Write>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut forwarded = Request::builder().method(head.method.clone()).uri(&path);
    for (name, value) in
        head.headers.iter().filter(|(name, _)| *name == CONTENT_TYPE || *name == http::header::ACCEPT)
    {
        forwarded = forwarded.header(name, value);
    }
    if head.method != http::Method::GET {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        recorded.lock().push(Write {
            method: head.method.to_string(),
            path,
            content_type: content_type.unwrap_or("application/json").to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
    }
    Ok(client.send(forwarded.body(Body::from(body))?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        let write = |method: &str, path: &str, content_type: &str| {
            Write {
            method: method.to_owned(),
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            body: r#"{"metadata":{"name":"first-00000","namespace":"ns-first-000","uid":"u-0","resourceVersion":"7"}}"#.to_owned(),
        }
        };
        let services = "/api/v1/namespaces/ns-first-000/services?fieldManager=a";
        let status = "/apis/a/v1/namespaces/ns-first-000/groups/first-00000/status?force=true";
        Recording {
            writes: vec![
                write("POST", services, "application/json"),
                write("PATCH", status, "application/apply-patch+yaml"),
            ],
            uid: "u-0".to_owned(),
            version: "7".to_owned(),
        }
    }

    #[test]
    fn the_requests_of_another_group_have_its_names_uid_and_version() {
        let group = Created { index: 123, uid: "u-1".to_owned(), version: "70".to_owned() };
        let [creations, statuses] = recording().requests(Workload::new("bench", 200), &group, Verb::Same);
        assert_eq!(creations[0].uri(), "/api/v1/namespaces/ns-bench-001/services?fieldManager=a");
        let body = r#"{"metadata":{"name":"bench-00123","namespace":"ns-bench-001","uid":"u-1","resourceVersion":"70"}}"#;
        assert_eq!(creations[0].body(), body.as_bytes());
        assert_eq!(
            statuses[0].uri(),
            "/apis/a/v1/namespaces/ns-bench-001/groups/bench-00123/status?force=true"
        );
    }

    #[test]
    fn a_creation_can_be_sent_as_an_apply() {
        let group = Created { index: 0, uid: "u-1".to_owned(), version: "70".to_owned() };
        let [creations, _] = recording().requests(Workload::new("bench", 1), &group, Verb::Apply);
        assert_eq!(creations[0].method(), "PATCH");
        let path = "/api/v1/namespaces/ns-bench-000/services/bench-00000?fieldManager=floor&force=true";
        assert_eq!(creations[0].uri(), path);
    }
}
