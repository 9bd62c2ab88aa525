use serde_json::json;

use super::*;

fn version(kind: Kind, object: Value) -> Version {
    Version { kind, gone: false, object: object.into() }
}

/// An autoscaler whose maxReplicas these managers have written.
fn autoscaler(max: i64, writers: &[&str]) -> Version {
    let entry = |manager: &&str| json!({"manager": manager, "fieldsV1": {"f:spec": {"f:maxReplicas": {}}}});
    let entries: Vec<Value> = writers.iter().map(entry).collect();
    let metadata = json!({"name": "a", "uid": "u", "managedFields": entries});
    version(AUTOSCALER, json!({"metadata": metadata, "spec": {"maxReplicas": max}}))
}

fn group(generation: i64, observed: i64, status: &str, time: &str) -> Version {
    let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": time});
    let object = json!({
        "metadata": {"name": "a", "uid": "g", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": [condition]},
    });
    version(GROUP, object)
}

fn deployment(manager: &str, owner: &str, replicas: i64) -> Version {
    let object = json!({
        "metadata": {
            "name": "a", "uid": "d", "ownerReferences": [{"controller": true, "uid": owner}],
            "managedFields": [{"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
        },
        "spec": {"replicas": replicas},
    });
    version(DEPLOYMENT, object)
}

#[test]
fn a_ceiling_that_falls_is_found_and_a_third_partys_is_not() {
    let creator = format!("{CREATOR}12345678");
    let of_ours = |max| autoscaler(max, &[MANAGER]);
    let fallen = |low| lowered_ceilings(&[of_ours(6), low, of_ours(6)]).len();
    assert_eq!(lowered_ceilings(&[of_ours(3), of_ours(6), of_ours(3)]).len(), 1);
    assert_eq!(fallen(autoscaler(DRIFTED_MAX, &["third-party"])), 0);
    for writers in [vec![MANAGER], vec![creator.as_str()], vec!["third-party", MANAGER], vec![]] {
        assert_eq!(fallen(autoscaler(DRIFTED_MAX, &writers)), 1, "{writers:?}");
    }
    assert_eq!(fallen(autoscaler(DRIFTED_MAX + 1, &["third-party"])), 1);
}

#[test]
fn a_write_to_an_object_of_another_owner_is_found() {
    let group = group(1, 1, "True", "t");
    let written = |owner| vec![group.clone(), deployment(MANAGER, owner, 1)];
    assert_eq!(foreign_writes(&written("g")), [""; 0]);
    assert_eq!(foreign_writes(&written("another")).len(), 1);
    let bystander = |version_: &str| {
        let object = json!({"metadata": {"name": BYSTANDER, "uid": "b", "resourceVersion": version_}});
        version(kcg_tests::objects::SERVICE, object)
    };
    assert_eq!(foreign_writes(&[bystander("1"), bystander("1")]), [""; 0]);
    assert_eq!(foreign_writes(&[bystander("1"), bystander("2")]).len(), 1);
}

#[test]
fn replicas_that_an_apply_owns_or_that_are_reset_are_found() {
    assert_eq!(owned_replicas(&[deployment(MANAGER, "g", 1)]).len(), 1);
    let creator = format!("{CREATOR}12345678");
    assert_eq!(owned_replicas(&[deployment(&creator, "g", 1), deployment(&creator, "g", 2)]), [""; 0]);
    assert_eq!(owned_replicas(&[deployment(&creator, "g", 2), deployment(&creator, "g", 1)]).len(), 1);
}

#[test]
fn a_second_object_and_a_deletion_of_ours_are_found_and_a_refused_one_is_not() {
    let service = |uid| version(kcg_tests::objects::SERVICE, json!({"metadata": {"name": "a", "uid": uid}}));
    let delete = |code| {
        let mut event = AuditEvent { verb: "delete".into(), ..AuditEvent::default() };
        event.object_ref.resource = "services".into();
        event.response_status.code = code;
        event
    };
    let clean = history(&[service("1"), service("1")], &[]);
    assert_eq!(another_history(&clean, &history(&[service("2")], &[delete(409)])), [""; 0]);
    assert_eq!(another_history(&clean, &history(&[service("1"), service("2")], &[])).len(), 1);
    assert_eq!(another_history(&clean, &history(&[service("1")], &[delete(200)])).len(), 1);
    assert_eq!(another_history(&clean, &history(&[], &[])).len(), 1);
}

#[test]
fn a_generation_that_is_ahead_or_falls_is_found() {
    let at = |generation, observed| group(generation, observed, "True", "t");
    assert_eq!(wrong_generations(&[at(1, -1), at(1, 1), at(2, 1), at(2, 2)]), [""; 0]);
    assert_eq!(wrong_generations(&[at(1, 2)]).len(), 1);
    assert_eq!(wrong_generations(&[at(2, 2), at(2, 1)]).len(), 1);
}

#[test]
fn a_transition_time_that_moves_without_its_status_is_found() {
    let at = |status, time| group(1, 1, status, time);
    assert_eq!(moved_transitions(&[at("True", "1"), at("False", "2"), at("False", "2")]), [""; 0]);
    assert_eq!(moved_transitions(&[at("True", "1"), at("True", "2")]).len(), 1);
}

#[test]
fn too_many_retries_too_much_memory_and_too_many_files_are_found() {
    let id = RequestId { verb: "patch".into(), resource: "services".into() };
    let clean = Clean { counts: [(id.clone(), 2)].into(), ..Clean::default() };
    let seen = |count, memory_kib, files| Observed {
        counts: [(id.clone(), count)].into(),
        memory_kib,
        files,
        ..Observed::default()
    };
    assert_eq!(unbounded(&clean, &seen(2 + RETRIES, MAX_MEMORY_KIB, MAX_FILES)), [""; 0]);
    assert_eq!(unbounded(&clean, &seen(3 + RETRIES, MAX_MEMORY_KIB + 1, MAX_FILES + 1)).len(), 3);
}

#[test]
fn an_error_that_no_metric_counts_is_found() {
    let plan: Plan = "1 group | create services #1 answer 503 before".parse().unwrap();
    let seen = |code, all_met| {
        let metrics =
            format!("kconsumer_group_operator_api_requests_total{{verb=\"create\",code=\"{code}\"}} 1");
        Observed { all_met, metrics, ..Observed::default() }
    };
    assert_eq!(invisible(&plan, &seen("503", true)), [""; 0]);
    assert_eq!(invisible(&plan, &seen("500", true)).len(), 1);
    assert_eq!(invisible(&plan, &seen("500", false)), [""; 0], "no request met the fault");
    let unread = Observed { all_met: true, ..Observed::default() };
    assert_eq!(invisible(&plan, &unread).len(), 1, "the metrics were not read");
    let killed = "1 group | create services #1 kill after | list pods #1 answer 503 before".parse().unwrap();
    assert_eq!(invisible(&killed, &seen("500", true)), [""; 0]);
}

#[test]
fn an_event_that_a_crash_repeats_more_than_once_is_found() {
    let plan: Plan = "1 group | patch kconsumergroups/status #1 kill before".parse().unwrap();
    let events = |count| BTreeMap::from([("Ready of KConsumerGroup a".to_owned(), count)]);
    let clean = Clean { events: events(2), ..Clean::default() };
    let seen = |count, starts| Observed {
        events: events(count),
        facts: Facts { starts, ..Facts::default() },
        ..Observed::default()
    };
    assert_eq!(repeated_events(&plan, &clean, &seen(3, 2)), [""; 0]);
    assert_eq!(repeated_events(&plan, &clean, &seen(4, 2)).len(), 1);
    assert_eq!(repeated_events(&plan, &clean, &seen(3, 1)).len(), 1, "nothing was restarted");
}

#[test]
fn a_lease_that_is_not_released_is_found() {
    let seen = |took| Observed { successions: vec![took], ..Observed::default() };
    assert_eq!(late_successors(&seen(Some(RELEASED))), [""; 0]);
    assert_eq!(late_successors(&seen(Some(RELEASED * 2))).len(), 1);
    assert_eq!(late_successors(&seen(None)).len(), 1);
}
