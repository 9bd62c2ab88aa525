//! The API server's part: one connection that sends a review every few milliseconds and checks each
//! response.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kcg_tests::Outcome;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

/// Two hundred reviews per second.
const INTERVAL: Duration = Duration::from_millis(5);
/// The timeout of the webhook configurations.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A review of a group that is allowed.
pub const REVIEW: &str = include_str!("../fixtures/admission/create-names-given.request.json");

/// One review: when it was due, and how long after that the response came.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub due: Instant,
    pub took: Duration,
}

/// It has its own thread, so that a review never waits behind the tasks of the attack.
pub struct Reviewer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Vec<Sample>>>,
}

impl Reviewer {
    pub fn start(address: SocketAddr, tls: Arc<ClientConfig>, host: ServerName<'static>) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut connection = Connection::open(address, tls, host)?;
        let thread = std::thread::spawn(move || {
            let (mut samples, mut due) = (Vec::new(), Instant::now());
            // What was due before the end is sent even if it is late.
            while !stopped.load(Ordering::Relaxed) || Instant::now() > due {
                // A review that is due before the previous one is answered waits from its due time
                // on.
                let late = Instant::now() > due;
                if !late {
                    std::thread::sleep(due - Instant::now());
                }
                let began = if late { due } else { Instant::now() };
                connection.review()?;
                samples.push(Sample { due: began, took: began.elapsed() });
                due += INTERVAL;
            }
            Ok(samples)
        });
        Ok(Self { stop, thread })
    }

    /// Every review so far, or the first with an unexpected response.
    pub fn end(self) -> Outcome<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reviewer's thread panicked")?
    }
}

/// The connection, and the review that is sent over it.
struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    request: Vec<u8>,
    expected: Value,
    read: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, tls: Arc<ClientConfig>, host: ServerName<'static>) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let answers = include_str!("../fixtures/admission/create-names-given.response.json");
        let answers: Value = serde_json::from_str(answers)?;
        Ok(Self {
            stream: StreamOwned::new(ClientConnection::new(tls, host)?, stream),
            request: crate::post(REVIEW),
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
                    && serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer == self.expected);
                return if right { Ok(()) } else { Err(format!("a review got the response {head}").into()) };
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
