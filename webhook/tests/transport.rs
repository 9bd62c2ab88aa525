//! The HTTP and TLS of the admission server: paths, sizes, framing, protocol versions,
//! certificates.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::time::{Duration, SystemTime};

use harness::{Client, HEAD, TestServer, review, self_signed, short_limits, time_until_closed};
use kcg_certs::Pair;
use kcg_webhook::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_review_gets_a_response_and_the_connection_stays_open() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = server.client().await;
    for (path, uid) in [("/mutate?timeout=5s", "first"), ("/validate", "second")] {
        let response = client.post(path, &review(uid, "{}")).await;
        assert_eq!(response.status, 200);
        assert!(response.head.contains("content-type: application/json"), "{}", response.head);
        assert_eq!(
            response.body,
            format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
            )
        );
        assert!(!response.asks_to_close());
    }
    let metrics = server.metrics();
    assert!(
        metrics.contains(r#"admission_reviews_total{operation="Create",decision="Allowed",reason="None"} 2"#),
        "{metrics}"
    );
    assert!(metrics.contains("webhook_connections 1"), "{metrics}");
}

#[tokio::test]
async fn other_paths_methods_and_media_types_get_their_own_status_codes() {
    let server = TestServer::start(Limits::default()).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /../etc/passwd HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404),
        ("GET /mutate HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415),
        ("POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 415),
        (
            "POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            415,
        ),
        (
            "POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
            400,
        ),
        ("nonsense\r\n\r\n", 400),
        ("POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
    ] {
        let mut client = server.client().await;
        client.send(request).await;
        assert_eq!(client.response().await.status, status, "{request}");
    }
}

#[tokio::test]
async fn a_body_of_seven_mebibytes_is_accepted_and_one_more_byte_is_rejected() {
    let server = TestServer::start(Limits::default()).await;
    let limit = 7 << 20;
    let frame = review("big", r#"{"a":""}"#).len();
    let body = |length: usize| review("big", &format!(r#"{{"a":"{}"}}"#, "x".repeat(length - frame)));

    let mut client = server.client().await;
    assert_eq!(body(limit).len(), limit);
    assert_eq!(client.post("/validate", &body(limit)).await.status, 200);
    let refused = client.post("/validate", &body(limit + 1)).await;
    assert_eq!(refused.status, 413);
    assert!(refused.asks_to_close());

    let mut client = server.client().await;
    client.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", limit + 1)).await;
    client.send(body(limit + 1)).await;
    assert_eq!(client.response().await.status, 413, "chunked");
}

/// On a connection that has carried large bodies, a body arrives in larger pieces than a small body has
/// bytes. A smaller bound makes every piece such a one.
#[tokio::test]
async fn a_large_body_may_begin_with_a_piece_that_is_larger_than_a_small_body() {
    let server = TestServer::start(Limits { small_body_bytes: 1000, ..Limits::default() }).await;
    let mut client = server.client().await;
    let object = format!(r#"{{"metadata":{{"annotations":{{"a":"{}"}}}}}}"#, "a".repeat(1 << 20));
    for uid in ["first", "second", "third"] {
        assert_eq!(client.post("/validate", &review(uid, &object)).await.status, 200, "{uid}");
    }
}

#[tokio::test]
async fn a_content_length_above_the_limit_is_rejected_before_the_body_arrives() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send(format!("{HEAD}Content-Length: 10995116277760\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 413);
    client.time_until_closed().await;
}

#[tokio::test]
async fn a_head_above_its_limit_is_rejected() {
    let server = TestServer::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send(format!("{HEAD}X-Long: {}", "x".repeat(70 << 10))).await;
    assert_eq!(client.response().await.status, 431);
}

#[tokio::test]
async fn a_body_that_contradicts_its_framing_is_rejected() {
    let server = TestServer::start(short_limits()).await;
    let mut client = server.client().await;
    client.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n")).await;
    assert_eq!(client.response().await.status, 400, "a chunk without a length");

    let mut client = server.client().await;
    client.send(format!("{HEAD}Content-Length: 100\r\n\r\n{{}}")).await;
    assert_eq!(client.response().await.status, 408, "shorter than its Content-Length");

    let mut client = server.client().await;
    client.send(format!("{HEAD}Content-Length: 2\r\n\r\n{{}}trailing rubbish\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 400, "only the bytes of Content-Length are read");
    client.time_until_closed().await;
}

#[tokio::test]
async fn plain_http_is_closed_at_once() {
    let server = TestServer::start(Limits::default()).await;
    let mut stream = server.connect_plain().await;
    stream.write_all(b"GET /mutate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(time_until_closed(&mut stream).await < Duration::from_secs(3));
}

#[tokio::test]
async fn tls_1_1_and_ssl_2_are_rejected() {
    // A ClientHello of TLS 1.1 with one cipher suite, and one of SSL 2.
    let mut tls_1_1 = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    tls_1_1.extend([7; 32]);
    tls_1_1.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let ssl_2 = [0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80].repeat(2);
    let server = TestServer::start(Limits::default()).await;
    for hello in [tls_1_1, ssl_2] {
        let mut stream = server.connect_plain().await;
        stream.write_all(&hello).await.unwrap();
        let mut received = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut received))
            .await
            .expect("the server closes the connection at once");
        assert!(received.is_empty() || received[0] == 0x15, "nothing but an alert: {received:?}");
    }
}

#[tokio::test]
async fn http_2_is_not_offered() {
    let server = TestServer::start(Limits::default()).await;
    let client = server.client().await;
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(Client::connect(server.address, &server.chain(), &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_old_connections_stay_open() {
    let server = TestServer::start(Limits::default()).await;
    let mut old = server.client().await;
    let files = self_signed();
    let pair = Pair::from_pem(files.chain.as_bytes(), files.key.as_bytes());
    server.resolver.replace(pair, SystemTime::now()).unwrap();

    assert!(
        Client::connect(server.address, &server.chain(), &[]).await.is_err(),
        "the server no longer presents the old certificate"
    );
    let mut new = Client::connect(server.address, &files.chain, &[]).await.unwrap();
    assert_eq!(new.post("/validate", &review("a", "{}")).await.status, 200);
    assert_eq!(old.post("/validate", &review("b", "{}")).await.status, 200);
}
