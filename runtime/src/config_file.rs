//! A file of settings that may change while the process runs, as a mounted ConfigMap does. What cannot
//! be used never replaces what is in force.
//!
//! The file is polled: a kubelet updates a mounted volume by swapping a symbolic link, after which a
//! watch on the file itself gets no events.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bounded_text::read_text;

/// How often the file is read.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Why the file is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// Its content is wrong.
    #[error("{}: {reason}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and the cure.
        reason: String,
    },
}

impl ConfigFileError {
    /// What is wrong, without the file's path.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unreadable { reason, .. } | Self::Invalid { reason, .. } => reason,
        }
    }
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct InForce<T> {
    /// The settings: those of the last good content, or else the default.
    pub settings: Arc<T>,
    /// The content that they are from, as `sha256:` and the sum that sha256sum prints; `None` for the
    /// default.
    pub hash: Option<Arc<str>>,
    /// Why the file that is there now is not in force.
    pub rejected: Option<Arc<ConfigFileError>>,
}

/// A file of settings.
pub struct ConfigFile<T> {
    path: Option<PathBuf>,
    max_bytes: usize,
    parse: fn(&str) -> Result<T, String>,
    in_force: RwLock<InForce<T>>,
    /// Cancelled once there was a good content, or from the start without a path.
    loaded: CancellationToken,
    info: Family<ByHash, Gauge>,
    rejected: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByHash {
    hash: String,
}

impl<T> std::fmt::Debug for ConfigFile<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T: Default + Clone> ConfigFile<T> {
    /// A file that was not read yet. Without a path the default is in force for good. A file of more
    /// than `max_bytes` is rejected.
    pub fn new(path: Option<PathBuf>, max_bytes: usize, parse: fn(&str) -> Result<T, String>) -> Self {
        let in_force = InForce { settings: Arc::default(), hash: None, rejected: None };
        let (info, rejected, loaded) = (Family::default(), Gauge::default(), CancellationToken::new());
        if path.is_none() {
            loaded.cancel();
        }
        Self { path, max_bytes, parse, in_force: RwLock::new(in_force), loaded, info, rejected }
    }

    /// Registers `<name>_info{hash}`, which is 1 for the content in force, and `<name>_rejected`.
    pub fn register(&self, registry: &mut Registry, name: &str) {
        let help = "1 for the content of the file that is in force, by its SHA-256; none is the default";
        registry.register(format!("{name}_info"), help, self.info.clone());
        let help = "1 if the file is rejected and earlier settings stay in force";
        registry.register(format!("{name}_rejected"), help, self.rejected.clone());
        self.show();
    }

    /// What is in force now.
    pub fn in_force(&self) -> InForce<T> {
        self.in_force.read().clone()
    }

    /// The settings in force now.
    pub fn settings(&self) -> Arc<T> {
        self.in_force.read().settings.clone()
    }

    /// Whether the settings in force are those that the user wants: the file had a good content since
    /// the process started, or there is no file.
    pub fn is_loaded(&self) -> bool {
        self.loaded.is_cancelled()
    }

    /// Waits until [`Self::is_loaded`] is true.
    pub async fn loaded(&self) {
        self.loaded.cancelled().await;
    }

    /// Reads the file and returns whether the settings have changed. Content that cannot be used is an
    /// error, and what is in force stays.
    pub async fn reload(&self) -> Result<bool, Arc<ConfigFileError>> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let outcome = match self.read(path).await {
            Ok(text) => self.accept(path, &text),
            Err(source) => {
                Err(ConfigFileError::Unreadable { path: path.clone(), reason: source.to_string() })
            }
        };
        let outcome = outcome.map_err(Arc::new);
        self.in_force.write().rejected = outcome.as_ref().err().cloned();
        self.show();
        outcome
    }

    fn accept(&self, path: &Path, text: &str) -> Result<bool, ConfigFileError> {
        let hash = hash(text);
        if self.in_force.read().hash.as_deref() == Some(&*hash) {
            return Ok(false);
        }
        let settings = (self.parse)(text)
            .map_err(|reason| ConfigFileError::Invalid { path: path.to_owned(), reason })?;
        *self.in_force.write() =
            InForce { settings: Arc::new(settings), hash: Some(hash.into()), rejected: None };
        self.loaded.cancel();
        Ok(true)
    }

