//! The certificate folder as a kubelet writes it: a symbolic link that is swapped, pairs caught half-written.
#![allow(clippy::unwrap_used, reason = "test code")]

mod port;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kcg_certs::{Pair, Resolver};
use kcg_runtime::probes::Readiness;
use kcg_webhook::folder::Folder;
use kcg_webhook::metrics::Metrics;
use port::{Files, issued};
use prometheus_client::registry::Registry;
use tempfile::TempDir;

/// A mounted Secret: `tls.crt -> ..data/tls.crt`, `..data -> a folder of its own for each version`.
struct Secret {
    root: TempDir,
    version: u32,
}

impl Secret {
    fn empty() -> Self {
        Self { root: tempfile::tempdir().unwrap(), version: 0 }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    /// Swaps in a new version at one stroke, as the kubelet does.
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

struct Followed {
    resolver: Arc<Resolver>,
    readiness: Readiness,
    registry: Registry,
}

const PERIOD: Duration = Duration::from_millis(5);

fn follow(path: &Path) -> Followed {
    let resolver = Arc::new(Resolver::new());
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let readiness = Readiness::default();
    let gate = readiness.check("certificate", "not looked for yet");
    let folder = Folder::new(path.to_owned(), Arc::clone(&resolver), metrics, gate);
    tokio::spawn(async move { folder.follow(PERIOD).await });
    Followed { resolver, readiness, registry }
}

impl Followed {
    fn serves(&self, files: &Files) -> bool {
        let expected = Pair::from_pem(files.chain.as_bytes(), files.key.as_bytes()).unwrap();
        self.resolver.current().is_some_and(|pair| pair.certified().cert == expected.certified().cert)
    }

    /// How often what was found was not taken.
    fn kept(&self) -> usize {
        let count = |line: &str| {
            let (result, count) =
                line.strip_prefix(r#"certificate_reloads_total{result=""#)?.split_once("\"} ")?;
            (result != "Taken").then(|| count.parse::<usize>().ok()).flatten()
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
            tokio::time::sleep(PERIOD).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_folder_without_a_pair_is_said_with_the_cure_until_one_comes() {
    let mut secret = Secret::empty();
    let followed = follow(secret.path());
    until("trouble", || followed.readiness.failing()[0].contains("tls.crt")).await;
    let waiting = followed.readiness.failing();
    assert!(waiting[0].starts_with("certificate: cannot read "), "{waiting:?}");
    assert!(waiting[0].contains("--cert-dir"), "{waiting:?}");
    assert!(followed.resolver.current().is_none());

    let files = issued();
    secret.publish(&files.chain, &files.key);
    until("the first pair", || followed.serves(&files)).await;
    until("readiness", || followed.readiness.failing().is_empty()).await;
    let metrics = followed.metrics();
    assert!(metrics.contains(r#"certificate_reloads_total{result="Taken"} 1"#), "{metrics}");
    assert!(!metrics.contains("certificate_not_after_seconds 0"), "{metrics}");
}

#[tokio::test]
async fn each_of_a_hundred_swaps_is_followed() {
    let mut secret = Secret::empty();
    let followed = follow(secret.path());
    for _ in 0..100 {
        let files = issued();
        secret.publish(&files.chain, &files.key);
        until("the new pair", || followed.serves(&files)).await;
    }
}

#[tokio::test]
async fn a_half_written_pair_keeps_the_last_good_one_and_is_tried_again() {
    let mut secret = Secret::empty();
    let (old, new) = (issued(), issued());
    secret.publish(&old.chain, &old.key);
    let followed = follow(secret.path());
    until("the old pair", || followed.serves(&old)).await;

    // Each of another pair: read in the middle of a swap, the parts of one pair would make it whole.
    let (second, third) = (issued(), issued());
    let halves = [
        (second.chain.as_str(), old.key.as_str()),
        (&third.chain[..100], &third.key),
        ("rubbish", "rubbish"),
    ];
    for (chain, key) in halves {
        let before = followed.kept();
        secret.publish(chain, key);
        until("the half is noticed", || followed.kept() > before).await;
        assert!(followed.serves(&old));
        assert!(followed.readiness.failing().is_empty(), "what is served is as good as before");
    }

    let before = followed.kept();
    fs::remove_file(secret.path().join("tls.key")).unwrap();
    until("the missing key is noticed", || followed.kept() > before).await;
    assert!(followed.serves(&old));

    secret.publish(&new.chain, &new.key);
    until("the new pair", || followed.serves(&new)).await;
}
