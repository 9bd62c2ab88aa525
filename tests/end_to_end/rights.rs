//! The shipped roles grant exactly what is needed: no request of the two processes is denied, and
//! these tests use every right that is granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING, condition};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::cases::{cases, caught};
use crate::env::SharedEnv;

cases![
    without_the_right_to_update_finalizers_no_child_is_created,
    no_request_is_denied_and_every_right_is_used
];

/// It runs only if no test is skipped, because a skipped test might use a right.
pub const NEEDS_ALL: &str = "rights::no_request_is_denied_and_every_right_is_used";

const FINALIZERS: &str = "kconsumergroups/finalizers";

fn roles(env: &SharedEnv) -> Api<DynamicObject> {
    Api::all_with(env.client.clone(), &CLUSTER_ROLE.resource())
}

/// The right that the audit log does not show: `blockOwnerDeletion` requires the right to update
/// finalizers of the owner.
async fn without_the_right_to_update_finalizers_no_child_is_created(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("finalizers").await?;
    let name = env.operator.controller_account();
    let role = serde_json::to_value(roles(&env).get(name).await?)?;
    let all = role["rules"].clone();
    let mut fewer = all.clone();
    if let Some(rules) = fewer.as_array_mut() {
        rules.retain(|rule| rule["resources"] != json!([FINALIZERS]));
        assert_eq!(rules.len() + 1, all.as_array().map_or(0, Vec::len), "the right has its own rule");
    }
    set(&env, name, &fewer, "no").await?;
    let outcome = caught(refused(&ns)).await;
    set(&env, name, &all, "yes").await?;
    outcome?;
    ns.group_is_ready("kconsumer").await?;
    ns.close().await
}

async fn refused(ns: &Namespace) -> Result<()> {
    ns.create_group("kconsumer", &json!({})).await?;
    let group = ns.group_is("kconsumer", "False", "ApplyRefused").await?;
    let message = condition(&group, "Ready")[2];
    assert!(message.contains("cannot set blockOwnerDeletion"), "{message}");
    for kind in CHILDREN {
        assert!(ns.list(kind).await?.is_empty(), "{}", kind.name);
    }
    Ok(())
}

/// Sets the rules of the role, and waits until they take effect.
async fn set(env: &Arc<SharedEnv>, role: &str, rules: &Value, may: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"rules": rules}));
    roles(env).patch(role, &PatchParams::default(), &patch).await?;
    let account = format!(
        "--as=system:serviceaccount:{}:{}",
        env.operator.namespace(),
        env.operator.controller_account()
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
    eventually("the role to be in force", LIMIT, async || {
        let answer = env.plane.kubectl(&asked).await?;
        Ok(if answer.stdout.trim() == may { Ok(()) } else { Err(answer.stdout + &answer.stderr) })
    })
    .await?;
    Ok(())
}

/// A verb on a resource of an API group, by one of the two ServiceAccounts.
type Right = (String, String, String, String);

async fn no_request_is_denied_and_every_right_is_used(env: Arc<SharedEnv>) -> Result<()> {
    let operator = &env.operator;
    let accounts = [operator.controller_account(), operator.webhook_account()];
    let mut used: BTreeSet<Right> = BTreeSet::new();
    let mut denied: BTreeSet<String> = BTreeSet::new();
    for event in env.audit.all()? {
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
        used.insert(right(&event.verb));
    }
    let granted = granted(&env, &accounts).await?;
    // The one right without a trace was proven by revoking it; it must be the only one that is
    // unused here.
    let (untraced, unused): (Vec<&Right>, Vec<&Right>) =
        granted.difference(&used).partition(|(_, _, resource, _)| resource == FINALIZERS);
    assert_eq!(untraced.len(), 1);
    assert!(denied.is_empty(), "denied: {denied:#?}");
    assert!(unused.is_empty(), "granted and never used: {unused:#?}");
    env.record(format!("rights: {} granted, every one used; 0 requests denied", granted.len()));
    Ok(())
}

/// All rights that bindings grant to the ServiceAccounts.
async fn granted(env: &Arc<SharedEnv>, accounts: &[&str]) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for (bindings, roles) in [(CLUSTER_ROLE_BINDING, CLUSTER_ROLE), (ROLE_BINDING, ROLE)] {
        let roles = everywhere(env, roles).await?;
        for binding in everywhere(env, bindings).await? {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            let of_the_operator = subjects.filter(|subject| {
                subject["kind"] == "ServiceAccount" && subject["namespace"] == env.operator.namespace()
            });
            let role = roles.iter().find(|role| {
                role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
            });
            for account in of_the_operator
                .filter_map(|subject| subject["name"].as_str())
                .filter(|name| accounts.contains(name))
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

async fn everywhere(env: &Arc<SharedEnv>, kind: Kind) -> Result<Vec<Value>> {
    let api: Api<DynamicObject> = Api::all_with(env.client.clone(), &kind.resource());
    let list = api.list(&ListParams::default()).await?;
    list.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
}