    async fn read(&self, path: &Path) -> io::Result<String> {
        let (path, max_bytes) = (path.to_owned(), self.max_bytes);
        spawn_blocking(move || read_text(File::open(path)?, max_bytes)).await?
    }

    /// Reloads the file at this interval until the future is dropped, and calls `on_change` after each
    /// change of the settings. Logs an error once, until it changes.
    pub async fn watch(&self, poll_interval: Duration, mut on_change: impl FnMut()) {
        if self.path.is_none() {
            return std::future::pending().await;
        }
        let mut ticks = interval(poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_error: Option<Arc<ConfigFileError>> = None;
        loop {
            ticks.tick().await;
            let error = match self.reload().await {
                Ok(true) => {
                    let hash = self.in_force().hash.unwrap_or_default();
                    tracing::info!(path = ?self.path, %hash, "file of settings loaded");
                    on_change();
                    None
                }
                Ok(false) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = error.as_ref().filter(|error| last_error.as_ref() != Some(*error)) {
                let last_good = self.in_force().hash.is_some();
                tracing::warn!(last_good_stays = last_good, "file of settings rejected: {error}");
            }
            last_error = error;
        }
    }

    fn show(&self) {
        let in_force = self.in_force();
        let hash = in_force.hash.as_deref().unwrap_or("none").to_owned();
        let shown = ByHash { hash };
        if self.info.get(&shown).is_none() {
            self.info.clear();
            self.info.get_or_create(&shown).set(1);
        }
        self.rejected.set(i64::from(in_force.rejected.is_some()));
    }
}

/// `sha256:` and the SHA-256 of a text, as sha256sum prints it.
pub fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(text: &str) -> Result<u32, String> {
        let number: u32 = text.trim().parse().map_err(|_| "line 1: no number".to_owned())?;
        if number.is_multiple_of(2) { Ok(number) } else { Err("line 1: odd".to_owned()) }
    }

    fn file(name: &str) -> (PathBuf, ConfigFile<u32>, Registry) {
        let path = std::env::temp_dir().join(format!("config-file-{name}-{}", std::process::id()));
        let file = ConfigFile::new(Some(path.clone()), 8, even);
        let mut registry = Registry::default();
        file.register(&mut registry, "numbers");
        (path, file, registry)
    }

    fn shown(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[tokio::test]
    async fn the_last_good_content_stays_in_force() {
        let (path, file, registry) = file("stays");
        let missing = file.reload().await.unwrap_err();
        assert!(missing.to_string().starts_with("cannot read /"), "{missing}");
        assert_eq!((*file.settings(), file.is_loaded()), (0, false));
        assert!(shown(&registry).contains("numbers_info{hash=\"none\"} 1\n"));

        std::fs::write(&path, "4\n").unwrap();
        assert_eq!(file.reload().await, Ok(true));
        assert_eq!(file.reload().await, Ok(false));
        let four = hash("4\n");
        assert!(shown(&registry).contains(&format!("numbers_info{{hash=\"{four}\"}} 1\n")));
        assert!(shown(&registry).contains("numbers_rejected 0\n"));

        for (text, reason) in [("5", "line 1: odd"), ("123456789", "more than 8 bytes"), ("x", "no number")] {
            std::fs::write(&path, text).unwrap();
            let error = file.reload().await.unwrap_err();
            assert!(error.reason().contains(reason), "{error}");
            let in_force = file.in_force();
            assert_eq!((*in_force.settings, in_force.hash.as_deref()), (4, Some(&*four)));
            assert_eq!(in_force.rejected, Some(error));
            assert!(file.is_loaded(), "the last good content stays loaded");
            assert!(shown(&registry).contains("numbers_rejected 1\n"));
        }
        std::fs::write(&path, "6").unwrap();
        assert_eq!(file.reload().await, Ok(true));
        assert_eq!(file.in_force().rejected, None);
        let shown = shown(&registry);
        assert_eq!(shown.matches("numbers_info{").count(), 1, "{shown}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn without_a_path_the_default_is_loaded() {
        assert!(ConfigFile::new(None, 8, even).is_loaded());
    }

    #[tokio::test]
    async fn the_first_content_again_is_no_change_and_ends_the_rejection() {
        let (path, file, _) = file("again");
        for (text, outcome) in [("4", Some(true)), ("x", None), ("4", Some(false))] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file.reload().await.ok(), outcome, "{text}");
        }
        assert_eq!(file.in_force().rejected, None);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_hash_is_that_of_sha256sum() {
        assert_eq!(hash(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
