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
