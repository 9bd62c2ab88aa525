//! Clients that hold places: with connections that brought a review once, with connections that bring
//! nothing, and with bodies that do not end.

use std::time::{Duration, Instant};

use kcg_tests::Outcome;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout_at};

use crate::clients::{Target, attacker, until_closed};

/// The smallest review that is answered with 200: of a kind that is not reviewed.
const GUEST: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"X"},"operation":"DELETE"}}"#;
/// How long a connect stays if the server does not close it.
const STAY: Duration = Duration::from_secs(10);
/// How many bytes of a body are sent at once: it is a large one then.
const BEGUN: usize = 80 << 10;

/// Connections from four addresses that have had a response; they stay until they are dropped.
pub async fn settle(target: &Target, count: usize) -> Outcome<Vec<impl AsyncRead + AsyncWrite + use<>>> {
    let request = crate::post(GUEST);
    let mut guests = Vec::new();
    for number in 0..count {
        let mut stream = target.of(number).connect().await?;
        let head = crate::clients::exchange(&mut stream, &request).await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("a guest got {head}").into());
        }
        guests.push(stream);
    }
    Ok(guests)
}

/// Opens this many connections a second from four addresses, which send nothing; returns how many.
pub async fn connect(target: &Target, per_second: usize, until: Instant) -> Outcome<usize> {
    let (mut clock, mut open, mut connects) = (interval(Duration::from_millis(10)), JoinSet::new(), 0);
    while Instant::now() < until {
        clock.tick().await;
        for _ in 0..per_second / 100 {
            let target = target.of(connects);
            connects += 1;
            open.spawn(async move {
                // The server may close it at any moment.
                let stay = async {
                    if let Ok(mut stream) = attacker(target.from, target.address).await {
                        until_closed(&mut stream).await;
                    }
                };
                let _ = tokio::time::timeout(STAY, stay).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
    Ok(connects)
}

/// What a scan sends: other paths and methods, another media type, JSON that is none, and a review.
fn scans() -> [Vec<u8>; 5] {
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let text = b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
    [
        plain("GET /metrics"),
        plain("DELETE /validate"),
        text.to_vec(),
        crate::post("{\"kind\": oh"),
        crate::post(GUEST),
    ]
}

/// Sends this many requests a second over connections from four addresses, without waiting for responses;
/// returns how many were sent, how many responses came, and the longest of them.
pub async fn flood(target: &Target, per_second: usize, until: Instant) -> Outcome<[usize; 3]> {
    const CLIENTS: usize = 16;
    const BATCHES: u32 = 50;
    let mut clients = JoinSet::new();
    let once = per_second / BATCHES as usize / CLIENTS;
    for number in 0..CLIENTS {
        let target = target.of(number);
        let batch: Vec<u8> = scans().iter().cycle().take(once).flatten().copied().collect();
        clients.spawn(async move {
            let (mut sent, mut answers, mut longest) = (0, 0, 0);
            while Instant::now() < until {
                // The server may close it at any moment.
                let Ok(stream) = target.connect().await else { continue };
                let (mut reading, mut writing) = tokio::io::split(stream);
                let mut clock = interval(Duration::from_secs(1) / BATCHES);
                let write = async {
                    while Instant::now() < until {
                        clock.tick().await;
                        writing.write_all(&batch).await?;
                        writing.flush().await?;
                        sent += once;
                    }
                    std::io::Result::Ok(())
                };
                let read = async {
                    let mut text = Vec::new();
                    while reading.read_buf(&mut text).await? > 0 {
                        let mut begin = 0;
                        while let Some(length) = response(&text[begin..]) {
                            begin += length;
                            answers += 1;
                            longest = longest.max(length);
                        }
                        text.drain(..begin);
                    }
                    std::io::Result::Ok(())
                };
                tokio::select! {
                    _ = write => {}
                    _ = read => {}
                }
            }
            [sent, answers, longest]
        });
    }
    let sums = clients.join_all().await;
    Ok([
        sums.iter().map(|sum| sum[0]).sum(),
        sums.iter().map(|sum| sum[1]).sum(),
        sums.iter().map(|sum| sum[2]).max().unwrap_or_default(),
    ])
}

/// The length of the first response, if it is complete.
fn response(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    (bytes.len() >= end + length).then_some(end + length)
}

/// Keeps this many connections from four addresses with a body that is large and arrives a byte at a time;
/// returns how many bodies were begun.
pub async fn trickle(target: &Target, clients: usize, until: Instant) -> usize {
    let mut trickling = JoinSet::new();
    for number in 0..clients {
        let target = target.of(number);
        trickling.spawn(async move {
            let mut begun = 0;
            let endless = async {
                loop {
                    begun += 1;
                    // The server may close it at any moment.
                    let _ = one_body(&target).await;
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let _: Result<(), _> = timeout_at(until.into(), endless).await;
            begun
        });
    }
    trickling.join_all().await.into_iter().sum()
}

async fn one_body(target: &Target) -> std::io::Result<()> {
    let request = crate::post(&" ".repeat(7 << 20));
    let mut stream = target.connect().await?;
    stream.write_all(&request[..BEGUN]).await?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut answer = [0; 1024];
    for byte in &request[BEGUN..] {
        tokio::select! {
            _ = reading.read(&mut answer) => break,
            () = sleep(Duration::from_secs(1)) => {}
        }
        writing.write_all(&[*byte]).await?;
        writing.flush().await?;
    }
    Ok(())
}
