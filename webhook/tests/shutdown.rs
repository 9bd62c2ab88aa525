//! How the admission server shuts down.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::time::Duration;

use harness::{AllowAll, HEAD, TestServer, review, short_limits};
use kcg_webhook::server::Limits;

#[tokio::test]
async fn a_shutdown_asks_clients_to_close_then_closes_the_listener_then_ends() {
    let server = TestServer::start_with(Limits::default(), AllowAll, Duration::from_millis(800)).await;
    let mut idle = server.client().await;
    let mut early = server.client().await;
    assert!(!early.post("/validate", &review("a", "{}")).await.asks_to_close());
    assert!(!idle.post("/validate", &review("a", "{}")).await.asks_to_close());
    let mut busy = server.client().await;
    busy.send(format!("{HEAD}Content-Length: {}\r\n\r\n", review("b", "{}").len())).await;

    server.stop.cancel();
    let response = early.post("/validate", &review("a", "{}")).await;
    assert!(
        response.status == 200 && response.asks_to_close(),
        "an open connection is asked to close: {response:?}"
    );
    let response = server.client().await.post("/validate", &review("a", "{}")).await;
    assert!(
        response.status == 200 && response.asks_to_close(),
        "a new connection is still served: {response:?}"
    );

    idle.time_until_closed().await;
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    assert!(!server.served.is_finished(), "a request is still in flight");
    busy.send(review("b", "{}")).await;
    assert_eq!(busy.response().await.status, 200, "and gets its response");
    drop(busy);
    assert_eq!(server.served.await.unwrap(), 0, "nothing was cut off");
}

#[tokio::test]
async fn a_request_without_an_end_does_not_delay_the_shutdown() {
    let server = TestServer::start(short_limits()).await;
    let mut stuck = server.client().await;
    stuck.send(format!("{HEAD}Content-Length: 100\r\n\r\n{{")).await;
    server.stop.cancel();
    let served = tokio::time::timeout(Duration::from_secs(5), server.served).await;
    served.expect("the drain ends").unwrap();
}
