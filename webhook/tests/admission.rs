//! Sends every AdmissionReview of tests/fixtures/admission over HTTP and TLS, as an API server
//! does, and compares the response with the expected one. `UPDATE=1` rewrites the expected
//! responses.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::{Client, Response, TestServer};
use kcg_api::GroupDefaults;
use kcg_api::topic::{TopicFacts, TopicLookup, TopicLookups, TopicRef};
use kcg_api::valid::TopicGrants;
use kcg_webhook::admit::{Admission, AdmissionPolicy, AdmissionRequest, Verdict, admit};
use kcg_webhook::server::Limits;
use serde_json::{Map, Value, json};

/// The rules as the process applies them, with the topics of each case.
#[derive(Clone, Debug, Default)]
struct Cluster(Arc<Mutex<Topics>>);

#[derive(Clone, Debug)]
enum Topics {
    Known(TopicLookups),
    All(TopicLookup),
}

impl Default for Topics {
    fn default() -> Self {
        Self::Known(TopicLookups::new())
    }
}

impl Admission for Cluster {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        let topics = self.0.lock().unwrap();
        let grants = TopicGrants::Named(vec!["kafka".to_owned()]);
        let policy = AdmissionPolicy { grants, ..AdmissionPolicy::default() };
        admit(request, &policy, &GroupDefaults::default(), |topic| match &*topics {
            Topics::Known(lookups) => lookups.get(topic).cloned().unwrap_or(TopicLookup::NotFound),
            Topics::All(lookup) => lookup.clone(),
        })
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/admission")
}

/// The bytes that a case sends.
enum Sent {
    Body(Vec<u8>),
    Http(Vec<u8>),
}

struct Case {
    name: String,
    sent: Sent,
    topics: Topics,
}

fn topics(name: &str) -> Topics {
    let own = folder().join(format!("{name}.topics.json"));
    let path = if own.exists() { own } else { folder().join("topics.json") };
    let written: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    match &written {
        Value::String(text) if text == "NotServed" => Topics::All(TopicLookup::NotServed),
        Value::Object(unknown) => {
            Topics::All(TopicLookup::Unknown(unknown["Unknown"].as_str().unwrap().to_owned()))
        }
        Value::Array(topics) => Topics::Known(topics.iter().map(found).collect()),
        other => panic!("{name}: cannot read the topics: {other}"),
    }
}

fn found(topic: &Value) -> (TopicRef, TopicLookup) {
    let text = |field: &str| topic["metadata"][field].as_str().unwrap().to_owned();
    let topic_ref = TopicRef { namespace: text("namespace"), name: text("name") };
    (topic_ref, TopicLookup::Found(TopicFacts::decode(topic)))
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let (name, kind) = path.file_name()?.to_str()?.rsplit_once(".request.")?;
            let bytes = std::fs::read(&path).unwrap();
            let sent = match kind {
                "json" | "raw" => Sent::Body(bytes),
                "http" => Sent::Http(bytes),
                other => panic!("{name}: unknown kind of request: {other}"),
            };
            Some(Case { name: name.to_owned(), sent, topics: topics(name) })
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    async fn ask(&self, server: &TestServer, path: &str) -> Response {
        match &self.sent {
            Sent::Body(body) => post(server, path, body).await,
            Sent::Http(request) => {
                let text = std::str::from_utf8(request).unwrap();
                let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
                let head = head.replace("PATH", path).replace('\n', "\r\n");
                exchange(server, format!("{head}\r\n\r\n{body}").as_bytes()).await
            }
        }
    }

    /// The uid that the response has to repeat.
    fn uid(&self) -> Option<String> {
        let Sent::Body(body) = &self.sent else { return None };
        let review: Value = serde_json::from_slice(body).ok()?;
        review.pointer("/request/uid")?.as_str().map(str::to_owned)
    }

    fn expected(&self) -> PathBuf {
        folder().join(format!("{}.response.json", self.name))
    }
}

async fn post(server: &TestServer, path: &str, body: &[u8]) -> Response {
    let head = format!(
        "POST {path}?timeout=5s HTTP/1.1\r\nHost: webhook\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        body.len()
    );
    exchange(server, &[head.as_bytes(), body].concat()).await
}

async fn exchange(server: &TestServer, request: &[u8]) -> Response {
    let mut client: Client = server.client().await;
    client.send(request).await;
    let interim = client.response().await;
    if interim.status == 100 { client.response().await } else { interim }
}

/// A response as the fixtures show it: with a decoded, readable patch.
fn shown(response: &Response) -> Value {
    if response.status != 200 {
        return json!({"code": response.status, "text": response.body.trim_end()});
    }
    let mut review: Value = serde_json::from_str(&response.body).unwrap();
    let mut shown = Map::from_iter([("code".to_owned(), json!(200))]);
    if let Some(patch) = review["response"].as_object_mut().unwrap().remove("patch") {
        let patch = BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap();
        shown.insert("patch".to_owned(), serde_json::from_slice(&patch).unwrap());
    }
    shown.insert("review".to_owned(), review);
    Value::Object(shown)
}

