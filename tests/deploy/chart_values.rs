//! Values of the operator's chart that are unusual, wrong or contradict each other.

use kcg_api::GroupDefaults;
use kcg_tests::helm::{MODES, OPERATOR, helm, template};
use kcg_tests::{Outcome, deploy, deploy_copy};
use serde_json::{Value, json};

use crate::charts::every_value;
use crate::kustomize::{of_kind, title};

/// The reason why the chart refuses these values.
async fn refusal(values: &Value) -> Outcome<String> {
    let rendered = template(&deploy(OPERATOR), "ops", values).await;
    Ok(rendered.err().ok_or_else(|| format!("accepted: {values}"))?.to_string())
}

#[tokio::test]
async fn a_rollout_on_the_host_network_frees_the_ports_of_a_pod_first() -> Outcome {
    for (host_network, expected) in [
        (true, json!({"maxSurge": 0, "maxUnavailable": 1})),
        (false, json!({"maxSurge": 1, "maxUnavailable": 0})),
    ] {
        let values = json!({"webhook": {"hostNetwork": host_network}});
        let objects = template(&deploy(OPERATOR), "ops", &values).await?;
        let webhook = of_kind(&objects, "Deployment").find(|object| title(object).ends_with("-webhook"));
        assert_eq!(webhook.ok_or("no webhook")?["spec"]["strategy"]["rollingUpdate"], expected);
    }
    Ok(())
}

