//! Slow clients, idle clients and more clients than the admission server has room for.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::net::SocketAddr;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use harness::{AllowAll, Client, HEAD, TestServer, review, short_limits, time_until_closed};
use kcg_api::violation::{Rule, Violation};
use kcg_runtime::probes::{ProbeServer, Readiness};
use kcg_webhook::admit::{Admission, AdmissionRequest, Stage, Verdict};
use kcg_webhook::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How far before a timeout the swept idle times begin.
const SWEPT: Duration = Duration::from_millis(100);

fn about(measured: Duration, expected_millis: u64) {
    let expected = Duration::from_millis(expected_millis);
    assert!(measured >= expected.mul_f64(0.8), "closed too early, after {measured:?}");
    // The machine may be busy; the test is that the connection ends at all.
    assert!(measured <= expected + Duration::from_secs(3), "closed too late, after {measured:?}");
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_disconnected() {
    let server = TestServer::start(short_limits()).await;
    let mut stream = server.connect_plain().await;
    about(time_until_closed(&mut stream).await, 300);
    // After its handshake, a client may keep the connection for later.
    let mut client = server.client().await;
    about(client.time_until_closed().await, 1500);
}

/// Go's client puts a connection that it dialled and then did not need into its pool.
#[tokio::test]
async fn a_connection_that_was_idle_before_its_first_review_serves_it() {
    let server = TestServer::start(short_limits()).await;
    let mut client = server.client().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_trickles_is_disconnected_in_the_handshake_and_in_any_head() {
    let server = TestServer::start(short_limits()).await;
    // The first bytes of a ClientHello record, then of a head, then of a second head on an open
    // connection.
    let mut stream = server.connect_plain().await;
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3].into_iter().chain([0; 60]);
    let mut closed = false;
    for byte in hello {
        tokio::time::sleep(Duration::from_millis(50)).await;
        closed |= stream.write_all(&[byte]).await.is_err();
    }
    assert!(closed, "in the handshake");

    let mut client = server.client().await;
    assert!(trickle(&mut client).await, "in the first head");
    let mut client = server.client().await;
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(trickle(&mut client).await, "in the second head, after more idle time than a head may take");
    assert!(
        server.metrics().contains(r#"webhook_connection_errors_total{reason="slow"} 2"#),
        "{}",
        server.metrics()
    );
}

/// Sends a head byte by byte; true if the server closes the connection.
async fn trickle(client: &mut Client) -> bool {
    for byte in HEAD.bytes() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if client.stream.write_all(&[byte]).await.is_err() || client.stream.flush().await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_body_that_trickles_gets_a_408() {
    let server = TestServer::start(short_limits()).await;
    let mut client = server.client().await;
    client.send(format!("{HEAD}Content-Length: 1000\r\n\r\n{{")).await;
    let refused = client.response().await;
    assert_eq!(refused.status, 408);
    assert!(refused.asks_to_close());
}

/// Denies with so many violations that a few responses fill every buffer on the way to the client.
#[derive(Debug)]
struct LongDenials;

impl Admission for LongDenials {
    fn admit(&self, _request: &AdmissionRequest<'_>) -> Verdict {
        let violation = Violation::forbidden(Rule::Type, "spec", "x".repeat(2000));
        Verdict::Refused { violations: vec![violation; 100], warnings: Vec::new() }
    }
}

/// A response waits in memory for its reader: it is short, whatever was asked.
#[tokio::test]
async fn a_response_has_at_most_64_kib() {
    for detail in ["x", "\u{1}", "\"", "ä", "\\"] {
        let server =
            TestServer::start_with(Limits::default(), Denials(detail.repeat(2000)), Duration::ZERO).await;
        let mut client = server.client().await;
        let mut review: serde_json::Value = serde_json::from_str(&review("a", "{}")).unwrap();
        review["request"]["name"] = "\u{7f}".repeat(253).into();
        let response = client.post("/validate", &review.to_string()).await;
        assert_eq!(response.status, 200);
        let length = response.body.len();
        assert!((8 << 10..=64 << 10).contains(&length), "{detail:?}: {length} bytes");
        assert!(response.body.contains("more"), "the rest is counted");
    }
}

#[tokio::test]
async fn a_name_that_the_api_server_cannot_have_is_no_review() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = server.client().await;
    let good = review("a", "{}");
    for (field, most) in [("name", 253), ("namespace", 63), ("uid", 128)] {
        let mut review: serde_json::Value = serde_json::from_str(&good).unwrap();
        review["request"][field] = "x".repeat(most).into();
        assert_eq!(client.post("/validate", &review.to_string()).await.status, 200, "{field}");
        review["request"][field] = "x".repeat(most + 1).into();
        let refused = client.post("/validate", &review.to_string()).await;
        assert_eq!(refused.status, 400, "{field}");
        assert_eq!(refused.body, format!("the request's {field} is longer than {most} bytes\n"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_responses_is_disconnected() {
    let server = TestServer::start_with(short_limits(), LongDenials, Duration::ZERO).await;
    let mut client = server.client().await;
    let body = review("a", "{}");
    let request = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
    let flooded = async { while client.stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flooded).await.expect("the server closes the connection");
    assert!(
        server.metrics().contains(r#"webhook_connection_errors_total{reason="slow"} 1"#),
        "{}",
        server.metrics()
    );
}

/// Denies with 100 violations of this detail, each in a field with a long path.
#[derive(Debug)]
struct Denials(String);

impl Admission for Denials {
    fn admit(&self, _request: &AdmissionRequest<'_>) -> Verdict {
        let violation = Violation::invalid(Rule::Type, "k".repeat(5000), self.0.as_str(), self.0.as_str());
        Verdict::Refused { violations: vec![violation; 100], warnings: vec![self.0.clone(); 100] }
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_deadline_and_ends_at_the_idle_timeout() {
    let server = TestServer::start(short_limits()).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
    about(client.time_until_closed().await, 1500);
}

#[test]
fn the_idle_timeout_exceeds_the_api_server_s_ninety_seconds() {
    assert!(Limits::default().idle > Duration::from_secs(90));
}

/// A client that closes a connection after `idle_timeout`, as Go's does: by a timer, and by the
/// clock before it sends. It retries nothing.
struct PooledClient<'a> {
    server: &'a TestServer,
    idle_timeout: Duration,
    pooled: Option<(Client, Instant)>,
}

impl PooledClient<'_> {
    async fn idle(&mut self, idle: Duration) {
        tokio::time::sleep(idle.min(self.idle_timeout)).await;
        if idle >= self.idle_timeout {
            self.pooled = None;
            tokio::time::sleep(idle.saturating_sub(self.idle_timeout)).await;
        }
    }

    /// Sends a review; true if it gets its response.
    async fn review(&mut self) -> bool {
        let mut client = match self.pooled.take() {
            Some((client, since)) if since.elapsed() < self.idle_timeout => client,
            _ => self.server.client().await,
        };
        let served = client
            .try_post("/validate", &review("a", "{}"))
            .await
            .is_ok_and(|response| response.status == 200);
        self.pooled = Some((client, Instant::now()));
        served
    }
}

/// A hundredth of the real timeouts: 180 s in the server, 90 s in the API server's client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_after_any_idle_time_around_both_idle_timeouts_gets_its_response() {
    let (server_timeout, client_timeout) = (Duration::from_millis(1800), Duration::from_millis(900));
    let server = TestServer::start(Limits { idle: server_timeout, ..Limits::default() }).await;
    let around = |timeout: Duration| {
        (0..41).map(move |step| (timeout + Duration::from_millis(step * 5)).saturating_sub(SWEPT))
    };
    let swept = around(client_timeout).chain(around(server_timeout)).map(async |idle| {
        let mut client = PooledClient { server: &server, idle_timeout: client_timeout, pooled: None };
        assert!(client.review().await, "the first");
        let mut failed = Vec::new();
        for _ in 0..3 {
            client.idle(idle).await;
            if !client.review().await {
                failed.push(idle);
            }
        }
        failed
    });
    let failed = futures::future::join_all(swept).await.concat();
    assert_eq!(failed, Vec::<Duration>::new(), "the idle times after which a review failed");
}

#[tokio::test]
async fn at_capacity_a_connection_without_a_review_makes_room() {
    let server = TestServer::start(Limits { connections: 4, ..Limits::default() }).await;
    let mut served = server.client().await;
    assert_eq!(served.post("/validate", &review("a", "{}")).await.status, 200);
    let mut silent = server.connect_plain().await;
    let mut others = vec![server.connect_plain().await, server.connect_plain().await];
    let mut newest = server.client().await;
    assert_eq!(newest.post("/validate", &review("b", "{}")).await.status, 200);
    time_until_closed(&mut silent).await;
    assert_eq!(
        served.post("/validate", &review("c", "{}")).await.status,
        200,
        "a connection with a review stays open"
    );
    others.clear();
}

#[tokio::test]
async fn at_capacity_with_idle_connections_that_all_sent_a_review_the_api_server_gets_in() {
    let server = TestServer::start(Limits { connections: 4, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.client().await;
        assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
        clients.push(client);
    }
    let mut newest = server.client().await;
    assert_eq!(newest.post("/validate", &review("b", "{}")).await.status, 200);
    let mut oldest = clients.remove(0);
    oldest.time_until_closed().await;
    for client in &mut clients {
        assert_eq!(client.post("/validate", &review("c", "{}")).await.status, 200, "the others stay open");
    }
}

/// Decides a mutating review only after the test has passed the barrier twice.
#[derive(Clone, Debug)]
struct Blocking(Arc<Barrier>);

impl Admission for Blocking {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        if request.stage == Stage::Mutate {
            self.0.wait();
            self.0.wait();
        }
        AllowAll.admit(request)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn too_many_reviews_at_once_get_a_503() {
    let blocking = Blocking(Arc::new(Barrier::new(2)));
    let server = TestServer::start_with(
        Limits { in_flight: 1, ..Limits::default() },
        blocking.clone(),
        Duration::ZERO,
    )
    .await;
    let (mut slow, mut quick) = (server.client().await, server.client().await);
    let blocked = tokio::spawn(async move { slow.post("/mutate", &review("a", "{}")).await.status });
    let barrier = Arc::clone(&blocking.0);
    tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    assert_eq!(quick.post("/validate", &review("b", "{}")).await.status, 503);
    tokio::task::spawn_blocking(move || blocking.0.wait()).await.unwrap();
    assert_eq!(blocked.await.unwrap(), 200);
    // The place is free once the server has written the response, which may be after it was read.
    while quick.post("/validate", &review("b", "{}")).await.status != 200 {}
}

/// Takes this long for each decision.
#[derive(Debug)]
struct Slow(Duration);

impl Admission for Slow {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        std::thread::sleep(self.0);
        AllowAll.admit(request)
    }
}

/// This runtime has one thread: if a decision blocked it, no other client would be served.
#[tokio::test]
async fn a_review_that_is_not_decided_by_its_deadline_gets_a_503_and_delays_no_other_client() {
    let decision = Duration::from_secs(2);
    let server = TestServer::start_with(short_limits(), Slow(decision), Duration::ZERO).await;
    let (mut slow, mut other) = (server.client().await, server.client().await);
    let began = Instant::now();
    let body = review("a", "{}");
    slow.send(format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(other.post("/elsewhere", "").await.status, 404);
    let overdue = slow.response().await;
    assert!(began.elapsed() < decision, "nothing waited for the decision");
    assert_eq!(overdue.status, 503);
    assert!(overdue.head.contains("retry-after: 1"), "{}", overdue.head);
    assert_eq!(overdue.body, "the review could not be decided in time: try again\n");
}

/// Decides no mutating review until the test ends.
#[derive(Clone, Debug, Default)]
struct Stuck(Arc<(Mutex<bool>, Condvar)>);

impl Admission for Stuck {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        if request.stage == Stage::Mutate {
            let (ended, changed) = &*self.0;
            drop(changed.wait_while(ended.lock().unwrap(), |ended| !*ended).unwrap());
        }
        AllowAll.admit(request)
    }
}

/// Its end, also that of a test that fails: the runtime waits for its threads.
struct EndOf(Stuck);

impl Drop for EndOf {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() = true;
        self.0.0.1.notify_all();
    }
}

/// A runtime with one thread, as above.
#[tokio::test]
async fn while_no_decision_ends_every_review_gets_a_503_and_probes_are_answered() {
    let limits = Limits { workers: 2, workers_per_client: 2, ..short_limits() };
    let stuck = EndOf(Stuck::default());
    let server = TestServer::start_with(limits, stuck.0.clone(), Duration::ZERO).await;
    let probes = ProbeServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = probes.address();
    tokio::spawn(probes.serve(Readiness::default(), server.stop.clone()));
    let mut client = server.client().await;
    for number in 0..3 {
        assert_eq!(client.post("/mutate", &review("a", "{}")).await.status, 503, "{number}");
    }
    // All threads are taken, and nothing gives them back.
    let overdue = client.post("/validate", &review("b", "{}")).await;
    assert_eq!(overdue.body, "the review could not be decided in time: try again\n");
    assert_eq!(client.post("/elsewhere", "").await.status, 404);
    assert_eq!(healthz(address).await, 200);
    drop(stuck);
    while client.post("/validate", &review("c", "{}")).await.status != 200 {}
}

async fn healthz(address: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Has a bug, on a thread of its own or on that of the connection.
#[derive(Debug)]
struct Panicking {
    quick: bool,
}

impl Admission for Panicking {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        assert_eq!(request.stage, Stage::Validate, "the bug");
        AllowAll.admit(request)
    }

    fn is_quick(&self, _: &[u8]) -> bool {
        self.quick
    }
}

#[tokio::test]
async fn a_bug_in_one_review_is_a_500_and_the_connection_serves_the_next() {
    for quick in [true, false] {
        let server = TestServer::start_with(Limits::default(), Panicking { quick }, Duration::ZERO).await;
        let mut client = server.client().await;
        assert_eq!(client.post("/mutate", &review("a", "{}")).await.status, 500, "quick: {quick}");
        assert_eq!(client.post("/validate", &review("b", "{}")).await.status, 200, "quick: {quick}");
    }
}

#[tokio::test]
async fn a_client_with_many_denials_gets_a_429() {
    let limits = Limits { denials: 2, denials_per_second: 1, ..Limits::default() };
    let server = TestServer::start_with(limits, LongDenials, Duration::ZERO).await;
    let mut client = server.client().await;
    for _ in 0..2 {
        assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
    }
    let refused = client.post("/validate", &review("a", "{}")).await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
}

#[tokio::test]
async fn a_client_with_many_requests_that_are_no_reviews_waits_for_each_response() {
    let penalty = Duration::from_millis(500);
    let limits = Limits { invalid: 3, invalid_per_second: 1, penalty, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let mut client = server.client().await;
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.post("/elsewhere", "").await.status, 404);
    }
    assert!(began.elapsed() < penalty, "{:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(client.post("/validate", "{").await.status, 400);
    }
    about(began.elapsed(), 1000);
    // Reviews are not concerned, whatever else comes from their address.
    let began = Instant::now();
    assert_eq!(server.client().await.post("/validate", &review("a", "{}")).await.status, 200);
    assert!(began.elapsed() < penalty, "{:?}", began.elapsed());
}

/// Decides on the thread of the connection.
#[derive(Debug)]
struct Quick;

impl Admission for Quick {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        AllowAll.admit(request)
    }

    fn is_quick(&self, _: &[u8]) -> bool {
        true
    }
}

/// This runtime has one thread, which a connection holds as long as it is busy.
#[tokio::test]
async fn requests_that_arrive_together_take_turns_with_those_of_other_connections() {
    let server = TestServer::start_with(Limits::default(), Quick, Duration::ZERO).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    assert_eq!(other.post("/validate", &review("a", "{}")).await.status, 200);
    client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300)).await;
    assert_eq!(other.post("/validate", &review("a", "{}")).await.status, 200);
    let text = server.metrics();
    let count = text.lines().find_map(|line| line.split_once("invalid_requests_total{code=\"404\"} "));
    let answered: usize = count.map_or(0, |(_, count)| count.parse().unwrap());
    assert!(answered < 100, "{answered} of 300 had their response first");
}

#[tokio::test]
async fn clients_that_never_finish_a_request_cannot_lock_the_api_server_out() {
    let server = TestServer::start(Limits { connections: 8, ..Limits::default() }).await;
    let mut known = server.client().await;
    assert_eq!(known.post("/validate", &review("a", "{}")).await.status, 200);
    let mut slow = Vec::new();
    for number in 0..20 {
        let mut client = server.client().await;
        // Some send nothing, some half a head, some half a body.
        match number % 3 {
            0 => {}
            1 => client.send("POST /validate HTTP/1.1\r\nHost").await,
            _ => client.send(format!("{HEAD}Content-Length: 1000\r\n\r\n{{")).await,
        }
        slow.push(client);
        assert_eq!(known.post("/validate", &review("b", "{}")).await.status, 200, "client {number}");
        assert_eq!(
            server.client().await.post("/validate", &review("c", "{}")).await.status,
            200,
            "client {number}"
        );
    }
}
