//! `validate` and `render` on files, folders, templates and other people's objects.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{GROUP, Outcome, run};

#[test]
fn a_folder_without_a_group_fails_unless_that_is_allowed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    let none = |path: &str, looked_at: &str| {
        format!(
            "{path}: no KconsumerGroup in {looked_at}\n\
             no KconsumerGroup was found: check the paths (-R reads nested folders), or use --allow-none\n"
        )
    };
    fs::create_dir(folder.path().join("nested"))?;
    fs::write(folder.path().join("service.yaml"), "apiVersion: v1\nkind: Service\n---\nkind: Other\n")?;
    fs::write(folder.path().join("nested/group.yaml"), GROUP)?;
    let summary = "0 groups valid, 2 other documents passed over\n";
    let nothing = none(&path, "1 file with 2 other documents");
    crate::assert_output(&run(&["validate", &path], "")?, 1, summary, &nothing);
    crate::assert_output(&run(&["validate", "--allow-none", &path], "")?, 0, summary, "");
    let nested = run(&["validate", "-R", "-f", &path], "")?;
    let stdout = String::from_utf8(nested.stdout)?;
    assert!(stdout.ends_with("1 group valid, 2 other documents passed over\n"), "{stdout}");
    assert_eq!(nested.status.code(), Some(0));
    crate::assert_output(
        &run(&["validate", "-"], "")?,
        1,
        "0 groups valid, 0 other documents passed over\n",
        &none("standard input", "1 file with 0 other documents"),
    );
    Ok(())
}

/// Two folders, one without a group.
fn full_and_empty(folder: &Path) -> Outcome<[String; 2]> {
    let [full, empty] = ["full", "empty"].map(|name| folder.join(name));
    for folder in [&full, &empty] {
        fs::create_dir(folder)?;
    }
    fs::write(full.join("group.yaml"), GROUP)?;
    fs::write(empty.join("service.yaml"), "apiVersion: v1\nkind: Service\n")?;
    Ok([full, empty].map(|path| path.display().to_string()))
}

#[test]
fn each_path_without_a_group_is_named_even_if_another_one_has_groups() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [full, empty] = full_and_empty(folder.path())?;
    let said = format!("{empty}: no KconsumerGroup in 1 file with 1 other document\n");
    let output = run(&["validate", &full, "-f", &empty], "")?;
    let summary = "1 group valid, 1 other document passed over\n";
    let valid = format!("{full}/group.yaml: KconsumerGroup \"orders\" is valid\n{summary}");
    crate::assert_output(&output, 0, &valid, &said);

    let output = run(&["render", "--partitions=orders=6", &full, &empty], "")?;
    assert_eq!(String::from_utf8(output.stderr)?, said);
    assert!(output.status.success() && !output.stdout.is_empty());

    let output = run(&["validate", "-o", "json", &full, &empty], "")?;
    let result: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(result["pathsWithoutGroups"], serde_json::json!([empty]));
    Ok(())
}

#[test]
fn a_folder_without_a_group_renders_nothing_and_fails() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [_, empty] = full_and_empty(folder.path())?;
    let none = format!(
        "{empty}: no KconsumerGroup in 1 file with 1 other document\n\
         no KconsumerGroup was found: check the paths (-R reads nested folders)\n"
    );
    crate::assert_output(&run(&["render", &empty], "")?, 1, "", &none);
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
                stderr.contains(
                    "a group has the kind KconsumerGroup and the apiVersion thenextapps.com/v1alpha1"
                ),
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

    let render = ["render", "--partitions=orders=6", &path];
    let output = run(&render, "")?;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let output = run(&[&render[..], &["--skip-unreadable"]].concat(), "")?;
    assert!(output.status.success() && !output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr)?.contains("template.yaml: skipped: line 1"));
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
    // A variable names the cluster for all commands; the flag on the command line decides.
    let mut command = crate::operator();
    command.args(["render", "--offline", "--partitions=orders=6", &group]);
    command.env("KCG_KUBECONFIG", &kubeconfig).env("KCG_CONTEXT", "c");
    let output = command.output()?;
    crate::assert_output(&output, 0, &String::from_utf8_lossy(&output.stdout), "");
    let mut command = crate::operator();
    command.args(["render", "--partitions=orders=6", &group, "--kubeconfig"]).arg(&kubeconfig);
    assert_eq!(command.env("KCG_OFFLINE", "true").output()?.status.code(), Some(1), "it is asked");
    let both = run(&["render", "--offline", "--context=c", &group], "")?;
    let stderr = String::from_utf8(both.stderr)?;
    assert!(stderr.starts_with("error: --offline and --context contradict each other"), "{stderr}");
    assert_eq!(both.status.code(), Some(2));
    let named = run(&["render", "--kubeconfig", &kubeconfig.display().to_string(), &group], "")?;
    assert_eq!(named.status.code(), Some(1), "a cluster that a flag names has to respond");
    Ok(())
}
