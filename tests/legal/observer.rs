//! The newest version of every group and child in one namespace, as the API server's watches report
//! it, and when it last changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, GROUP, Kind};
use kcg_tests::{Change, changes};
use kube::Api;
use kube::api::DynamicObject;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The objects of one name, by kind.
#[derive(Clone, Debug, Default)]
pub struct Family {
    pub objects: HashMap<&'static str, Value>,
    /// When one of them last changed.
    pub changed: Option<Instant>,
}

impl Family {
    pub fn of(&self, kind: Kind) -> Option<&Value> {
        self.objects.get(kind.name)
    }
}

type Families = Arc<Mutex<HashMap<String, Family>>>;

/// Watches one namespace.
pub struct Observer {
    families: Families,
    changed: watch::Sender<()>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Observer {
    pub fn start(namespace: &Namespace) -> Self {
        let (families, changed) = (Families::default(), watch::Sender::new(()));
        let kinds = CHILDREN.into_iter().chain([GROUP]);
        let record = |kind: Kind| {
            let recorded = record(namespace.api(kind), kind, families.clone(), changed.clone());
            AbortOnDropHandle::new(tokio::spawn(recorded))
        };
        let tasks = kinds.map(record).collect();
        Self { families, changed, _tasks: tasks }
    }

    /// The objects of this name.
    pub fn family(&self, name: &str) -> Family {
        self.families.lock().get(name).cloned().unwrap_or_default()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.families.lock().values().map(|family| family.objects.len()).sum()
    }

    /// Waits until `holds` of every family and none of them has changed for the time `quiet`. Returns
    /// why not for each name of which this is not so within the limit.
    pub async fn until(
        &self,
        names: &[String],
        quiet: Duration,
        limit: Duration,
        holds: impl Fn(&str, &Family) -> Result<(), String>,
    ) -> HashMap<String, String> {
        let deadline = Instant::now() + limit;
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let now = Instant::now();
            let mut wrong = HashMap::new();
            let mut rest = Duration::ZERO;
            {
                let families = self.families.lock();
                let none = Family::default();
                for name in names {
                    let family = families.get(name).unwrap_or(&none);
                    if let Err(why) = holds(name, family) {
                        wrong.insert(name.clone(), why);
                    } else if let Some(changed) = family.changed {
                        rest = rest.max(quiet.saturating_sub(now.duration_since(changed)));
                    }
                }
            }
            if wrong.is_empty() && rest.is_zero() {
                return wrong;
            }
            if now >= deadline {
                let restless = |name: &&String| {
                    self.family(name).changed.is_some_and(|changed| now.duration_since(changed) < quiet)
                };
                for name in names.iter().filter(restless) {
                    wrong.entry(name.clone()).or_insert_with(|| "it does not come to rest".to_owned());
                }
                return wrong;
            }
            let pause = if wrong.is_empty() { rest } else { Duration::from_secs(1) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // What changes together is looked at together.
                _ = changes.changed() => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn record(api: Api<DynamicObject>, kind: Kind, families: Families, changed: watch::Sender<()>) {
    let mut changes = std::pin::pin!(changes(api));
    while let Some(Change { gone, object }) = changes.next().await {
        let name = object.metadata.name.clone().unwrap_or_default();
        let mut object = serde_json::to_value(object).unwrap_or_default();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let mut families = families.lock();
        let family = families.entry(name.clone()).or_default();
        family.changed = Some(Instant::now());
        if gone {
            family.objects.remove(kind.name);
        } else {
            family.objects.insert(kind.name, object);
        }
        if family.objects.is_empty() {
            families.remove(&name);
        }
        drop(families);
        changed.send_replace(());
    }
}
