//! The API server's part: one kept connection that brings a review every few milliseconds and judges each answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::Outcome;

/// Two hundred reviews a second.
const PACE: Duration = Duration::from_millis(5);
/// The registrations' own timeout.
const PATIENCE: Duration = Duration::from_secs(5);

/// One review: when it was due, and how long after that it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub due: Instant,
    pub took: Duration,
}

/// A thread of its own, so that the attack's tasks are never in the queue before a review.
pub struct Reviewer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Sample>>>,
}

impl Reviewer {
    pub fn start(address: SocketAddr, trust: Arc<ClientConfig>, host: ServerName<'static>) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut line = Line::open(address, trust, host)?;
        let thread = std::thread::spawn(move || {
            let (mut samples, mut due) = (Vec::new(), Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                // A review that is due while the one before it is still waited for has begun to wait, too.
                let late = Instant::now() > due;
                if !late {
                    std::thread::sleep(due - Instant::now());
                }
                let began = if late { due } else { Instant::now() };
                line.review()?;
                samples.push(Sample { due: began, took: began.elapsed() });
                due += PACE;
            }
            Ok(samples)
        });
        Ok(Self { stop, thread })
    }

    /// Every review so far, or the first that was not answered as it should be.
    pub fn end(self) -> Outcome<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reviewer's thread panicked")?
    }
}

/// The kept connection.
struct Line {
    stream: StreamOwned<ClientConnection, TcpStream>,
    request: Vec<u8>,
    expected: Value,
    read: Vec<u8>,
}

impl Line {
    fn open(address: SocketAddr, trust: Arc<ClientConfig>, host: ServerName<'static>) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let review = include_str!("../fixtures/admission/create-names-given.request.json");
        let answers = include_str!("../fixtures/admission/create-names-given.response.json");
        let answers: Value = serde_json::from_str(answers)?;
        Ok(Self {
            stream: StreamOwned::new(ClientConnection::new(trust, host)?, stream),
            request: crate::post(review),
            expected: answers["both"]["review"].clone(),
            read: Vec::new(),
        })
    }

    fn review(&mut self) -> Outcome {
        self.stream.write_all(&self.request)?;
        self.stream.flush()?;
        self.read.clear();
        loop {
            if let Some((head, body)) = crate::answer(&self.read) {
                let right = head.starts_with("HTTP/1.1 200 ")
                    && serde_json::from_slice::<Value>(body).is_ok_and(|said| said == self.expected);
                return if right { Ok(()) } else { Err(format!("a review was answered with {head}").into()) };
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("the reviewer's connection was closed".into());
            }
            self.read.extend_from_slice(&chunk[..read]);
        }
    }
}
