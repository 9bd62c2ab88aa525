//! The webhook's certificate: two modes to issue it, in both scopes.

use kcg_api::names;
use kcg_devcluster::ControlPlane;
use kcg_manifests::certificates::{ANNOTATION_INJECT, dns_names};
use kcg_tests::{Outcome, deploy, deploy_copy, kubectl};
use serde_json::{Value, json};

use crate::installed::cluster;
use crate::kustomize::{OVERLAYS, build, of_kind, on_top, title};

const SCOPES: [&str; 2] = ["cluster", "namespaced"];

/// The objects of an overlay that its scope alone does not have.
async fn added(scope: &str, mode: &str) -> Outcome<Vec<String>> {
    let alone: Vec<String> = build(&deploy(&format!("scopes/{scope}"))).await?.iter().map(title).collect();
    let all = build(&deploy(&format!("overlays/{scope}/{mode}"))).await?;
    let mut added: Vec<String> = all.iter().map(title).filter(|title| !alone.contains(title)).collect();
    assert_eq!(alone.len() + added.len(), all.len(), "{scope}/{mode} takes nothing away");
    added.sort();
    Ok(added)
}

#[tokio::test]
async fn each_certificate_mode_adds_only_the_objects_that_it_needs() -> Outcome {
    for scope in SCOPES {
        assert_eq!(
            added(scope, "cert-manager").await?,
            [
                "Certificate kconsumer-group-operator/kconsumer-group-operator-webhook",
                "Certificate kconsumer-group-operator/kconsumer-group-operator-webhook-ca",
                "Issuer kconsumer-group-operator/kconsumer-group-operator-webhook-ca",
                "Issuer kconsumer-group-operator/kconsumer-group-operator-webhook-selfsigned",
            ]
        );
        assert_eq!(
            added(scope, "self-managed").await?,
            [
                "ClusterRole kconsumer-group-operator:certificates",
                "ClusterRoleBinding kconsumer-group-operator:certificates",
                "Role kconsumer-group-operator/kconsumer-group-operator-controller-certificates",
                "RoleBinding kconsumer-group-operator/kconsumer-group-operator-controller-certificates",
                "Secret kconsumer-group-operator/kconsumer-group-operator-ca",
                "Secret kconsumer-group-operator/kconsumer-group-operator-webhook-tls",
                "ValidatingAdmissionPolicy kconsumer-group-operator.certificates",
                "ValidatingAdmissionPolicyBinding kconsumer-group-operator.certificates",
            ]
        );
    }
    Ok(())
}

fn deployment<'a>(objects: &'a [Value], name: &str) -> Outcome<&'a Value> {
    let found = of_kind(objects, "Deployment").find(|object| object["metadata"]["name"] == name);
    Ok(found.ok_or("no such Deployment")?)
}

#[tokio::test]
async fn the_webhook_mounts_its_certificate_and_never_the_ca_key() -> Outcome {
    for overlay in OVERLAYS {
        let objects = build(&deploy(overlay)).await?;
        for deployment in of_kind(&objects, "Deployment") {
            let text = deployment["spec"].to_string();
            assert!(!text.contains(names::CA_SECRET), "{overlay}: {}", title(deployment));
        }
        let webhook = deployment(&objects, names::WEBHOOK)?;
        let secret = &webhook["spec"]["template"]["spec"]["volumes"][0]["secret"];
        assert_eq!(secret["secretName"], names::CERTIFICATE_SECRET, "{overlay}");
        assert_eq!(secret["optional"], true, "{overlay}: a pod without a certificate starts and reports it");
        let items = secret["items"].as_array().into_iter().flatten();
        let mounted: Vec<&str> = items.filter_map(|item| item["path"].as_str()).collect();
        let expected: &[&str] = match overlay.rsplit_once('/') {
            Some((_, "self-managed")) => &["tls.crt", "tls.key"],
            Some((_, "cert-manager")) => &["tls.crt", "tls.key", "ca.crt"],
            // All entries of a provided Secret.
            _ => &[],
        };
        assert_eq!(mounted, expected, "{overlay}");
    }
    Ok(())
}

