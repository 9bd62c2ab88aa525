//! The story at scale: ten groups, twenty topics, skewed keys.

use anyhow::Result;
use serde_json::json;

use super::broker::Subscription;
use super::groups;
use super::outcome::{self, Load};
use super::report::Story;
use super::teller::Teller;

const GROUPS: u64 = 10;
/// Each group consumes two topics of two partitions: up to four consumers.
const TOPICS: u32 = 2;
/// Of all groups.
pub const ALL_TOPICS: u64 = GROUPS * TOPICS as u64;
const PARTITIONS: u32 = 2;
/// Of a thousand keys, as words in a text are distributed.
const KEYS: &str = "zipf:1.1";

/// Who consumes what.
pub fn subscriptions() -> Vec<Subscription> {
    let group = |number: u64| {
        let topics = (1..=TOPICS).map(|topic| format!("team-{number}-topic-{topic}")).collect();
        Subscription { group: format!("team-{number}"), topics }
    };
    (1..=GROUPS).map(group).collect()
}

/// The whole story.
pub async fn tell(teller: &mut Teller) -> Result<Story> {
    let settings = teller.settings.clone();
    let records = settings.records_by_topic();
    let limit = (records / 8).max(1);
    teller.chapter("Ten groups on twenty topics")?;
    let scaling = if settings.realistic {
        json!({})
    } else {
        json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 15, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}}})
    };
    let mut objects = Vec::new();
    for Subscription { group, topics } in teller.groups.clone() {
        objects.extend(topics.iter().map(|topic| groups::topic(topic, PARTITIONS)));
        objects.push(groups::group(&group, &topics, limit, &scaling, &settings));
    }
    teller.stage.plane.apply_yaml(&groups::manifest(&objects)).await?;
    teller
        .all(&[
            "kubectl wait kcg --all --for=condition=Ready --timeout=180s",
            "kubectl wait kcg --all --for=condition=MetricsAvailable --timeout=180s",
            "kubectl get kcg",
        ])
        .await?;

    teller.chapter(&format!("{records} records with skewed keys and the end marker to each topic"))?;
    let at = teller.mark("load");
    let producers: Vec<_> = teller
        .groups
        .iter()
        .map(|Subscription { group, topics }| {
            groups::producer(&format!("producer-{group}"), topics, records, KEYS)
        })
        .collect();
    teller.stage.plane.apply_yaml(&groups::manifest(&producers)).await?;
    let (patience, all) = (settings.patience(), u64::from(TOPICS) * (records + 1));
    teller.until("more than one consumer each", patience, |now| now.ready() > 1).await?;
    teller.all(&["kubectl get kcg"]).await?;
    teller.until("every record to be processed and committed", patience, |now| now.is_drained(all)).await?;

    teller.chapter("Nothing is left to do: all shrink to one")?;
    teller.until("one consumer each", patience, |now| now.ready() == 1 && now.wanted() == 1).await?;
    teller.all(&["kubectl get kcg"]).await?;
    let loads: Vec<Load> = teller
        .groups
        .iter()
        .map(|Subscription { group, topics }| Load {
            group: group.clone(),
            at,
            sent: topics.iter().map(|topic| (topic.clone(), outcome::values(records).collect())).collect(),
            limit,
            topic_to_ceiling_ms: None,
        })
        .collect();
    outcome::assemble(teller, "Ten groups, twenty topics, skewed keys", &loads)
}
