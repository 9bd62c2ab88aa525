//! `validate` and `render` on files, folders, templates and other people's objects.

use std::fs;

use serde_json::Value;

use crate::{GROUP, Outcome, run};

#[test]
fn a_folder_without_a_group_fails_unless_that_is_allowed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    let none =
        "no KconsumerGroup was found: check the paths (-R reads nested folders), or use --allow-none\n";
    fs::create_dir(folder.path().join("nested"))?;
    fs::write(folder.path().join("service.yaml"), "apiVersion: v1\nkind: Service\n---\nkind: Other\n")?;
    fs::write(folder.path().join("nested/group.yaml"), GROUP)?;
    let summary = "0 groups valid, 2 other documents passed over\n";
    crate::assert_output(&run(&["validate", &path], "")?, 1, summary, none);
    crate::assert_output(&run(&["validate", "--allow-none", &path], "")?, 0, summary, "");
    let nested = run(&["validate", "-R", "-f", &path], "")?;
    let stdout = String::from_utf8(nested.stdout)?;
    assert!(stdout.ends_with("1 group valid, 2 other documents passed over\n"), "{stdout}");
    assert_eq!(nested.status.code(), Some(0));
    crate::assert_output(
        &run(&["validate", "-"], "")?,
        1,
        "0 groups valid, 0 other documents passed over\n",
        none,
    );
    Ok(())
}

#[test]
fn a_misspelt_kind_or_api_version_fails() -> Outcome {
    for (right, wrong) in
        [("kind: KconsumerGroup", "kind: KConsumerGroup"), ("thenextapps.com", "thenextapp.com")]
    {
        for command in ["validate", "render"] {
            let output = run(&[command, "-"], &GROUP.replace(right, wrong))?;
            let stderr = String::from_utf8(output.stderr)?;
            assert_eq!(output.status.code(), Some(1), "{wrong}: {stderr}");
            assert!(
                stderr.contains("a KconsumerGroup has the apiVersion thenextapps.com/v1alpha1"),
                "{stderr}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_helm_template_fails_with_its_name_unless_it_may_be_skipped() -> Outcome {
    let folder = tempfile::tempdir()?;
    let template = folder.path().join("template.yaml");
    fs::write(&template, "{{- if .Values.orders }}\nkind: KconsumerGroup\n{{- end }}\n")?;
    fs::write(folder.path().join("group.yaml"), GROUP)?;
    let path = folder.path().display().to_string();
    let output = run(&["validate", &path], "")?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(stderr.starts_with(&format!("{}: line 1, column ", template.display())), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["validate", "--skip-unreadable", &path], "")?;
    let stdout = String::from_utf8(output.stdout)?;
    assert!(stdout.ends_with("1 group valid, 1 skipped, 0 other documents passed over\n"), "{stdout}");
    assert!(String::from_utf8(output.stderr)?.contains("template.yaml: skipped: line 1"));
    assert_eq!(output.status.code(), Some(0));
    Ok(())
}

#[test]
fn the_result_can_be_read_by_a_program() -> Outcome {
    let two = format!("{GROUP}---\nkind: Service\n---{}", GROUP.replace("example.com/orders:1", "''"));
    let output = run(&["validate", "-o", "json", "-"], &two)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let result: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(result["valid"], false);
    assert_eq!(result["otherDocuments"], 1);
    assert_eq!(result["groups"][0]["valid"], true);
    assert_eq!(result["groups"][1]["namespace"], "shop");
    assert_eq!(result["groups"][1]["violations"][0], "spec.consumerSpec.image: Required value");
    Ok(())
}

#[test]
fn an_octal_mode_is_rendered_as_kubectl_sends_it() -> Outcome {
    let volume = "podTemplate: {spec: {volumes: [{name: a, configMap: {name: a, defaultMode: 0755}}]}}";
    let group = GROUP.replace("topic: orders", &format!("topic: orders, {volume}"));
    let output = run(&["render", "--partitions", "orders=6", "-"], &group)?;
    let stdout = String::from_utf8(output.stdout)?;
    assert!(stdout.contains("defaultMode: 493"), "{stdout} {:?}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn an_unknown_ceiling_is_said_and_never_printed() -> Outcome {
    let output = run(&["render", "-"], GROUP)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the partitions of KafkaTopic shop/orders are not known"), "{stderr}");
    assert!(stderr.contains("printed without maxReplicas and the PrometheusRule"), "{stderr}");
    let children: Vec<Value> = serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?)?;
    let kinds: Vec<&str> = children.iter().filter_map(|child| child["kind"].as_str()).collect();
    assert_eq!(kinds, ["Service", "ServiceMonitor", "HorizontalPodAutoscaler", "Deployment"]);
    assert!(children[2]["spec"].get("maxReplicas").is_none() && children[2]["spec"]["minReplicas"] == 4);
    assert!(!std::str::from_utf8(&output.stdout)?.contains("held-partitions"));

    let capped = GROUP.replace("minReplicas: 4", "minReplicas: 2\n  maxReplicas: 8");
    let output = run(&["render", "-"], &capped)?;
    let children: Vec<Value> = serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?)?;
    assert_eq!(children[2]["spec"]["maxReplicas"], 8);
    assert!(String::from_utf8(output.stderr)?.contains("printed without the PrometheusRule"));
    Ok(())
}

#[test]
fn a_cluster_that_is_configured_and_does_not_respond_is_said() -> Outcome {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("config");
    fs::write(&kubeconfig, crate::KUBECONFIG)?;
    let group = folder.path().join("group.yaml").display().to_string();
    fs::write(&group, GROUP)?;
    let mut command = crate::operator();
    command.args(["render", "--partitions=orders=6", &group]).env("KUBECONFIG", &kubeconfig);
    let output = command.output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && stderr.starts_with("nothing was read from the cluster: "), "{stderr}");
    let mut command = crate::operator();
    command.args(["render", "--offline", "--partitions=orders=6", &group]).env("KUBECONFIG", &kubeconfig);
    assert!(command.output()?.stderr.is_empty());
    let named = run(&["render", "--kubeconfig", &kubeconfig.display().to_string(), &group], "")?;
    assert_eq!(named.status.code(), Some(1), "a cluster that a flag names has to respond");
    Ok(())
}