#[tokio::test]
async fn cert_manager_issues_for_the_names_of_the_service_and_injects_the_ca() -> Outcome {
    for scope in SCOPES {
        let objects = build(&deploy(&format!("overlays/{scope}/cert-manager"))).await?;
        let certificate = |name: &str| {
            let found = of_kind(&objects, "Certificate").find(|object| object["metadata"]["name"] == name);
            found.map(|object| &object["spec"]).ok_or(format!("no Certificate {name}"))
        };
        let leaf = certificate(names::WEBHOOK)?;
        assert_eq!(leaf["dnsNames"], json!(dns_names(names::WEBHOOK, names::NAMESPACE)));
        assert_eq!(leaf["secretName"], names::CERTIFICATE_SECRET);
        let issuer = leaf["issuerRef"]["name"].as_str().ok_or("no issuer")?;
        let signing = of_kind(&objects, "Issuer").find(|object| object["metadata"]["name"] == issuer);
        let authority = certificate(issuer)?;
        assert_eq!(signing.ok_or("no Issuer")?["spec"]["ca"]["secretName"], authority["secretName"]);
        assert_eq!(
            authority["privateKey"]["rotationPolicy"], "Never",
            "a renewed authority verifies old leaves"
        );

        let registrations: Vec<&Value> =
            objects.iter().filter(|object| object.get("webhooks").is_some()).collect();
        assert_eq!(registrations.len(), 2);
        for registration in registrations {
            let named = format!("{}/{}", names::NAMESPACE, names::WEBHOOK);
            assert_eq!(registration["metadata"]["annotations"], json!({ANNOTATION_INJECT: named}));
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_webhook_serves_only_a_certificate_for_the_name_that_the_api_server_requests() -> Outcome {
    for overlay in OVERLAYS {
        let objects = build(&deploy(overlay)).await?;
        let container = &deployment(&objects, names::WEBHOOK)?["spec"]["template"]["spec"]["containers"][0];
        // The kubelet expands the variable.
        let [name, _] = dns_names(names::WEBHOOK, "$(POD_NAMESPACE)");
        let flag = json!(format!("--server-name={name}"));
        assert!(container["args"].as_array().is_some_and(|flags| flags.contains(&flag)), "{overlay}");
        assert_eq!(container["env"][0]["name"], "POD_NAMESPACE", "{overlay}");
        assert_eq!(
            container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.namespace",
            "{overlay}"
        );
    }
    Ok(())
}

/// All strings in a value, each with its path.
fn texts(value: &Value, way: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((way.to_owned(), text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, way, found)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| texts(field, &format!("{way} {key}"), found));
        }
        _ => {}
    }
}

/// Whether a string that equals the shipped namespace means something else.
fn is_no_namespace(object: &str, way: &str) -> bool {
    way.ends_with(" app.kubernetes.io/name")
        || way.ends_with(" image")
        || object.starts_with("NetworkPolicy ") && way == " metadata name"
        || object.ends_with("-lease") && way == " rules resourceNames"
}

/// No string of the objects is the shipped namespace or contains it.
fn follow_another_namespace(objects: &[Value], overlay: &str) {
    for object in objects {
        let mut found = Vec::new();
        texts(object, "", &mut found);
        let title = title(object);
        for (way, text) in found {
            let left = text.split(['.', '/', ':']).any(|part| part == names::NAMESPACE);
            assert!(!left || is_no_namespace(&title, &way), "{overlay}: {title}:{way}: {text}");
        }
    }
}

#[tokio::test]
async fn every_object_follows_the_name_of_the_installations_namespace() -> Outcome {
    let script =
        "sed -i 's/^namespace: .*/namespace: other/' deploy/scopes/namespaced/operator/kustomization.yaml";
    let copy = deploy_copy(script).await?;
    for overlay in OVERLAYS.into_iter().filter(|overlay| overlay.contains("namespaced")) {
        follow_another_namespace(&build(&copy.path().join("deploy").join(overlay)).await?, overlay);
    }
    Ok(())
}

#[tokio::test]
async fn every_object_follows_a_namespace_that_is_set_on_top_and_granted_roles_stay() -> Outcome {
    for overlay in OVERLAYS {
        let own = json!({
            "namespace": "other",
            "resources": [format!("deploy/{overlay}")],
            "transformers": ["deploy/transformers/namespace"],
        });
        let objects = on_top(&own).await?;
        follow_another_namespace(&objects, overlay);
        let mut granted = 0;
        for object in objects {
            if let Some(namespace) = object["metadata"]["labels"].get("thenextapps.com/granted-namespace") {
                assert_eq!(object["metadata"]["namespace"], *namespace, "{overlay}: {}", title(&object));
                granted += 1;
            }
        }
        assert_eq!(granted, if overlay.contains("namespaced") { 4 } else { 0 }, "{overlay}");
    }
    Ok(())
}

/// Whether the API server allows a request of a ServiceAccount.
async fn may(plane: &ControlPlane, account: &str, request: &[&str]) -> Outcome<bool> {
    let account = format!("--as=system:serviceaccount:{}:{account}", names::NAMESPACE);
    let mut args = vec!["auth", "can-i", "--namespace", names::NAMESPACE, &account];
    args.extend(request);
    Ok(plane.kubectl(&args).await?.stdout.trim() == "yes")
}

#[tokio::test]
async fn only_the_controller_may_access_the_two_secrets_and_no_other_secret() -> Outcome {
    let plane = cluster().await?;
    let overlay = deploy("overlays/cluster/self-managed").display().to_string();
    kubectl::run(&plane, &["apply", "-k", &overlay]).await?;
    let [secret, ca] = [names::CERTIFICATE_SECRET, names::CA_SECRET].map(|name| format!("secret/{name}"));
    let registrations =
        ["mutating", "validating"].map(|kind| format!("{kind}webhookconfiguration/{}", names::OPERATOR));
    let other = format!("validatingwebhookconfiguration/{}-other", names::OPERATOR);
    for (request, allowed) in [
        (["get", &secret], true),
        (["update", &secret], true),
        (["get", &ca], true),
        (["update", &ca], true),
        (["delete", &ca], false),
        (["patch", &registrations[0]], true),
        (["patch", &registrations[1]], true),
        (["create", "events.events.k8s.io"], true),
        (["get", "secret/another"], false),
        (["list", "secrets"], false),
        (["create", "secrets"], false),
        (["delete", &secret], false),
        (["patch", &other], false),
        (["delete", &registrations[1]], false),
        (["create", "validatingwebhookconfigurations"], false),
    ] {
        assert_eq!(may(&plane, names::CONTROLLER, &request).await?, allowed, "controller: {request:?}");
        assert!(!may(&plane, names::WEBHOOK, &request).await?, "webhook: {request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn applying_the_overlay_again_keeps_the_secret_and_the_ca_bundles_of_the_controller() -> Outcome {
    let plane = cluster().await?;
    let overlay = deploy("overlays/cluster/self-managed").display().to_string();
    kubectl::run(&plane, &["apply", "-k", &overlay]).await?;
    let secret = ["--namespace", names::NAMESPACE, "secret", names::CERTIFICATE_SECRET];
    let fill = ["--type=merge", "--patch", r#"{"data":{"tls.crt":"Zmlyc3Q=","ca.key":"c2Vjb25k"}}"#];
    kubectl::run(&plane, &[&["patch"], &secret[..], &fill].concat()).await?;
    let registration = ["validatingwebhookconfiguration", names::OPERATOR];
    let bundle =
        r#"[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"LS0tLS1CRUdJTi0tLS0tCg=="}]"#;
    let trust = ["--type=json", "--patch", bundle];
    let answer = plane.kubectl(&[&["patch"], &registration[..], &trust].concat()).await?;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    // The first server-side apply has to be forced, because the client-side apply owns the
    // defaults.
    for flags in [&[][..], &["--server-side", "--force-conflicts"], &["--server-side"]] {
        kubectl::run(&plane, &[&["apply", "-k", &overlay], flags].concat()).await?;
        let data = kubectl::run(&plane, &[&["get"], &secret[..], &["-o=jsonpath={.data}"]].concat()).await?;
        let data: Value = serde_json::from_str(&data)?;
        assert_eq!(data, json!({"tls.crt": "Zmlyc3Q=", "ca.key": "c2Vjb25k"}), "{flags:?}");
        let path = "-o=jsonpath={.webhooks[0].clientConfig.caBundle}";
        let kept = kubectl::run(&plane, &[&["get"], &registration[..], &[path]].concat()).await?;
        assert_eq!(kept, "LS0tLS1CRUdJTi0tLS0tCg==", "{flags:?}");
    }
    Ok(())
}
