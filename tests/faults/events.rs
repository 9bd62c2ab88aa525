//! The events of a watch on their way through the proxy: one line of JSON each.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http_body_util::BodyDataStream;
use hyper::body::Frame;
use kube::client::Body;
use tower::BoxError;

use crate::faults::Faults;
use crate::log::Log;
use crate::plan::Fault;

/// What the API server sends if it no longer has the events that a watch wants.
const EXPIRED: &[u8] = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: the fault proxy lost an event","reason":"Expired","code":410}}
"#;

type Part = Result<Frame<Bytes>, BoxError>;

/// The lines of a watch.
pub struct Stream {
    body: BodyDataStream<Body>,
    begun: BytesMut,
    faults: Faults,
    log: Log,
    resource: String,
    ended: bool,
}

impl Stream {
    pub fn new(body: Body, faults: Faults, log: Log, resource: &str) -> Self {
        let body = BodyDataStream::new(body);
        Self { body, begun: BytesMut::new(), faults, log, resource: resource.to_owned(), ended: false }
    }

    async fn next(&mut self) -> Option<Part> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line = self.begun.split_to(end + 1).freeze();
                return Some(Ok(Frame::data(self.event(line))));
            }
            match self.body.next().await? {
                Ok(part) => self.begun.extend_from_slice(&part),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }

    fn event(&mut self, line: Bytes) -> Bytes {
        if ["ADDED", "MODIFIED", "DELETED"].iter().all(|type_| !is_of_type(&line, type_)) {
            return line;
        }
        self.log.event(&self.resource);
        if self.faults.loses(&self.resource) {
            self.ended = true;
            return Bytes::from_static(EXPIRED);
        }
        line
    }
}

fn is_of_type(line: &[u8], type_: &str) -> bool {
    line.starts_with(format!(r#"{{"type":"{type_}""#).as_bytes())
}

/// The lines, with the fault that the watch as a whole meets.
pub fn with_fault(lines: Stream, fault: Option<Fault>) -> stream::BoxStream<'static, Part> {
    let lines = stream::unfold(lines, |mut lines| async { lines.next().await.map(|line| (line, lines)) });
    match fault {
        Some(Fault::Silence) => stream::pending().boxed(),
        Some(Fault::Hold(time)) => stream::once(held(time, lines)).flatten().boxed(),
        Some(Fault::Close(time)) => lines.take_until(tokio::time::sleep(time)).boxed(),
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

fn half(line: Part) -> Part {
    let line = line?.into_data().unwrap_or_default();
    Ok(Frame::data(line.slice(..line.len() / 2)))
}

fn aborted() -> Part {
    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
}
