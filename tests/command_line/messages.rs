//! What `validate` and `render` say about input that a newcomer may well have.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{GROUP, Outcome, assert_output, operator, run};

/// The group with more fields of its consumerSpec.
fn with_consumer(fields: &str) -> String {
    GROUP.replace("topic: orders}", &format!("topic: orders, {fields}}}"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_contains_a_group_and_is_no_manifest_fails_with_file_and_line() -> Outcome {
    let group = "{apiVersion: thenextapps.com/v1alpha1, kind: KconsumerGroup, metadata: {name: a}}";
    for (text, start) in [
        (
            format!("# all groups\n- {group}\n"),
            "standard input: line 2: a document with a KconsumerGroup is a list (-)",
        ),
        (
            format!("kind: List\nitems: {group}\n"),
            "standard input: line 1: the items of a List must be a list (-)",
        ),
        (
            "kind: List\nitems: none\n".to_owned(),
            "standard input: line 1: the items of a List must be a list (-)",
        ),
    ] {
        for command in ["validate", "render"] {
            let output = run(&[command, "-"], &text)?;
            assert_eq!(output.status.code(), Some(1), "{text}: {}", stderr(&output));
            assert!(stderr(&output).starts_with(start), "{text}: {}", stderr(&output));
        }
    }
    Ok(())
}

#[test]
fn partitions_of_a_topic_that_no_group_names_are_told() -> Outcome {
    let note = "--partitions order=12: no group names this KafkaTopic, but shop/orders\n";
    let partitions = ["--partitions=order=12", "--partitions=orders=12"];
    let output = run(&[&["validate", "-"][..], &partitions].concat(), GROUP)?;
    assert_eq!((stderr(&output).as_str(), output.status.code()), (note, Some(0)));
    let output = run(&[&["render", "-"][..], &partitions].concat(), GROUP)?;
    assert_eq!((stderr(&output).as_str(), output.status.code()), (note, Some(0)));
    let output = run(&[&["validate", "-o=json", "-"][..], &partitions].concat(), GROUP)?;
    let result: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(result["unusedPartitions"], serde_json::json!([note.trim()]));
    Ok(())
}

#[test]
fn every_mistake_of_a_pod_template_is_listed_in_kubectl_s_words() -> Outcome {
    let group = with_consumer(
        "podTemplate: {spec: {dnsPolicy: 3, hostNetwork: true, containers: [{name: orders, args: [8080], imag: x}]}}",
    );
    let refusal = "standard input: The KconsumerGroup \"orders\" is invalid:\n\
        * spec.consumerSpec.podTemplate.spec.containers[0].args[0]: Invalid value: 8080: must be of type string, not integer\n\
        * spec.consumerSpec.podTemplate.spec.dnsPolicy: Invalid value: 3: must be of type string, not integer\n\
        * spec.consumerSpec.podTemplate.spec.containers[0].imag: Unknown field: a PodTemplateSpec has no such field\n\
        * spec.consumerSpec.podTemplate.spec.hostNetwork: Forbidden: a consumer may not use its node's network\n";
    let summary = "0 groups valid, 1 invalid, 0 other documents passed over\n";
    assert_output(&run(&["validate", "-"], &group)?, 1, summary, refusal);
    Ok(())
}

#[test]
fn metadata_that_the_api_server_refuses_is_refused() -> Outcome {
    for (metadata, words) in [
        (
            "{name: orders, namespace: Bad_NS}",
            "\"orders\" is invalid: metadata.namespace: Invalid value: \"Bad_NS\": must be",
        ),
        (
            "{generateName: Orders_}",
            "\"Orders_\" is invalid: metadata.generateName: Invalid value: \"Orders_\": must be",
        ),
        (
            "{name: 5}",
            "\"5\" is invalid: metadata.name: Invalid value: 5: must be of type string, not integer",
        ),
    ] {
        for command in ["validate", "render"] {
            let output = run(&[command, "-"], &crate::with_metadata(metadata))?;
            assert_eq!(output.status.code(), Some(1), "{metadata}: {}", stderr(&output));
            assert!(stderr(&output).contains(words), "{metadata}: {}", stderr(&output));
        }
    }
    // The name is said even if nothing else can be.
    for (metadata, name) in [("{generateName: orders-}", "orders-"), ("{name: 5}", "5")] {
        let group = crate::with_metadata(metadata).replace("thenextapps.com/", "other.com/");
        let said = format!(
            "standard input: line 2: KconsumerGroup \"{name}\" has the apiVersion \"other.com/v1alpha1\""
        );
        assert!(stderr(&run(&["validate", "-"], &group)?).starts_with(&said), "{said}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_said_once() -> Outcome {
    let group = "apiVersion: thenextapps.com/v1alpha1\nkind: KconsumerGroup\nmetadata: orders\nspec: 3\n";
    let refusal = "standard input: The KconsumerGroup \"\" is invalid:\n\
        * spec: Required value: a KconsumerGroup needs a spec with a consumerSpec\n\
        * metadata: Invalid value: \"orders\": must be of type object, not string\n";
    let summary = "0 groups valid, 1 invalid, 0 other documents passed over\n";
    assert_output(&run(&["validate", "-"], group)?, 1, summary, refusal);
    // A path with a misspelt group need not be checked.
    let output = run(&["validate", "-"], &GROUP.replace("KconsumerGroup", "KconsumerGrupp"))?;
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    Ok(())
}

#[test]
fn two_groups_of_one_name_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [first, second] = ["a.yaml", "b.yaml"].map(|name| folder.path().join(name).display().to_string());
    fs::write(&first, GROUP)?;
    fs::write(&second, GROUP)?;
    let refusal = format!(
        "{second}: The KconsumerGroup \"orders\" is invalid: metadata.name: Duplicate value: \"orders\": {first} has another \
         KconsumerGroup of this name in namespace shop, and the later one overwrites it: remove one, or judge the files of \
         each cluster on their own\n"
    );
    let output = run(&["validate", &first, &second], "")?;
    assert_eq!((stderr(&output).as_str(), output.status.code()), (refusal.as_str(), Some(1)));
    let output = run(&["render", "--partitions=orders=6", &first, &second], "")?;
    assert_output(&output, 1, "", &refusal);
    // Another namespace, and names that the API server makes.
    fs::write(&second, crate::with_metadata("{name: orders}"))?;
    assert_eq!(run(&["validate", &first, &second], "")?.status.code(), Some(0));
    assert_eq!(run(&["validate", "--namespace=shop", &first, &second], "")?.status.code(), Some(1));
    let generated = crate::with_metadata("{generateName: orders-}");
    assert_eq!(run(&["validate", "-"], &format!("{generated}---{generated}"))?.status.code(), Some(0));
    Ok(())
}

#[test]
fn the_cure_of_a_topic_namespace_names_the_flag_of_the_command() -> Outcome {
    let output = run(&["validate", "-"], &with_consumer("topicNamespace: kafka"))?;
    let cure = "to allow it, start the operator with --topic-namespaces=kafka; if it has this flag, pass it to this command, too\n";
    assert!(stderr(&output).ends_with(cure), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

#[test]
fn images_that_no_kubelet_pulls_are_refused() -> Outcome {
    for (image, words) in [
        ("https://example.com/orders:1", "must not begin with a scheme"),
        ("example.com/Orders:1", "must have a repository in lowercase letters"),
        ("orders@sha256:abc", "must have a digest of 64 lowercase hexadecimal digits after sha256:, not 3"),
    ] {
        let of_consumer = GROUP.replace("example.com/orders:1", &format!("'{image}'"));
        let sidecar = format!("podTemplate: {{spec: {{containers: [{{name: proxy, image: '{image}'}}]}}}}");
        for group in [of_consumer, with_consumer(&sidecar)] {
            let output = run(&["validate", "-"], &group)?;
            assert!(stderr(&output).contains(words), "{group}: {}", stderr(&output));
            assert_eq!(output.status.code(), Some(1));
        }
    }
    Ok(())
}

#[test]
fn what_is_most_often_a_mistake_of_a_probe_is_warned_of() -> Outcome {
    let spring = format!("{GROUP}  metrics: {{preset: Spring, path: /metrics}}\n");
    let probe = "podTemplate: {spec: {containers: [{name: orders, readinessProbe: {httpGet: {path: /, port: web}}}]}}";
    for (group, warning) in [
        (spring, "Warning: spec.consumerSpec.readiness: no probe follows from metrics.path"),
        (
            with_consumer(probe),
            "Warning: podTemplate container \"orders\": readinessProbe asks port \"web\", which it does not declare",
        ),
    ] {
        let output = run(&["validate", "-"], &group)?;
        assert!(stderr(&output).contains(warning), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(0));
    }
    Ok(())
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a\u{202e}\u{1b}[31m\n.yaml");
    let obeyed = |text: &[u8]| {
        String::from_utf8_lossy(text).chars().any(|c| {
            (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
    };
    let evil = "x\u{202e}\u{9b}y";
    for group in [
        GROUP.replace("image: example.com/orders:1", &format!("image: \"{evil}\"")),
        GROUP.replace("name: orders", &format!("name: \"{evil}\"")),
        GROUP.replace("minReplicas", &format!("\"{evil}\"")),
        GROUP.replace("KconsumerGroup", "KconsumerGroup\u{202e}"),
        format!("{GROUP}  metrics: {{labels: {{\"{evil}\": a}}}}\n"),
        format!("a: 1\n\"{evil}\": 2\n\"{evil}\": 3\n"),
    ] {
        fs::write(&file, &group)?;
        for format in ["text", "json"] {
            let output = run(&["validate", "-o", format, &file.display().to_string()], "")?;
            assert!(!obeyed(&output.stdout) && !obeyed(&output.stderr), "{output:?}");
            assert_eq!(output.status.code(), Some(1), "{group}: {output:?}");
            if format == "text" {
                assert!(
                    stderr(&output).contains("a\\u{202e}\\u{1b}[31m\\u{a}.yaml: "),
                    "{}",
                    stderr(&output)
                );
            } else {
                serde_json::from_slice::<Value>(&output.stdout)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_manifest_is_told_in_plain_words() -> Outcome {
    let folder = tempfile::tempdir()?;
    let utf16: Vec<u8> = GROUP.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [&[0xff, 0xfe], &*utf16].concat();
    let json_lines = "{\"kind\": \"Service\"}\n{\"kind\": \"ConfigMap\"}\n";
    let text_of_a_group = GROUP.replace('\n', "\n    ");
    for (name, bytes, words) in [
        ("empty", Vec::new(), "no KconsumerGroup in 1 file with 0 other documents"),
        ("separator", b"---\n".to_vec(), "no KconsumerGroup in 1 file with 0 other documents"),
        ("lines", json_lines.into(), "no KconsumerGroup in 1 file with 2 other documents"),
        ("utf16", utf16, "it is UTF-16: save it as UTF-8"),
        ("latin1", b"a: \xe9\n".to_vec(), "it is not UTF-8: save it as UTF-8"),
        (
            "tabs",
            b"kind: KconsumerGroup\nspec:\n\tminReplicas: 1\n".to_vec(),
            "YAML is not indented by tabs: use spaces",
        ),
        (
            "deep",
            format!("a: {}{}\n", "[".repeat(200), "]".repeat(200)).into(),
            "it is nested too deeply: flatten it",
        ),
        (
            "twice",
            b"kind: A\nkind: B\n".to_vec(),
            "line 2, column 1: the key \"kind\" occurs twice in one mapping: remove one of them",
        ),
        (
            "twice-in-json",
            b"{\"kind\": \"A\", \"kind\": \"B\"}".to_vec(),
            "the key \"kind\" occurs twice in one mapping: remove one of them",
        ),
        (
            "small",
            b"apiVersion: thenextapps.com/v1alpha1\nkind: kconsumergroup\n".to_vec(),
            "a group has the kind KconsumerGroup",
        ),
        (
            "text",
            format!("kind: ConfigMap\ndata:\n  group.yaml: |\n{text_of_a_group}").into(),
            "no KconsumerGroup in 1 file with 1 other document",
        ),
        (
            "name",
            GROUP.replace("name: orders", &format!("name: {}", "o".repeat(300))).into(),
            "metadata.name: Invalid value",
        ),
    ] {
        let path = folder.path().join(format!("{name}.yaml"));
        fs::write(&path, bytes)?;
        let output = run(&["validate", &path.display().to_string()], "")?;
        assert!(stderr(&output).contains(words), "{name}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
    Ok(())
}

#[test]
fn a_group_with_a_byte_order_mark_line_ends_of_windows_or_anchors_is_read() -> Outcome {
    for text in [
        format!("\u{feff}{GROUP}"),
        GROUP.replace('\n', "\r\n"),
        GROUP.replace("{image:", "&all {image:")
            + "  inheritedMetadata: {labels: &l {a: b}, annotations: {<<: *l}}\n",
    ] {
        let output = run(&["validate", "-"], &text)?;
        assert_eq!((stderr(&output).as_str(), output.status.code()), ("", Some(0)), "{text}");
    }
    Ok(())
}

#[test]
fn a_folder_that_leads_into_itself_and_a_large_file_end() -> Outcome {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop"))?;
    fs::write(folder.path().join("group.yaml"), GROUP)?;
    let path = folder.path().display().to_string();
    assert_eq!(run(&["validate", "-R", &path], "")?.status.code(), Some(0));
    let large = folder.path().join("large.yaml");
    fs::File::create(&large)?.set_len(100 << 20)?;
    let output = run(&["validate", "-R", &path], "")?;
    assert!(stderr(&output).contains("it has more than 33554432 bytes: shorten it"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

/// A pipe without a writer would block a folder for good.
#[test]
fn a_named_pipe_in_a_folder_is_not_waited_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("group.yaml"), GROUP)?;
    let pipe: &Path = &folder.path().join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status()?.success());
    let output = operator().args(["validate", "-R"]).arg(folder.path()).output()?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Ok(())
}
