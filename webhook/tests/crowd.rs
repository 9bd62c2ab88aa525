//! What the admission port does with clients that are slow or many, and how it ends.
#![allow(clippy::unwrap_used, reason = "test code")]

mod port;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use kcg_api::violation::{Rule, Violation};
use kcg_webhook::admit::{Admission, Request, Stage, Verdict};
use kcg_webhook::server::Limits;
use port::{Client, HEAD, Port, closed_after, review, short};
use tokio::io::AsyncWriteExt;

/// How far around a timeout rests are swept.
const SWEPT: Duration = Duration::from_millis(100);

fn about(measured: Duration, expected_millis: u64) {
    let expected = Duration::from_millis(expected_millis);
    assert!(measured >= expected.mul_f64(0.8), "closed too early, after {measured:?}");
    // The machine may be busy; what matters is that it ends.
    assert!(measured <= expected + Duration::from_secs(3), "closed too late, after {measured:?}");
}

#[tokio::test]
async fn a_client_that_does_not_begin_is_reaped() {
    let port = Port::open(short()).await;
    let mut stream = port.plain().await;
    about(closed_after(&mut stream).await, 300);
    // With a connection whole, it may be kept for later.
    let mut client = port.client().await;
    about(client.closed_after().await, 1500);
}

/// Go's client puts a connection that it dialled and then did not need into its pool, as if it had been used.
#[tokio::test]
async fn a_connection_that_rested_before_its_first_review_serves_it() {
    let port = Port::open(short()).await;
    let mut client = port.client().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_trickles_is_reaped_wherever_it_trickles() {
    let port = Port::open(short()).await;
    // The first bytes of a ClientHello record, then of a head, then of a second head on a kept connection.
    let mut stream = port.plain().await;
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3].into_iter().chain([0; 60]);
    let mut reaped = false;
    for byte in hello {
        tokio::time::sleep(Duration::from_millis(50)).await;
        reaped |= stream.write_all(&[byte]).await.is_err();
    }
    assert!(reaped, "in the handshake");

    let mut client = port.client().await;
    assert!(trickle(&mut client).await, "in the first head");
    let mut client = port.client().await;
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(trickle(&mut client).await, "in the second head, after a rest longer than a head may take");
    assert!(
        port.metrics().contains(r#"webhook_connection_faults_total{reason="slow"} 2"#),
        "{}",
        port.metrics()
    );
}

/// Sends a head byte by byte; true when the server does not stand it.
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
    let port = Port::open(short()).await;
    let mut client = port.client().await;
    client.send(format!("{HEAD}Content-Length: 1000\r\n\r\n{{")).await;
    let refused = client.response().await;
    assert_eq!(refused.status, 408);
    assert!(refused.says_close());
}

/// Refuses at such length that a few answers fill every buffer between it and its client.
#[derive(Debug)]
struct Talkative;

