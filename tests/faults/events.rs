//! The events of a watch on their way through the proxy: one line of JSON each.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http_body_util::BodyDataStream;
use hyper::body::Frame;
use kube::client::Body;
use tokio::time::timeout;
use tower::BoxError;

use crate::faults::Faults;
use crate::log::Log;
use crate::plan::Fault;

/// What the API server sends if it no longer has the events that a watch wants.
const EXPIRED: &[u8] = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: the fault proxy lost an event","reason":"Expired","code":410}}
"#;

/// How long an event waits for the one that it follows.
const SWAPPED: Duration = Duration::from_secs(1);
/// The size of an event that is inflated.
const INFLATED: usize = 10_000_000;
/// In how many pieces a body arrives that trickles.
const PIECES: usize = 20;
/// How many events are under way in a watch that lags.
const UNDER_WAY: usize = 1000;

type Part = Result<Frame<Bytes>, BoxError>;

/// The lines of a watch.
pub struct Stream {
    body: BodyDataStream<Body>,
    begun: BytesMut,
    /// An event that the next one overtakes.
    overtaken: Option<Bytes>,
    faults: Faults,
    log: Log,
    resource: String,
    ended: bool,
}

impl Stream {
    pub fn new(body: Body, faults: Faults, log: Log, resource: &str) -> Self {
        let body = BodyDataStream::new(body);
        let resource = resource.to_owned();
        Self { body, begun: BytesMut::new(), overtaken: None, faults, log, resource, ended: false }
    }

    async fn next(&mut self) -> Option<Part> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line = self.begun.split_to(end + 1).freeze();
                if let Some(line) = self.event(line) {
                    return Some(Ok(Frame::data(line)));
                }
                continue;
            }
            let limit = if self.overtaken.is_some() { SWAPPED } else { Duration::MAX };
            match timeout(limit, self.body.next()).await {
                Ok(part) => match part? {
                    Ok(part) => self.begun.extend_from_slice(&part),
                    Err(error) => return Some(Err(error.into())),
                },
                Err(_) => return self.overtaken.take().map(|line| Ok(Frame::data(line))),
            }
        }
    }

    /// What arrives in the place of a line, if anything does now.
    fn event(&mut self, line: Bytes) -> Option<Bytes> {
        if ["ADDED", "MODIFIED", "DELETED"].iter().all(|type_| !is_of_type(&line, type_)) {
            return Some(line);
        }
        self.log.event(&self.resource);
        let line = match self.faults.meet_event(&self.resource) {
            Some(Fault::Lose) => {
                self.ended = true;
                Bytes::from_static(EXPIRED)
            }
            Some(Fault::Repeat) => [&*line, &*line].concat().into(),
            Some(Fault::Inflate) => inflated(&line),
            Some(Fault::Swap) if self.overtaken.is_none() => {
                self.overtaken = Some(line);
                return None;
            }
            _ => line,
        };
        Some(match self.overtaken.take() {
            Some(overtaken) => [line, overtaken].concat().into(),
            None => line,
        })
    }
}

fn is_of_type(line: &[u8], type_: &str) -> bool {
    line.starts_with(format!(r#"{{"type":"{type_}""#).as_bytes())
}

/// The event with an annotation that makes it as large as no object can be.
fn inflated(line: &[u8]) -> Bytes {
    let Ok(mut event) = serde_json::from_slice::<serde_json::Value>(line) else {
        return Bytes::copy_from_slice(line);
    };
    event["object"]["metadata"]["annotations"]["example.com/padding"] = "x".repeat(INFLATED).into();
    format!("{event}\n").into()
}

/// The lines, with the fault that the watch as a whole meets.
pub fn with_fault(lines: Stream, fault: Option<Fault>) -> stream::BoxStream<'static, Part> {
    let lines = stream::unfold(lines, |mut lines| async { lines.next().await.map(|line| (line, lines)) });
    match fault {
        Some(Fault::Silence) => stream::pending().boxed(),
        Some(Fault::Hold(time)) => stream::once(held(time, lines)).flatten().boxed(),
        Some(Fault::Close(time)) => lines.take_until(tokio::time::sleep(time)).boxed(),
        Some(Fault::Lag(time)) => lines.map(move |line| held(time, line)).buffered(UNDER_WAY).boxed(),
        Some(Fault::Trickle(time)) => lines.flat_map(move |line| trickled(line, time)).boxed(),
        Some(Fault::Truncate) => lines.take(1).flat_map(|line| stream::iter([half(line), aborted()])).boxed(),
        Some(Fault::Corrupt) => {
            lines.take(1).flat_map(|line| stream::iter([half(line), Ok(Frame::data("\n".into()))])).boxed()
        }
        _ => lines.boxed(),
    }
}

async fn held<T>(time: Duration, lines: T) -> T {
    tokio::time::sleep(time).await;
    lines
}

/// A part in small pieces, over this time.
pub fn trickled(part: Part, time: Duration) -> stream::BoxStream<'static, Part> {
    let data = match part.map(Frame::into_data) {
        Ok(data) => data.unwrap_or_default(),
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let size = data.len().div_ceil(PIECES).max(1);
    let pieces = (0..data.len()).step_by(size).map(move |at| data.slice(at..data.len().min(at + size)));
    let pause = time / u32::try_from(PIECES).unwrap_or(1);
    stream::iter(pieces).then(move |piece| held(pause, Ok(Frame::data(piece)))).boxed()
}

fn half(line: Part) -> Part {
    let line = line?.into_data().unwrap_or_default();
    Ok(Frame::data(line.slice(..line.len() / 2)))
}

fn aborted() -> Part {
    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
}