#[tokio::test]
async fn the_ports_of_the_pods_reach_flags_probes_policies_and_monitors() -> Outcome {
    let values = json!({
        "webhook": {"port": 9443, "hostNetwork": true},
        "ports": {"metrics": 9080, "probes": 9081},
        "monitoring": {"podMonitor": true},
    });
    let objects = template(&deploy(OPERATOR), "ops", &values).await?;
    for deployment in of_kind(&objects, "Deployment") {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let named = |name: &str| {
            let ports = container["ports"].as_array().into_iter().flatten();
            ports.filter(|port| port["name"] == name).map(|port| port["containerPort"].clone()).next()
        };
        assert_eq!(named("metrics"), Some(json!(9080)));
        assert_eq!(named("probes"), Some(json!(9081)));
        let args = container["args"].as_array().ok_or("no args")?;
        for flag in ["--metrics-bind-address=:9080", "--health-probe-bind-address=:9081"] {
            assert!(args.contains(&json!(flag)), "{args:?}");
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "probes");
        }
    }
    let policy = of_kind(&objects, "NetworkPolicy").next().ok_or("no policy")?;
    assert_eq!(policy["spec"]["ingress"][0]["ports"], json!([{"port": 9080}]));
    let monitor = of_kind(&objects, "PodMonitor").next().ok_or("no monitor")?;
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], "metrics");
    let service = of_kind(&objects, "Service").next().ok_or("no Service")?;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "admission");
    // Nothing else names a port of the defaults.
    let text = json!(objects).to_string();
    for port in ["8080", "8081", "8443"] {
        assert!(!text.contains(port), "{port}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flag_or_a_variable_that_the_chart_sets_is_refused_in_extra_args_and_extra_env() -> Outcome {
    let variable = |name: &str| json!([{"name": name, "value": "x"}]);
    let both = |list: &Value| json!({"controller": list, "webhook": list});
    for (flag, environment, value) in [
        ("--metrics-bind-address=:9090", "KCG_METRICS_BIND_ADDRESS", "ports.metrics"),
        ("--health-probe-bind-address=:9090", "KCG_HEALTH_PROBE_BIND_ADDRESS", "ports.probes"),
        ("--webhook-bind-address=:9090", "KCG_WEBHOOK_BIND_ADDRESS", "webhook.port"),
        ("--namespaces=a", "KCG_NAMESPACES", "namespaces"),
        ("--topic-namespaces=a", "KCG_TOPIC_NAMESPACES", "topicNamespaces"),
        ("--defaults=/f", "KCG_DEFAULTS", "groupDefaults"),
        ("--certificate-mode=self-managed", "KCG_CERTIFICATE_MODE", "certificates.mode"),
        ("--log-format=json", "KCG_LOG_FORMAT", "logging.format"),
    ] {
        let name = flag.split('=').next().unwrap_or_default();
        let message = refusal(&json!({"extraArgs": both(&json!([flag]))})).await?;
        assert!(message.contains(&format!("extraArgs.controller has {name}, ")), "{message}");
        assert!(message.contains(&format!("Set {value}, and remove {name} from extraArgs")), "{message}");
        let message = refusal(&json!({"extraEnv": {"webhook": variable(environment)}})).await?;
        assert!(message.contains(&format!("extraEnv.webhook has {environment}, ")), "{message}");
        assert!(message.contains(&format!("Set {value}, and remove {environment} from")), "{message}");
    }
    for (values, named) in [
        (json!({"extraArgs": {"webhook": ["--cert-dir=/c"]}}), "extraArgs.webhook has --cert-dir, which"),
        (
            json!({"extraEnv": {"controller": variable("POD_NAME")}}),
            "extraEnv.controller has POD_NAME, which",
        ),
        (
            json!({"extraEnv": {"controller": variable("KCG_POD_NAMESPACE")}}),
            "extraEnv.controller has KCG_POD_NAMESPACE, which",
        ),
        (
            json!({"extraArgs": {"controller": ["--pod-namespace=other"]}}),
            "extraArgs.controller has --pod-namespace, which",
        ),
        (
            json!({"extraArgs": {"webhook": ["--max-spec-bytes=1", "--max-spec-bytes=2"]}}),
            "extraArgs.webhook has --max-spec-bytes twice",
        ),
        (
            json!({"logging": {"level": "debug"}, "extraEnv": {"webhook": variable("RUST_LOG")}}),
            "Set logging.level, and remove RUST_LOG",
        ),
    ] {
        let message = refusal(&values).await?;
        assert!(message.contains(named), "{message}");
    }
    // The webhook has no --identity.
    for process in ["controller", "webhook"] {
        let message = refusal(&json!({"extraEnv": {process: variable("KCG_IDENTITY")}})).await?;
        let cure = format!(
            "extraEnv.{process} has KCG_IDENTITY, which the operator does not read. Put --identity=VALUE into \
             extraArgs.controller"
        );
        assert!(message.contains(&cure), "{message}");
    }
    let free = json!({
        "extraArgs": {"controller": ["--ca-overlap=6m"], "webhook": ["--max-spec-bytes=1024"]},
        "extraEnv": {"controller": variable("RUST_LOG"), "webhook": variable("KCG_MAX_SPEC_BYTES")},
    });
    template(&deploy(OPERATOR), "ops", &free).await?;
    let lease = json!({"extraEnv": {"controller": variable("KCG_LEADER_ELECT_RESOURCE_NAMESPACE")}});
    template(&deploy(OPERATOR), "ops", &lease).await?;
    Ok(())
}

#[tokio::test]
async fn only_one_controller_may_run_without_leader_election() -> Outcome {
    let off = |name: &str| json!([{"name": name, "value": "false"}]);
    for extras in [
        json!({"extraArgs": {"controller": ["--leader-elect=false"]}}),
        json!({"extraEnv": {"controller": off("KCG_LEADER_ELECT")}}),
    ] {
        let message = refusal(&extras).await?;
        assert!(message.contains("replicas.controller=2 contradicts leader-elect=false"), "{message}");
        let mut one = extras.clone();
        one["replicas"] = json!({"controller": 1});
        assert_eq!(controller_strategy(&one).await?, json!({"type": "Recreate"}), "{one}");
    }
    for on in [
        json!({}),
        json!({"extraArgs": {"controller": ["--leader-elect"]}}),
        json!({"extraArgs": {"controller": ["--leader-elect=true"]}, "extraEnv": {"controller": off("KCG_LEADER_ELECT")}}),
    ] {
        assert_eq!(controller_strategy(&on).await?, Value::Null, "{on}");
    }
    Ok(())
}

async fn controller_strategy(values: &Value) -> Outcome<Value> {
    let objects = template(&deploy(OPERATOR), "ops", values).await?;
    let mut deployments = of_kind(&objects, "Deployment");
    let controller = deployments.find(|object| title(object).ends_with("-controller"));
    Ok(controller.ok_or("no controller")?["spec"]["strategy"].clone())
}

#[tokio::test]
async fn the_policy_allows_dns_in_the_namespaces_and_on_the_ports_of_the_values() -> Outcome {
    for (values, namespaces, ports) in [
        (json!({}), json!(["kube-system", "openshift-dns"]), vec![53, 53, 5353, 5353, 8053, 8053]),
        (
            json!({"networkPolicy": {"dnsNamespaces": ["dns"], "dnsPorts": [1053]}}),
            json!(["dns"]),
            vec![1053, 1053],
        ),
    ] {
        let objects = template(&deploy(OPERATOR), "ops", &values).await?;
        let policy = of_kind(&objects, "NetworkPolicy").next().ok_or("no policy")?;
        let rule = &policy["spec"]["egress"][1];
        assert_eq!(rule["to"][0]["namespaceSelector"]["matchExpressions"][0]["values"], namespaces);
        let allowed: Vec<&Value> =
            rule["ports"].as_array().into_iter().flatten().map(|port| &port["port"]).collect();
        assert_eq!(
            allowed,
            ports.iter().map(|port| json!(port)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
    Ok(())
}

#[tokio::test]
async fn names_of_clients_without_their_ca_are_refused() -> Outcome {
    let names = |names: &Value| json!({"webhook": {"clientCA": {"allowedNames": names}}});
    let message = refusal(&names(&json!(["front-proxy", "kube-apiserver"]))).await?;
    assert!(message.contains("allowedNames has no effect without webhook.clientCA.configMap"), "{message}");
    template(&deploy(OPERATOR), "ops", &names(&json!([]))).await?;
    Ok(())
}

#[tokio::test]
async fn a_flag_or_a_variable_that_the_process_does_not_have_is_refused() -> Outcome {
    let variable = |name: &str| json!([{"name": name, "value": "x"}]);
    let lists = "`kconsumer-group-operator webhook --help` lists";
    for (values, named) in [
        (
            json!({"extraArgs": {"webhook": ["--ca-overlap=6m"]}}),
            "extraArgs.webhook has --ca-overlap, which is the controller's. Move it to extraArgs.controller",
        ),
        (
            json!({"extraEnv": {"webhook": variable("KCG_CA_OVERLAP")}}),
            "extraEnv.webhook has KCG_CA_OVERLAP, which is the controller's. Move it to extraEnv.controller",
        ),
        (json!({"extraArgs": {"webhook": ["--max-spec-byte=1"]}}), lists),
        (
            json!({"extraArgs": {"controller": ["--lease-name=a"]}}),
            "extraArgs.controller has --lease-name, which was renamed: use --leader-elect-resource-name",
        ),
        (json!({"extraArgs": {"webhook": ["--help"]}}), lists),
        (json!({"extraEnv": {"webhook": variable("KCG_MAX_SPEC_BYTE")}}), lists),
    ] {
        let message = refusal(&values).await?;
        assert!(message.contains(named), "{message}");
    }
    Ok(())
}

/// Every flag that stands in the Deployments is one that `extraArgs` may not repeat.
#[tokio::test]
async fn every_flag_of_the_chart_is_refused_in_extra_args() -> Outcome {
    let values = json!({
        "namespaces": ["a"], "topicNamespaces": ["b"], "groupDefaults": {"alerts": {"severity": "page"}},
        "logging": {"level": "debug", "format": "json"},
    });
    let mut seen = 0;
    for deployment in of_kind(&template(&deploy(OPERATOR), "ops", &values).await?, "Deployment") {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let process = container["name"].as_str().ok_or("no name")?;
        for flag in container["args"].as_array().into_iter().flatten().skip(1) {
            let message = refusal(&json!({"extraArgs": {process: [flag]}})).await?;
            assert!(message.contains(&format!("extraArgs.{process} has --")), "{message}");
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
    Ok(())
}

#[tokio::test]
async fn labels_of_monitors_and_rules_replace_common_labels_of_the_same_key() -> Outcome {
    let mut values = every_value();
    values["commonLabels"] = json!({"release": "common", "cost-center": "4711"});
    let objects = template(&deploy(OPERATOR), "ops", &values).await?;
    for kind in ["PodMonitor", "PrometheusRule"] {
        let labels = &of_kind(&objects, kind).next().ok_or(kind)?["metadata"]["labels"];
        assert_eq!((&labels["release"], &labels["cost-center"]), (&json!("stack"), &json!("4711")), "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn a_label_that_the_chart_sets_is_refused_in_every_value_that_has_labels() -> Outcome {
    for label in ["app.kubernetes.io/name", "helm.sh/chart", "thenextapps.com/granted-namespace"] {
        for (value, values) in [
            ("commonLabels", json!({"commonLabels": {label: "x"}})),
            ("podLabels", json!({"podLabels": {label: "x"}})),
            ("monitoring.labels", json!({"monitoring": {"labels": {label: "x"}}})),
            ("monitoring.ruleLabels", json!({"monitoring": {"ruleLabels": {label: "x"}}})),
        ] {
            let message = refusal(&values).await?;
            assert!(message.contains(&format!("{value} has the label {label}")), "{message}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_map_that_is_null_counts_as_empty() -> Outcome {
    let on = json!({"podMonitor": true, "alerts": true});
    for (null, empty) in [
        (json!({"commonLabels": null, "monitoring": on}), json!({"commonLabels": {}, "monitoring": on})),
        (json!({"podLabels": null}), json!({"podLabels": {}})),
        (json!({"podAnnotations": null}), json!({})),
        (json!({"serviceAccount": null}), json!({})),
        (json!({"serviceAccount": {"annotations": null}}), json!({})),
        (json!({"resources": null}), json!({})),
        (json!({"extraArgs": null, "extraEnv": null}), json!({})),
        (json!({"logging": null}), json!({})),
        (json!({"groupDefaults": null}), json!({})),
        (json!({"monitoring": null}), json!({})),
        (json!({"nodeSelector": null, "affinity": null, "tolerations": null}), json!({})),
        (json!({"namespaces": null, "topicNamespaces": null}), json!({})),
        (json!({"topologySpreadConstraints": null, "imagePullSecrets": null}), json!({})),
    ] {
        let objects = template(&deploy(OPERATOR), "ops", &null).await?;
        assert_eq!(objects, template(&deploy(OPERATOR), "ops", &empty).await?, "{null}");
    }
    let without = json!({"podSecurityContext": null, "securityContext": null, "openshift": true});
    for deployment in of_kind(&template(&deploy(OPERATOR), "ops", &without).await?, "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"], json!({}));
        assert_eq!(pod["containers"][0]["securityContext"], json!({}));
    }
    for required in ["networkPolicy", "podDisruptionBudget", "certificates"] {
        let message = refusal(&json!({required: null})).await?;
        assert!(message.contains(required), "{message}");
    }
    Ok(())
}

/// The texts of an object that are a namespace or name one, by their paths.
fn namespaces(object: &Value) -> Vec<&Value> {
    let mut found = vec![&object["metadata"]["namespace"]];
    found.push(&object["metadata"]["labels"]["thenextapps.com/granted-namespace"]);
    found.extend(object["subjects"].as_array().into_iter().flatten().map(|subject| &subject["namespace"]));
    for webhook in object["webhooks"].as_array().into_iter().flatten() {
        found.extend([&webhook["clientConfig"]["service"]["namespace"], &object["metadata"]["name"]]);
        found.extend(
            webhook["namespaceSelector"]["matchExpressions"][0]["values"].as_array().into_iter().flatten(),
        );
    }
    for rule in object["rules"].as_array().into_iter().flatten() {
        found.extend(rule["resourceNames"].as_array().into_iter().flatten());
    }
    for container in object["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten() {
        found.extend(container["env"].as_array().into_iter().flatten().map(|variable| &variable["value"]));
    }
    found.retain(|value| !value.is_null());
    found
}

#[tokio::test]
async fn a_namespace_of_digits_and_a_word_of_yaml_are_texts() -> Outcome {
    let values = json!({
        "namespaces": ["1234", "true", "1e3"],
        "topicNamespaces": ["5678"],
        "priorityClassName": "99",
        "monitoring": {"podMonitor": true, "alerts": true},
    });
    for mode in MODES {
        let mut values = values.clone();
        values["certificates"] = json!({"mode": mode});
        let objects = template(&deploy(OPERATOR), "777", &values).await?;
        for object in &objects {
            for value in namespaces(object) {
                assert!(value.is_string(), "{}: {value}", title(object));
            }
        }
        for granted in ["1234", "true", "1e3", "5678"] {
            assert!(
                of_kind(&objects, "Role").any(|role| role["metadata"]["namespace"] == granted),
                "{granted}"
            );
        }
        for deployment in of_kind(&objects, "Deployment") {
            assert_eq!(deployment["metadata"]["namespace"], "777");
            assert_eq!(deployment["spec"]["template"]["spec"]["priorityClassName"], "99");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused() -> Outcome {
    for (values, texts) in [
        (
            json!({"webhook": {"port": 10250, "hostNetwork": true}}),
            ["webhook.port=10250", "webhook.hostNetwork=true", "Set webhook.port to another port"],
        ),
        (
            json!({"webhook": {"hostNetwork": true}, "ports": {"probes": 10250}}),
            ["ports.probes=10250", "webhook.hostNetwork=true", "Set ports.probes to another port"],
        ),
        (json!({"webhook": {"port": 8080}}), ["webhook.port=8080", "ports.metrics=8080", "Set one of them"]),
        (json!({"ports": {"metrics": 8081}}), ["ports.metrics=8081", "ports.probes=8081", "Set one of them"]),
    ] {
        let message = refusal(&values).await?;
        for text in texts {
            assert!(message.contains(text), "{message}");
        }
    }
    template(&deploy(OPERATOR), "ops", &json!({"webhook": {"port": 10250}})).await?;
    Ok(())
}

#[tokio::test]
async fn global_is_refused_unless_another_chart_passes_it_to_this_one() -> Outcome {
    let message = refusal(&json!({"global": {"imageRegistry": "registry.example.com"}})).await?;
    for text in ["global", "imageRegistry", "image.repository"] {
        assert!(message.contains(text), "{message}");
    }
    let parent = deploy_copy(
        "mkdir -p parent/charts && mv deploy/charts/kconsumer-group-operator parent/charts && printf '%s\\n' \
        'apiVersion: v2' 'name: parent' 'version: 0.1.0' > parent/Chart.yaml",
    )
    .await?;
    let values = json!({"global": {"imageRegistry": "registry.example.com"}});
    for values in [values, json!({})] {
        assert_eq!(
            of_kind(&template(&parent.path().join("parent"), "ops", &values).await?, "Deployment").count(),
            2
        );
    }
    Ok(())
}

#[tokio::test]
async fn only_a_secret_of_this_release_is_the_controllers() -> Outcome {
    let secret = |name: &str, namespace: &str| {
        json!({"metadata": {
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace},
        }})
    };
    for (secret, issuer) in [
        (secret("x", "ops"), "self-managed"),
        (secret("certificates", "ops"), "provided"),
        (secret("x", "other"), "provided"),
        (json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}), "provided"),
        (json!({"metadata": {"annotations": {"cert-manager.io/certificate-name": "c"}}}), "cert-manager"),
        (json!({"metadata": {}}), "provided"),
    ] {
        let copy = deploy_copy("").await?;
        let chart = copy.path().join("deploy").join(OPERATOR);
        let issuer_of = format!(
            "kind: Issuer\nissuer: {{{{ include \"kconsumer-group-operator.issuer\" (dict \"root\" . \"secret\" (fromJson `{secret}`)) }}}}\n"
        );
        std::fs::write(chart.join("templates/issuer.yaml"), issuer_of)?;
        let folder = chart.display().to_string();
        let arguments =
            ["template", "x", &folder, "--namespace", "ops", "--show-only", "templates/issuer.yaml"];
        let output = helm(&arguments).await?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(
            text.lines().find(|line| line.starts_with("issuer: ")),
            Some(format!("issuer: {issuer}").as_str()),
            "{secret}"
        );
    }
    Ok(())
}

/// Whether the controllers and whether the chart accept these defaults.
async fn accepted(defaults: &Value) -> (bool, bool) {
    let read = GroupDefaults::parse(&defaults.to_string()).is_ok();
    let values = json!({"groupDefaults": defaults});
    (read, template(&deploy(OPERATOR), "ops", &values).await.is_ok())
}

#[tokio::test]
async fn the_chart_refuses_the_group_defaults_that_the_controllers_refuse_and_no_others() -> Outcome {
    let labels = |key: &str, value: &str| json!({"metrics": {"labels": {key: value}}});
    let annotations = |key: &str, value: &str| json!({"inheritedMetadata": {"annotations": {key: value}}});
    let interval = |interval: &str| json!({"metrics": {"interval": interval}});
    let severity = |severity: &str| json!({"alerts": {"severity": severity}});
    let secret = |name: &str| json!({"consumerSpec": {"imagePullSecrets": [{"name": name}]}});
    let scrape = |samples: i64, labels: i64, body: &str| json!({"sampleLimit": samples, "labelLimit": labels, "bodySizeLimit": body});
    let limits = |limits: &Value, metrics: &Value| json!({"limits": limits, "metrics": metrics});
    let none = scrape(0, 0, "0");
    let long = |length: usize| "a".repeat(length);
    for good in [
        interval("5s"),
        interval("1m30s"),
        interval("1w2d3h4m5s6ms"),
        severity("ticket"),
        severity("page now"),
        labels("example.com/team", "a_b.c-d"),
        labels("release", ""),
        labels("team", &long(63)),
        annotations("example.com/note", " any text: ä\n"),
        annotations("note", &long(4096)),
        secret("registry.example-1"),
        json!({"alerts": {"ruleLabels": {}}}),
        json!({"inheritedMetadata": {"labels": {"team": "a"}}}),
        labels(&format!("{}/{}", long(253), long(63)), "d"),
        annotations(&format!("{}/a", long(253)), "d"),
        interval("1000ms"),
        interval("1s"),
        json!({"metrics": scrape(200_000, 128, "65536KiB")}),
        limits(&none, &none),
        limits(&none, &scrape(10_000_000, 1000, "2GB")),
        limits(&scrape(1_000_000, 500, "1GB"), &scrape(1_000_000, 500, "1024MiB")),
        limits(&json!({"sampleLimit": 1_000_000}), &scrape(1_000_000, 1, "1B")),
        limits(&scrape(1, 1, "1B"), &json!({})),
    ] {
        assert_eq!(accepted(&good).await, (true, true), "{good}");
    }
    for wrong in [
        interval("1y"),
        interval("0s"),
        interval("30s1m"),
        interval(""),
        interval("5s\n"),
        severity(" x"),
        severity(""),
        severity("é"),
        labels("b c", "d"),
        labels("", "d"),
        labels("Example.com/team", "d"),
        labels(&long(64), "d"),
        labels(&format!("{}/a", long(316)), "d"),
        labels("a", "b c"),
        labels("a", &long(64)),
        labels("app", "mine"),
        labels("thenextapps.com/kconsumergroup", "g"),
        json!({"alerts": {"ruleLabels": {"b c": "d"}}}),
        json!({"inheritedMetadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}}),
        annotations("thenextapps.com/x", "y"),
        annotations("kubectl.kubernetes.io/restartedAt", "y"),
        annotations("deployment.kubernetes.io/revision", "1"),
        annotations("b c", "y"),
        annotations("note", &long(4097)),
        annotations("note", &"ä".repeat(2049)),
        secret("a..b"),
        secret("B"),
        secret(&long(254)),
        labels(&format!("{}/a", long(254)), "d"),
        annotations(&format!("{}/a", long(254)), "d"),
        json!({"alerts": {"ruleLabels": {format!("{}/a", long(254)): "d"}}}),
        json!({"inheritedMetadata": {"labels": {format!("{}/a", long(254)): "d"}}}),
        interval("1ms"),
        interval("999ms"),
        json!({"metrics": {"sampleLimit": 300_000}}),
        json!({"metrics": {"sampleLimit": 0}}),
        json!({"metrics": {"labelLimit": 129}}),
        json!({"metrics": {"labelLimit": 0}}),
        json!({"metrics": {"bodySizeLimit": "0"}}),
        json!({"metrics": {"bodySizeLimit": "1GB"}}),
        json!({"metrics": {"bodySizeLimit": "67108865B"}}),
        limits(&scrape(10_000_000, 500, "1GB"), &json!({"sampleLimit": 10_000_001})),
        limits(&scrape(10_000_000, 500, "1GB"), &json!({"labelLimit": 0})),
        limits(&scrape(10_000_000, 500, "1GB"), &json!({"bodySizeLimit": "1025MB"})),
        limits(&json!({"labelLimit": 500}), &json!({"sampleLimit": 200_001})),
        limits(&scrape(-1, 1, "1B"), &json!({})),
    ] {
        assert_eq!(accepted(&wrong).await, (false, false), "{wrong}");
    }
    let many: serde_json::Map<String, Value> =
        (0..20).map(|index| (format!("a{index}"), json!(long(4096)))).collect();
    assert_eq!(accepted(&json!({"inheritedMetadata": {"annotations": many}})).await, (false, false));
    Ok(())
}

#[tokio::test]
async fn the_admission_policy_is_rendered_for_the_controllers_certificate_and_can_be_turned_off() -> Outcome {
    for (certificates, expected) in [
        (json!({"mode": "self-managed"}), 1),
        (json!({"mode": "self-managed", "admissionPolicy": false}), 0),
        (json!({"mode": "cert-manager"}), 0),
        (json!({"mode": "provided"}), 0),
    ] {
        let objects = template(&deploy(OPERATOR), "ops", &json!({"certificates": certificates})).await?;
        for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
            assert_eq!(of_kind(&objects, kind).count(), expected, "{certificates}");
        }
    }
    Ok(())
}
