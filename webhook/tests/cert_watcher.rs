//! The certificate files as a kubelet updates them: by swapping a symbolic link, sometimes
//! half-written.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::{PemFiles, self_signed};
use kcg_certs::{Pair, Resolver};
use kcg_runtime::probes::Readiness;
use kcg_webhook::cert_watcher::CertWatcher;
use kcg_webhook::metrics::WebhookMetrics;
use prometheus_client::registry::Registry;
use tempfile::TempDir;

/// A mounted Secret: `tls.crt -> ..data/tls.crt`, `..data -> ..versionN`.
struct MountedSecret {
    root: TempDir,
    version: u32,
}

impl MountedSecret {
    fn empty() -> Self {
        Self { root: tempfile::tempdir().unwrap(), version: 0 }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    /// Swaps in a new version atomically, as the kubelet does.
    fn publish(&mut self, chain: &str, key: &str) {
        self.version += 1;
        let name = format!("..version{}", self.version);
        let folder = self.path().join(&name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), chain).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        let fresh = self.path().join("..data_tmp");
        symlink(&name, &fresh).unwrap();
        fs::rename(&fresh, self.path().join("..data")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            let link = self.path().join(file);
            if !link.is_symlink() {
                symlink(PathBuf::from("..data").join(file), link).unwrap();
            }
        }
    }
}

struct Watched {
    resolver: Arc<Resolver>,
    readiness: Readiness,
    registry: Registry,
}

const POLL_INTERVAL: Duration = Duration::from_millis(5);

fn watch(path: &Path) -> Watched {
    let resolver = Arc::new(Resolver::new());
    let mut registry = Registry::default();
    let metrics = WebhookMetrics::register(&mut registry);
    let readiness = Readiness::default();
    let check = readiness.check("certificate", "not read yet");
    let watcher = CertWatcher::new(path.to_owned(), Arc::clone(&resolver), metrics, check);
    tokio::spawn(async move { watcher.run(POLL_INTERVAL).await });
    Watched { resolver, readiness, registry }
}

impl Watched {
    fn serves(&self, files: &PemFiles) -> bool {
        let expected = Pair::from_pem(files.chain.as_bytes(), files.key.as_bytes()).unwrap();
        self.resolver.current().is_some_and(|pair| pair.certified().cert == expected.certified().cert)
    }

    /// How often changed files were rejected.
    fn rejections(&self) -> usize {
        let count = |line: &str| {
            let (result, count) =
                line.strip_prefix(r#"certificate_reloads_total{result=""#)?.split_once("\"} ")?;
            (result != "Loaded").then(|| count.parse::<usize>().ok()).flatten()
        };
        self.metrics().lines().filter_map(count).sum()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_missing_pair_is_reported_with_its_cure_until_it_appears() {
    let mut secret = MountedSecret::empty();
    let watched = watch(secret.path());
    until("an error", || watched.readiness.failing()[0].contains("tls.crt")).await;
    let waiting = watched.readiness.failing();
    assert!(waiting[0].starts_with("certificate: cannot read "), "{waiting:?}");
    assert!(waiting[0].contains("--cert-dir"), "{waiting:?}");
    assert!(watched.resolver.current().is_none());

    let files = self_signed();
    secret.publish(&files.chain, &files.key);
    until("the first pair", || watched.serves(&files)).await;
    until("readiness", || watched.readiness.failing().is_empty()).await;
    let metrics = watched.metrics();
    assert!(metrics.contains(r#"certificate_reloads_total{result="Loaded"} 1"#), "{metrics}");
    assert!(!metrics.contains("certificate_expiration_timestamp_seconds 0"), "{metrics}");
}

#[tokio::test]
async fn each_of_a_hundred_swaps_is_loaded() {
    let mut secret = MountedSecret::empty();
    let watched = watch(secret.path());
    for _ in 0..100 {
        let files = self_signed();
        secret.publish(&files.chain, &files.key);
        until("the new pair", || watched.serves(&files)).await;
    }
}

#[tokio::test]
async fn a_half_written_pair_is_rejected_and_retried_while_the_last_valid_one_serves() {
    let mut secret = MountedSecret::empty();
    let (old, new) = (self_signed(), self_signed());
    secret.publish(&old.chain, &old.key);
    let watched = watch(secret.path());
    until("the old pair", || watched.serves(&old)).await;

    // Each half is of another pair: if the files are read during a swap, two halves of one pair
    // would be valid.
    let (second, third) = (self_signed(), self_signed());
    let halves = [
        (second.chain.as_str(), old.key.as_str()),
        (&third.chain[..100], &third.key),
        ("rubbish", "rubbish"),
    ];
    for (chain, key) in halves {
        let before = watched.rejections();
        secret.publish(chain, key);
        until("the half-written pair is rejected", || watched.rejections() > before).await;
        assert!(watched.serves(&old));
        assert!(watched.readiness.failing().is_empty(), "the last valid pair still serves");
    }

    let before = watched.rejections();
    fs::remove_file(secret.path().join("tls.key")).unwrap();
    until("the missing key is reported", || watched.rejections() > before).await;
    assert!(watched.serves(&old));

    secret.publish(&new.chain, &new.key);
    until("the new pair", || watched.serves(&new)).await;
}