/// Both responses as one file.
fn file(mutate: &Value, validate: &Value) -> String {
    let responses = if mutate == validate {
        json!({"both": mutate})
    } else {
        json!({"mutate": mutate, "validate": validate})
    };
    serde_json::to_string_pretty(&responses).unwrap() + "\n"
}

async fn open(cluster: &Cluster) -> TestServer {
    // The server waits for the rest of an incomplete body; shorter here than in production.
    let limits = Limits { request: Duration::from_secs(2), ..Limits::default() };
    TestServer::start_with(limits, cluster.clone(), Duration::ZERO).await
}

#[tokio::test]
async fn every_review_gets_the_response_of_its_fixture() {
    let cluster = Cluster::default();
    let server = open(&cluster).await;
    let cases = cases();
    assert!(cases.len() >= 60, "the fixtures are there");
    let mut responses = Vec::new();
    for case in &cases {
        *cluster.0.lock().unwrap() = case.topics.clone();
        let (mutate, validate) = (case.ask(&server, "/mutate").await, case.ask(&server, "/validate").await);
        responses.push((case.expected(), file(&shown(&mutate), &shown(&validate))));
    }
    kcg_golden::check(responses);
}

#[test]
fn every_expected_response_belongs_to_a_request() {
    let names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let case = file.strip_suffix(".response.json").or_else(|| file.strip_suffix(".topics.json"));
        assert!(
            case.is_none_or(|case| names.iter().any(|name| name == case)),
            "{file} belongs to no request"
        );
    }
}

#[tokio::test]
async fn every_response_is_well_formed_and_both_webhooks_agree() {
    let cluster = Cluster::default();
    let server = open(&cluster).await;
    for case in cases() {
        *cluster.0.lock().unwrap() = case.topics.clone();
        let name = &case.name;
        let responses = [case.ask(&server, "/mutate").await, case.ask(&server, "/validate").await];
        let reviews: Vec<Value> =
            responses.iter().filter_map(|response| serde_json::from_str(&response.body).ok()).collect();
        assert!(
            responses.iter().all(|response| matches!(response.status, 200 | 400..=499)),
            "{name}: {responses:?}"
        );
        assert!(!name.starts_with("malformed") || reviews.iter().all(refused), "{name} was allowed");
        for review in &reviews {
            well_formed(name, review, case.uid());
        }
        if let [mutate, validate] = reviews.as_slice() {
            let status = |review: &Value| review.pointer("/response/status").cloned();
            assert_eq!(status(mutate), status(validate), "{name}: both webhooks deny alike");
            assert_eq!(validate.pointer("/response/patch"), None, "{name}: only mutate patches");
            admitted_again(&case, &server, mutate).await;
        }
    }
}

fn refused(review: &Value) -> bool {
    review["response"]["allowed"] == json!(false)
}

fn well_formed(name: &str, review: &Value, uid: Option<String>) {
    assert_eq!(review["kind"], "AdmissionReview", "{name}");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1", "{name}");
    let response = &review["response"];
    assert!(uid.is_none_or(|uid| response["uid"] == json!(uid)), "{name}: the response repeats the uid");
    assert_eq!(refused(review), response.get("status").is_some(), "{name}: a denial has a status");
    let warnings: Vec<&str> =
        response["warnings"].as_array().into_iter().flatten().map(|w| w.as_str().unwrap()).collect();
    assert!(warnings.iter().all(|w| w.chars().count() <= 120 && !w.contains('\n')), "{name}: {warnings:?}");
    if response["status"]["reason"] == "Invalid" {
        let causes = response["status"]["details"]["causes"].as_array().unwrap();
        assert!(!causes.is_empty() && response["status"]["code"] == 422, "{name}: {response}");
        let distinct: BTreeMap<String, &Value> =
            causes.iter().map(|cause| (cause.to_string(), cause)).collect();
        assert_eq!(distinct.len(), causes.len(), "{name}: each cause once");
    }
}

/// The patch only adds fields, the patched object gets the same verdict, and it gets no further
/// patch.
async fn admitted_again(case: &Case, server: &TestServer, first: &Value) {
    let Some(patch) = first.pointer("/response/patch") else {
        return;
    };
    let patch: json_patch::Patch =
        serde_json::from_slice(&BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap()).unwrap();
    let Sent::Body(body) = &case.sent else { return };
    let mut review: Value = serde_json::from_slice(body).unwrap();
    let object = &mut review["request"]["object"];
    for operation in &patch.0 {
        let json_patch::PatchOperation::Add(add) = operation else { panic!("{}: {operation}", case.name) };
        assert!(object.pointer(add.path.as_str()).is_none(), "{}: {} was written", case.name, add.path);
    }
    json_patch::patch(object, &patch).unwrap();
    let again = post(server, "/mutate", review.to_string().as_bytes()).await;
    let again: Value = serde_json::from_str(&again.body).unwrap();
    assert_eq!(again["response"]["allowed"], first["response"]["allowed"], "{}", case.name);
    assert_eq!(again.pointer("/response/patch"), None, "{}: nothing is left to fill in", case.name);
}
