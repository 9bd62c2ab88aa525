//! Logs with fields, as text or JSON, on standard error.

use std::borrow::Cow;
use std::io;

use clap::{Args, ValueEnum};
use kcg_api::escape;
use kcg_core::text;
use serde_json::{Map, Value};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{CliError, args};

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Format of the logs
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which logs to write: a level, or directives of the crate tracing
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = log_level, value_name = "LEVEL")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// A level, or directives such as `kube=debug`. To the crate tracing any other word is the name of a target,
/// so that a misspelt level would turn off the logs.
fn log_level(text: &str) -> Result<String, String> {
    let text = args::not_empty(text)?;
    let is_known = |directive: &str| {
        let directive = directive.trim();
        directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok()
    };
    match text.split(',').find(|directive| !is_known(directive)) {
        None => Ok(text),
        Some(word) => Err(format!(
            "{word:?} is no level: use error, warn, info, debug, trace or off, or TARGET=LEVEL for the logs of one target"
        )),
    }
}

impl LogArgs {
    /// Starts logging. Call it once in a process.
    pub(super) fn init(&self) -> Result<(), CliError> {
        let filter = EnvFilter::try_new(&self.log_level).map_err(|error| {
            CliError::permanent(format_args!(
                "--log-level {}: {error}; use a level such as info",
                self.log_level
            ))
        })?;
        subscriber(filter, self.log_format, std::io::stderr).try_init().map_err(CliError::permanent)
    }
}

fn subscriber<W>(filter: EnvFilter, format: LogFormat, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let events = fmt::layer().with_writer(EscapingWriter { writer, format });
    let events = match format {
        LogFormat::Text => events.with_ansi(false).boxed(),
        LogFormat::Json => events.json().flatten_event(true).with_current_span(false).boxed(),
    };
    registry().with(filter).with(events.with_filter(filter_fn(has_no_body)))
}

/// The most bytes of an event: of what is logged, a message is bounded and names are short. A message of
/// the API server is not.
const MAX_EVENT: usize = 4 * text::MAX_MESSAGE;

/// An event that is too long, with shorter fields, or cut.
fn bounded(event: &str, format: LogFormat) -> Cow<'_, str> {
    if event.len() <= MAX_EVENT {
        return event.into();
    }
    let fields = match format {
        LogFormat::Json => serde_json::from_str::<Map<String, Value>>(event).ok(),
        LogFormat::Text => None,
    };
    let Some(mut fields) = fields else {
        return format!("{}\n", text::one_line(event.trim_end(), MAX_EVENT)).into();
    };
    for field in fields.values_mut() {
        if let Value::String(long) = field {
            *long = text::bounded(std::mem::take(long));
        }
    }
    format!("{}\n", Value::Object(fields)).into()
}

/// Bounds each event, and escapes in it what a terminal would obey: a field may have text of any user's.
struct EscapingWriter<W> {
    writer: W,
    format: LogFormat,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for EscapingWriter<W> {
    type Writer = EscapingWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter { writer: self.writer.make_writer(), format: self.format }
    }
}

impl<W: io::Write> io::Write for EscapingWriter<W> {
    /// Writes one event: the layer hands it over as a whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let event = String::from_utf8_lossy(bytes);
        let event = bounded(&event, self.format);
        let escaped: Cow<'_, str> = match (self.format, event.strip_suffix('\n')) {
            // Only the event's own end begins a line.
            (LogFormat::Text, Some(line)) => format!("{}\n", escape::line(line)).into(),
            (LogFormat::Text, None) => escape::line(&event),
            (LogFormat::Json, _) => escape::json(&event),
        };
        self.writer.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// kube's client logs the text of a response that it cannot parse, which is an object of a user with its
/// secrets, at the level WARN. The caller of the request gets the error.
fn has_no_body(event: &Metadata<'_>) -> bool {
    event.target() != "kube_client::client"
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Secret;
    use kube::client::Body;
    use kube::{Api, Client};
    use tower::service_fn;

    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in ["info", "DEBUG", "off", "3", "warn,kube=debug", "info, hyper=off", "[span]=trace"] {
            assert_eq!(log_level(text), Ok(text.to_owned()));
        }
        for text in ["verbose", "trac", "info,kub", ""] {
            assert!(log_level(text).is_err(), "{text}");
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_field_can_neither_begin_a_line_nor_reorder_it() {
        for (format, shown) in [
            (LogFormat::Text, "x\\u{202e}y\\u{a}INFO z"),
            (LogFormat::Json, "\"name\":\"x\\u202ey\\nINFO z\""),
        ] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = subscriber(EnvFilter::new("info"), format, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(name = %"x\u{202e}y\nINFO z", "a line");
            });
            let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(lines.contains(shown) && lines.lines().count() == 1, "{lines}");
        }
    }

    #[test]
    fn a_long_message_of_the_api_server_is_cut_in_its_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = subscriber(EnvFilter::new("info"), format, move || writer.clone());
            let error = "no. ".repeat(100_000);
            tracing::subscriber::with_default(subscriber, || tracing::warn!(error, group = "g", "a line"));
            let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(lines.ends_with('\n') && lines.lines().count() == 1 && lines.contains("a line"));
            assert!(lines.len() < MAX_EVENT + 10, "{}", lines.len());
            if let LogFormat::Json = format {
                let event: Value = serde_json::from_str(&lines).unwrap();
                assert_eq!(event["group"], "g");
            }
        }
    }

    #[tokio::test]
    async fn an_object_that_does_not_parse_is_not_logged() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = subscriber(EnvFilter::new("trace"), format, move || writer.clone());
            let guard = tracing::subscriber::set_default(subscriber);
            let server = service_fn(|_: Request<Body>| async {
                let body = Body::from(br#"{"metadata": 5, "data": "hunter2"}"#.to_vec());
                Ok::<_, io::Error>(Response::new(body))
            });
            let secrets: Api<Secret> = Api::namespaced(Client::new(server, "default"), "default");
            assert!(secrets.get("a").await.is_err());
            tracing::info!("a line");
            drop(guard);
            let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(lines.contains("a line") && !lines.contains("hunter2"), "{lines}");
        }
    }
}