impl Admission for Talkative {
    fn judge(&self, _request: &Request<'_>) -> Verdict {
        let violation = Violation::forbidden(Rule::Type, "spec", "x".repeat(2000));
        Verdict::Refused { violations: vec![violation; 100], warnings: Vec::new() }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_reaped() {
    let port = Port::open_with(short(), Talkative, Duration::ZERO).await;
    let mut client = port.client().await;
    let body = review("a", "{}");
    let request = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
    let flooded = async { while client.stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flooded).await.expect("the server lets go of it");
    assert!(
        port.metrics().contains(r#"webhook_connection_faults_total{reason="slow"} 1"#),
        "{}",
        port.metrics()
    );
}

#[tokio::test]
async fn an_idle_connection_outlives_a_head_s_deadline_and_ends_at_its_own() {
    let port = Port::open(short()).await;
    let mut client = port.client().await;
    for _ in 0..3 {
        assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
    about(client.closed_after().await, 1500);
}

#[test]
fn an_idle_connection_outlives_the_api_server_s_own_ninety_seconds() {
    assert!(Limits::default().idle > Duration::from_secs(90));
}

/// A client that drops a connection which has rested for `keeps`, as Go's does: by a timer, and by a look at the clock
/// before it sends. It tries nothing again.
struct Keeping<'a> {
    port: &'a Port,
    keeps: Duration,
    kept: Option<(Client, Instant)>,
}

impl Keeping<'_> {
    async fn rest(&mut self, rest: Duration) {
        tokio::time::sleep(rest.min(self.keeps)).await;
        if rest >= self.keeps {
            self.kept = None;
            tokio::time::sleep(rest.saturating_sub(self.keeps)).await;
        }
    }

    /// Whether a review is answered.
    async fn ask(&mut self) -> bool {
        let mut client = match self.kept.take() {
            Some((client, since)) if since.elapsed() < self.keeps => client,
            _ => self.port.client().await,
        };
        let answered =
            client.try_post("/validate", &review("a", "{}")).await.is_ok_and(|said| said.status == 200);
        self.kept = Some((client, Instant::now()));
        answered
    }
}

/// A hundredth of the real times: the server keeps an idle connection for 180 s, the API server's client for 90 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_after_any_rest_around_the_server_s_and_the_client_s_idle_timeouts_is_answered() {
    let (server, client) = (Duration::from_millis(1800), Duration::from_millis(900));
    let port = Port::open(Limits { idle: server, ..Limits::default() }).await;
    let around = |timeout: Duration| {
        (0..41).map(move |step| (timeout + Duration::from_millis(step * 5)).saturating_sub(SWEPT))
    };
    let swept = around(client).chain(around(server)).map(async |rest| {
        let mut client = Keeping { port: &port, keeps: client, kept: None };
        assert!(client.ask().await, "the first");
        let mut failed = Vec::new();
        for _ in 0..3 {
            client.rest(rest).await;
            if !client.ask().await {
                failed.push(rest);
            }
        }
        failed
    });
    let failed = futures::future::join_all(swept).await.concat();
    assert_eq!(failed, Vec::<Duration>::new(), "the rests after which a review failed");
}

#[tokio::test]
async fn a_full_house_makes_room_by_closing_who_never_asked() {
    let port = Port::open(Limits { connections: 4, ..Limits::default() }).await;
    let mut served = port.client().await;
    assert_eq!(served.post("/validate", &review("a", "{}")).await.status, 200);
    let mut silent = port.plain().await;
    let mut others = vec![port.plain().await, port.plain().await];
    let mut newest = port.client().await;
    assert_eq!(newest.post("/validate", &review("b", "{}")).await.status, 200);
    closed_after(&mut silent).await;
    assert_eq!(served.post("/validate", &review("c", "{}")).await.status, 200, "who was served stays");
    others.clear();
}

#[tokio::test]
async fn a_house_full_of_idle_clients_that_were_served_once_still_lets_the_api_server_in() {
    let port = Port::open(Limits { connections: 4, ..Limits::default() }).await;
    let mut guests = Vec::new();
    for _ in 0..4 {
        let mut client = port.client().await;
        assert_eq!(client.post("/validate", &review("a", "{}")).await.status, 200);
        guests.push(client);
    }
    let mut newest = port.client().await;
    assert_eq!(newest.post("/validate", &review("b", "{}")).await.status, 200);
    let mut longest = guests.remove(0);
    longest.closed_after().await;
    for client in &mut guests {
        assert_eq!(client.post("/validate", &review("c", "{}")).await.status, 200, "the others stay");
    }
}

/// Judges only when it is told to.
#[derive(Clone, Debug)]
struct Held(Arc<Barrier>);

impl Admission for Held {
    fn judge(&self, request: &Request<'_>) -> Verdict {
        if request.stage == Stage::Mutate {
            // A worker thread that merely blocks keeps what was put before it, at times the other client's connection.
            tokio::task::block_in_place(|| {
                self.0.wait();
                self.0.wait();
            });
        }
        port::Lenient.judge(request)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn too_many_reviews_at_once_get_a_503() {
    let held = Held(Arc::new(Barrier::new(2)));
    let port =
        Port::open_with(Limits { in_flight: 1, ..Limits::default() }, held.clone(), Duration::ZERO).await;
    let (mut slow, mut quick) = (port.client().await, port.client().await);
    let asked = tokio::spawn(async move { slow.post("/mutate", &review("a", "{}")).await.status });
    let barrier = Arc::clone(&held.0);
    tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    assert_eq!(quick.post("/validate", &review("b", "{}")).await.status, 503);
    tokio::task::spawn_blocking(move || held.0.wait()).await.unwrap();
    assert_eq!(asked.await.unwrap(), 200);
    assert_eq!(quick.post("/validate", &review("b", "{}")).await.status, 200);
}

#[tokio::test]
async fn clients_that_never_finish_a_request_cannot_keep_the_api_server_out() {
    let port = Port::open(Limits { connections: 8, ..Limits::default() }).await;
    let mut known = port.client().await;
    assert_eq!(known.post("/validate", &review("a", "{}")).await.status, 200);
    let mut slow = Vec::new();
    for place in 0..20 {
        let mut client = port.client().await;
        // Some say nothing, some half a head, some half a body.
        match place % 3 {
            0 => {}
            1 => client.send("POST /validate HTTP/1.1\r\nHost").await,
            _ => client.send(format!("{HEAD}Content-Length: 1000\r\n\r\n{{")).await,
        }
        slow.push(client);
        assert_eq!(known.post("/validate", &review("b", "{}")).await.status, 200, "place {place}");
        assert_eq!(
            port.client().await.post("/validate", &review("c", "{}")).await.status,
            200,
            "place {place}"
        );
    }
}

#[tokio::test]
async fn a_drain_asks_clients_to_leave_then_closes_the_door_then_ends() {
    let port = Port::open_with(Limits::default(), port::Lenient, Duration::from_millis(800)).await;
    let mut idle = port.client().await;
    let mut early = port.client().await;
    assert!(!early.post("/validate", &review("a", "{}")).await.says_close());
    assert!(!idle.post("/validate", &review("a", "{}")).await.says_close());
    let mut busy = port.client().await;
    busy.send(format!("{HEAD}Content-Length: {}\r\n\r\n", review("b", "{}").len())).await;

    port.stop.cancel();
    let answer = early.post("/validate", &review("a", "{}")).await;
    assert!(answer.status == 200 && answer.says_close(), "a known client is asked to leave: {answer:?}");
    let answer = port.client().await.post("/validate", &review("a", "{}")).await;
    assert!(answer.status == 200 && answer.says_close(), "a new client is still served: {answer:?}");

    idle.closed_after().await;
    assert!(tokio::net::TcpStream::connect(port.address).await.is_err(), "the door is closed");
    assert!(!port.served.is_finished(), "a request is still under way");
    busy.send(review("b", "{}")).await;
    assert_eq!(busy.response().await.status, 200, "and comes to its end");
    drop(busy);
    assert_eq!(port.served.await.unwrap(), 0, "nothing was cut off");
}

#[tokio::test]
async fn a_request_without_an_end_does_not_hold_up_the_drain() {
    let port = Port::open(short()).await;
    let mut stuck = port.client().await;
    stuck.send(format!("{HEAD}Content-Length: 100\r\n\r\n{{")).await;
    port.stop.cancel();
    let served = tokio::time::timeout(Duration::from_secs(5), port.served).await;
    served.expect("the drain ends").unwrap();
}
