//! The shipped roles are exactly what is needed: nothing that the two processes ask for is denied, and no right is
//! granted that they did not use in all these tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::cases::{cases, caught};
use crate::objects::{CHILDREN, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING, condition};
use crate::place::Place;
use crate::world::World;

cases![without_the_right_to_finalizers_no_child_is_made, nothing_is_denied_and_every_grant_is_used];

/// Whoever skips tests cannot know what those would have used.
pub const NEEDS_ALL: &str = "rights::nothing_is_denied_and_every_grant_is_used";

const FINALIZERS: &str = "kconsumergroups/finalizers";

fn roles(world: &World) -> Api<DynamicObject> {
    Api::all_with(world.client.clone(), &CLUSTER_ROLE.resource())
}

/// The right that no audit entry shows: whoever blocks an owner's deletion must be allowed to finalize it.
async fn without_the_right_to_finalizers_no_child_is_made(world: Arc<World>) -> Result<()> {
    let place = Place::open(&world, "finalizers").await?;
    place.create_topic("fast-data-topic", 3).await?;
    let name = world.operator.controller_account();
    let role = serde_json::to_value(roles(&world).get(name).await?)?;
    let all = role["rules"].clone();
    let mut fewer = all.clone();
    if let Some(rules) = fewer.as_array_mut() {
        rules.retain(|rule| rule["resources"] != json!([FINALIZERS]));
        assert_eq!(
            rules.len() + 1,
            all.as_array().map_or(0, Vec::len),
            "the right stands in a rule of its own"
        );
    }
    set(&world, name, &fewer, "no").await?;
    let outcome = caught(refused(&place)).await;
    set(&world, name, &all, "yes").await?;
    outcome?;
    place.group_is_well("kconsumer").await?;
    place.close().await
}

async fn refused(place: &Place) -> Result<()> {
    place.create_group("kconsumer", &json!({})).await?;
    let group = place.group_is("kconsumer", "False", "ApplyRefused").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("cannot set blockOwnerDeletion"), "{message}");
    for kind in CHILDREN {
        assert!(place.list(kind).await?.is_empty(), "{}", kind.name);
    }
    Ok(())
}

/// Gives the role these rules, and waits until the API server goes by them.
async fn set(world: &Arc<World>, role: &str, rules: &Value, may: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"rules": rules}));
    roles(world).patch(role, &PatchParams::default(), &patch).await?;
    let account = format!(
        "--as=system:serviceaccount:{}:{}",
        world.operator.namespace(),
        world.operator.controller_account()
    );
    let asked = [
        "auth",
        "can-i",
        "update",
        "kconsumergroups.thenextapps.com",
        "--subresource=finalizers",
        "-n",
        "default",
        &account,
    ];
    kcg_devcluster::wait::until("the role to be in force", crate::place::LIMIT, async || {
        let answer = world.plane.kubectl(&asked).await?;
        Ok(if answer.stdout.trim() == may { Ok(()) } else { Err(answer.stdout + &answer.stderr) })
    })
    .await?;
    Ok(())
}

/// A verb on a resource of an API group, by one of the two accounts.
type Right = (String, String, String, String);

async fn nothing_is_denied_and_every_grant_is_used(world: Arc<World>) -> Result<()> {
    let operator = &world.operator;
    let accounts = [operator.controller_account(), operator.webhook_account()];
    let mut used: BTreeSet<Right> = BTreeSet::new();
    let mut denied: BTreeSet<String> = BTreeSet::new();
    for event in world.audit.all()? {
        let Some(account) = accounts.iter().find(|account| event.is_by(operator.namespace(), account)) else {
            continue;
        };
        let object = &event.object_ref;
        if event.is_denied() {
            denied.insert(format!(
                "{account}: {} {} in {:?}",
                event.verb,
                event.resource(),
                object.namespace
            ));
            continue;
        }
        let right =
            |verb: &str| ((*account).to_owned(), object.api_group.clone(), event.resource(), verb.to_owned());
        // An apply that makes the object needs both rights.
        if event.verb == "patch" && event.response_status.code == 201 {
            used.insert(right("create"));
        }
        used.insert(right(&event.verb));
    }
    let granted = granted(&world, &accounts).await?;
    // The one right that leaves no trace was proven by taking it away; that it shows here proves the count.
    let (untraced, unused): (Vec<&Right>, Vec<&Right>) =
        granted.difference(&used).partition(|(_, _, resource, _)| resource == FINALIZERS);
    assert_eq!(untraced.len(), 1);
    assert!(denied.is_empty(), "denied: {denied:#?}");
    assert!(unused.is_empty(), "granted and never used: {unused:#?}");
    world.figure(format!("rights: {} granted, every one used; 0 requests denied", granted.len()));
    Ok(())
}

/// Every right that a binding gives one of the accounts.
async fn granted(world: &Arc<World>, accounts: &[&str]) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for (bindings, roles) in [(CLUSTER_ROLE_BINDING, CLUSTER_ROLE), (ROLE_BINDING, ROLE)] {
        let roles = everywhere(world, roles).await?;
        for binding in everywhere(world, bindings).await? {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            let ours = subjects.filter(|subject| {
                subject["kind"] == "ServiceAccount" && subject["namespace"] == world.operator.namespace()
            });
            let role = roles.iter().find(|role| {
                role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
            });
            for account in
                ours.filter_map(|subject| subject["name"].as_str()).filter(|name| accounts.contains(name))
            {
                let rules = role.and_then(|role| role["rules"].as_array()).into_iter().flatten();
                rights.extend(rules.flat_map(|rule| spelled_out(account, rule)));
            }
        }
    }
    assert!(!rights.is_empty());
    Ok(rights)
}

fn spelled_out(account: &str, rule: &Value) -> Vec<Right> {
    let words = |field: &str| -> Vec<String> {
        rule[field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let mut rights = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            rights.extend(
                words("verbs")
                    .into_iter()
                    .map(|verb| (account.to_owned(), group.clone(), resource.clone(), verb)),
            );
        }
    }
    rights
}

async fn everywhere(world: &Arc<World>, kind: Kind) -> Result<Vec<Value>> {
    let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &kind.resource());
    let list = api.list(&ListParams::default()).await?;
    list.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
}
