//! The store behind the API server: etcd is out of space, or the operator's own CRD is deleted.

use std::time::Duration;

use kcg_devcluster::ControlPlane;
use kcg_tests::env::{all_crds, api_server, own_crd};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, CONFIG_MAP, CRD, GROUP, SERVICE, condition};
use kcg_tests::{Outcome, eventually, met};
use kube::Api;
use kube::api::DeleteParams;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::env::{ControllerEnv, SOON};

/// etcd's quota: the CRDs and some groups fit, a few objects of a megabyte do not.
const QUOTA: u64 = 16 << 20;
/// How long the controller tries in vain.
const IN_VAIN: Duration = Duration::from_secs(4);

async fn namespace(plane: &ControlPlane, name: &str) -> Outcome<Namespace> {
    let namespace = Namespace::create(plane, &plane.client().await?, name).await?.within(SOON);
    namespace.create_topic("fast-data-topic", 3).await?;
    Ok(namespace)
}

/// Creates ConfigMaps of a megabyte until etcd refuses one; returns their number.
async fn fill(namespace: &Namespace, plane: &ControlPlane) -> Outcome<usize> {
    for number in 0..64 {
        let ballast = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("ballast-{number}")},
            "data": {"x": "x".repeat(1 << 20)},
        });
        if let Err(error) = namespace.create_object(CONFIG_MAP, &ballast).await {
            assert!(format!("{error:#}").contains("space exceeded"), "{error:#}");
            assert!(plane.etcd_is_full().await?);
            return Ok(number);
        }
    }
    Err("etcd takes more than its quota".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_out_of_space_few_writes_are_tried_and_all_is_repaired_when_it_has_space() -> Outcome {
    let builder = ControlPlane::builder().controller_manager(false).scheduler(false);
    let plane = builder.crds(all_crds()).etcd_quota(QUOTA).start().await?;
    let env = ControllerEnv::start_in(&plane, namespace(&plane, "full").await?, None).await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    let ballast = fill(&env, &plane).await?;

    // A deletion takes no space: now there is something to repair.
    env.delete(SERVICE, "g").await?;
    env.faults.log.clear();
    env.faults.log.eventually("POST", "/services").await?;
    sleep(IN_VAIN).await;
    let tried = env.faults.log.writes();
    assert!(tried.len() <= 12, "{} writes were tried in {IN_VAIN:?}: {tried:?}", tried.len());
    let metrics = env.metrics().await?;
    let counted = |line: &&str| line.contains("reconciles_total{outcome=\"Failed\"}");
    assert!(metrics.lines().any(|line| counted(&line)), "no metric tells of the refused writes");
    assert!(env.list(SERVICE).await?.is_empty());

    for number in 0..ballast {
        env.delete(CONFIG_MAP, &format!("ballast-{number}")).await?;
    }
    plane.free_etcd().await?;
    env.exists(SERVICE, "g").await?;
    env.patch(GROUP, "g", &json!({"spec": {"minReplicas": 2}})).await?;
    env.condition_is("g", "Paused", "Running").await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_whose_own_crd_is_deleted_resumes_when_the_crd_is_back() -> Outcome {
    let plane = api_server(all_crds()).await?;
    let env = ControllerEnv::start_in(&plane, namespace(&plane, "crd").await?, None).await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;

    let name = "kconsumergroups.thenextapps.com";
    let crds: Api<DynamicObject> = Api::all_with(plane.client().await?, &CRD.resource());
    crds.delete(name, &DeleteParams::default()).await?;
    eventually("the CRD is gone", SOON, async || {
        Ok(met(crds.get_opt(name).await?.is_none(), || "it is there"))
    })
    .await?;
    // The groups went with it. There is no garbage collector here, and the operator deletes nothing.
    env.faults.log.clear();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(env.faults.log.writes(), Vec::<String>::new());
    let lists = env.faults.log.count("GET", "/kconsumergroups");
    assert!(lists <= 10, "{lists} requests for groups in two seconds");
    for kind in CHILDREN {
        env.exists(kind, "g").await?;
    }

    plane.install_crds(&own_crd()).await?;
    env.create_group("new", &json!({})).await?;
    env.children_exist("new").await?;
    // A group of the old name is another one: its children belong to the deleted group.
    env.create_group("g", &json!({})).await?;
    let is_told = |group: &Value| condition(group, "Ready")[0] == "False";
    env.eventually(GROUP, "g", "what is in the way is told", is_told).await?;
    for kind in CHILDREN {
        env.delete(kind, "g").await?;
    }
    env.condition_is("g", "Ready", crate::NO_FAILED_WRITE).await?;
    env.stop().await
}
