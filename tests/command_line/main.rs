//! The binary on the command line: its output on stdout and stderr, and its exit code.

mod flags;
mod listening;
mod manifests;
mod messages;
mod proxy;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const GROUP: &str = "
apiVersion: thenextapps.com/v1alpha1
kind: KconsumerGroup
metadata: {name: orders, namespace: shop}
spec:
  minReplicas: 4
  consumerSpec: {image: example.com/orders:1, topic: orders}
";

static BINARY: LazyLock<&Path> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().expect("start a runtime");
    runtime.block_on(kcg_tests::operator_binary()).expect("build the operator")
});

fn operator() -> Command {
    let mut command = Command::new(*BINARY);
    // Without the kubeconfig of the user who runs the tests.
    command.env_clear().env("HOME", "/nonexistent");
    command
}

fn run(arguments: &[&str], input: &str) -> Result<Output, std::io::Error> {
    let mut command = operator();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn()?;
    let written = process.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    match written {
        // A process with a wrong flag ends without reading: its output and its exit code are judged.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    process.wait_with_output()
}

#[track_caller]
fn assert_output(output: &Output, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_valid_group_is_reported_as_valid() -> Outcome {
    let output = run(&["validate", "-"], GROUP)?;
    let valid =
        "standard input: KconsumerGroup \"orders\" is valid\n1 group valid, 0 other documents passed over\n";
    assert_output(&output, 0, valid, "");
    Ok(())
}

#[test]
fn given_partitions_enable_the_live_rule() -> Outcome {
    let refusal = "standard input: The KconsumerGroup \"orders\" is invalid: spec.minReplicas: Invalid value: 4: \
                   must not be more than 3: topic orders has 3 partitions, so a fourth consumer would be idle\n";
    let none = "0 groups valid, 1 invalid, 0 other documents passed over\n";
    assert_output(&run(&["validate", "-", "--partitions", "shop/orders=3"], GROUP)?, 1, none, refusal);
    let valid =
        "standard input: KconsumerGroup \"orders\" is valid\n1 group valid, 0 other documents passed over\n";
    assert_output(&run(&["validate", "-", "--partitions", "orders=4"], GROUP)?, 0, valid, "");
    let warning = "standard input: Warning: minReplicas was not checked: KafkaTopic shop/orders cannot be read now \
                   (no --partitions was given for it)\n\
                   --partitions other/orders=3: no group names this KafkaTopic, but shop/orders\n";
    assert_output(&run(&["validate", "-", "--partitions", "other/orders=3"], GROUP)?, 0, valid, warning);
    Ok(())
}

#[test]
fn every_violation_is_listed_including_misspelt_fields_and_wrong_types() -> Outcome {
    let group = "
apiVersion: thenextapps.com/v1alpha1
kind: KconsumerGroup
metadata: {name: bad}
spec:
  minReplica: 2
  averageRecordsLagLimit: many
  consumerSpec: {topics: [a, b], image: ' '}
";
    let output = run(&["validate", "-"], group)?;
    let stderr = String::from_utf8(output.stderr)?;
    let fields: Vec<&str> =
        stderr.lines().skip(1).filter_map(|line| line.strip_prefix("* ")?.split(':').next()).collect();
    assert_eq!(
        fields,
        ["spec.minReplica", "spec.averageRecordsLagLimit", "spec.consumerSpec.image"],
        "{stderr}"
    );
    assert!(
        stderr.starts_with(
            "standard input: The KconsumerGroup \"bad\" is invalid:\n* spec.minReplica: Unknown field"
        ),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

#[test]
fn an_unreadable_file_is_reported_with_its_position_and_the_others_are_checked() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> Result<String, std::io::Error> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let bad = file("bad.yaml", "a: b\n  c: [\n")?;
    let good = file("good.yaml", GROUP)?;
    let missing = folder.path().join("missing.yaml").display().to_string();
    let output = run(&["validate", &bad, &missing, &good], "")?;
    let stderr = String::from_utf8(output.stderr)?;
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].starts_with(&format!("{bad}: line 2, column ")), "{stderr}");
    assert!(lines[1].starts_with(&format!("{missing}: No such file")), "{stderr}");
    assert_eq!(lines.len(), 2, "{stderr}");
    let valid = format!("{good}: KconsumerGroup \"orders\" is valid\n");
    assert_eq!(
        String::from_utf8(output.stdout)?,
        valid + "1 group valid, 2 not judged, 0 other documents passed over\n"
    );
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

#[test]
fn rendered_children_have_no_owner_and_depend_on_the_partitions() -> Outcome {
    let output = run(&["render", "-", "--partitions", "orders=12"], GROUP)?;
    assert_eq!(String::from_utf8(output.stderr)?, "");
    let children: Vec<serde_json::Value> = serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?)?;
    let kinds: Vec<&str> = children.iter().filter_map(|child| child["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["Service", "ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "Deployment"]
    );
    assert!(children.iter().all(|child| child["metadata"].get("ownerReferences").is_none()));
    assert!(children.iter().all(|child| child["metadata"]["namespace"] == "shop"));
    assert_eq!(children[3]["spec"]["maxReplicas"], 12);
    Ok(())
}

#[test]
fn nothing_is_rendered_if_any_group_is_invalid() -> Outcome {
    let two = format!(
        "{GROUP}---{}",
        GROUP.replace("example.com/orders:1", "''").replace("name: orders", "name: worse")
    );
    let output = run(&["render", "-"], &two)?;
    let refusal =
        "standard input: The KconsumerGroup \"worse\" is invalid: spec.consumerSpec.image: Required value\n";
    assert_output(&output, 1, "", refusal);
    Ok(())
}

/// The commands that judge a group, and what they print of one invalid group.
const JUDGING: [(&str, &str); 2] =
    [("validate", "0 groups valid, 1 invalid, 0 other documents passed over\n"), ("render", "")];

/// The group with other metadata.
fn with_metadata(metadata: &str) -> String {
    GROUP.replace("{name: orders, namespace: shop}", metadata)
}

#[test]
fn a_group_without_a_name_is_refused_as_the_api_server_does() -> Outcome {
    let refusal = "standard input: The KconsumerGroup \"\" is invalid: metadata.name: Required value: \
                   name or generateName is required\n";
    for metadata in ["{namespace: shop}", "{name: '', namespace: shop}", "{}"] {
        for (command, stdout) in JUDGING {
            assert_output(&run(&[command, "-"], &with_metadata(metadata))?, 1, stdout, refusal);
        }
    }
    Ok(())
}

#[test]
fn a_group_with_generate_name_is_valid_but_cannot_be_rendered() -> Outcome {
    let group = with_metadata("{generateName: orders-, namespace: shop}");
    let valid =
        "standard input: KconsumerGroup \"orders-\" is valid\n1 group valid, 0 other documents passed over\n";
    assert_output(&run(&["validate", "-"], &group)?, 0, valid, "");
    let refusal = "standard input: KconsumerGroup \"orders-\" has a generateName: the names of its owned resources are not known \
                   until it is created; set metadata.name\n";
    assert_output(&run(&["render", "-"], &group)?, 1, "", refusal);
    Ok(())
}

#[test]
fn a_group_of_an_unserved_version_is_refused_with_this_violation_only() -> Outcome {
    let group = GROUP.replace("/v1alpha1", "/v1").replace("minReplicas", "minimum");
    let refusal = "standard input: The KconsumerGroup \"orders\" is invalid: apiVersion: Unsupported value: \
                   \"thenextapps.com/v1\": supported values: \"thenextapps.com/v1alpha1\"\n";
    for (command, stdout) in JUDGING {
        assert_output(&run(&[command, "-"], &group)?, 1, stdout, refusal);
    }
    Ok(())
}

#[test]
fn a_flag_with_an_invalid_namespace_is_refused_before_any_request() -> Outcome {
    for arguments in [
        &["controller", "--namespaces=Team_A"][..],
        &["controller", "--namespaces=*"],
        &["controller", "--namespaces=a,b/c"],
        &["webhook", "--topic-namespaces=a,Team_A"],
        &["validate", "-", "--topic-namespaces=Team_A"],
        &["validate", "-", "--namespace=Team_A"],
        &["render", "-", "--namespace="],
    ] {
        let output = run(arguments, GROUP)?;
        let stderr = String::from_utf8(output.stderr)?;
        let sentence = "a namespace is a lowercase DNS label of at most 63 characters";
        assert!(stderr.lines().next().is_some_and(|line| line.contains(sentence)), "{arguments:?}: {stderr}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    }
    let folder = tempfile::tempdir()?;
    let group = GROUP.replace("topic: orders", "topic: orders, topicNamespace: kafka");
    let file = folder.path().join("group.yaml");
    std::fs::write(&file, group)?;
    let file = file.display().to_string();
    for granted in ["--topic-namespaces=kafka,", "--topic-namespaces=*"] {
        assert_eq!(run(&["validate", &file, granted], "")?.status.code(), Some(0), "{granted}");
    }
    Ok(())
}

#[test]
fn the_printed_crd_is_the_installed_one() -> Outcome {
    let output = run(&["crd"], "")?;
    let printed: serde_json::Value = serde_saphyr::from_str(std::str::from_utf8(&output.stdout)?)?;
    assert_eq!(printed, serde_json::to_value(kcg_api::crd::crd())?);
    Ok(())
}

#[test]
fn a_closed_output_pipe_is_not_an_error() -> Outcome {
    let mut process = operator().arg("crd").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(process.stdout.take());
    let output = process.wait_with_output()?;
    assert_output(&output, 0, "", "");
    Ok(())
}

#[test]
fn a_server_that_cannot_start_prints_one_sentence_with_the_cure() -> Outcome {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, KUBECONFIG)?;
    let kubeconfig = kubeconfig.display().to_string();
    for (arguments, code, sentence) in [
        (&["controller"][..], 2, "no cluster to talk to"),
        (&["webhook"][..], 2, "no cluster to talk to"),
        (&["controller", "--kubeconfig", "/nonexistent"][..], 2, "read kubeconfig /nonexistent"),
        (
            &["controller", "--kubeconfig", &kubeconfig, "--metrics-bind-address", &address][..],
            1,
            "listen on 127.0.0.1",
        ),
        (&["controller", "--log-level", "a=b=c"][..], 2, "--log-level a=b=c"),
    ] {
        let output = run(arguments, "")?;
        let stderr = String::from_utf8(output.stderr)?;
        assert!(
            stderr.starts_with(&format!("kconsumer-group-operator: {sentence}")),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(
            (stderr.lines().count(), stderr.contains("backtrace")),
            (1, false),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    }
    Ok(())
}

#[test]
fn a_file_of_defaults_is_checked_and_rendered() -> Outcome {
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("defaults.yaml").display().to_string();
    std::fs::write(&file, "metrics: {interval: 30s}\nalerts: {severity: ticket}\n")?;
    let rendered = run(&["render", "-", "--partitions=orders=6", "--defaults", &file], GROUP)?;
    let objects = String::from_utf8(rendered.stdout)?;
    assert!(objects.contains("interval: 30s") && objects.contains("severity: ticket"), "{objects}");
    std::fs::write(&file, "metrics:\n  intervall: 30s\n")?;
    for arguments in [&["validate", "-"][..], &["render", "-"], &["doctor"]] {
        let output = run(&[arguments, &["--defaults", &file]].concat(), GROUP)?;
        let stderr = String::from_utf8(output.stderr)?;
        assert!(stderr.contains(&file) && stderr.contains("line 2: "), "{arguments:?}: {stderr}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    }
    Ok(())
}

#[test]
fn a_wrong_flag_is_a_usage_error() -> Outcome {
    for arguments in
        [&["controller", "--bogus"][..], &["validate"], &["validate", "-", "--partitions", "orders"], &[]]
    {
        assert_eq!(run(arguments, "")?.status.code(), Some(2), "{arguments:?}");
    }
    Ok(())
}

/// A kubeconfig of a cluster that no test connects to.
const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]
contexts: [{name: c, context: {cluster: c, user: c}}]
users: [{name: c, user: {}}]
";
