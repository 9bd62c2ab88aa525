//! Flags, their environment variables, and the commands about the program itself.

use crate::{KUBECONFIG, Outcome, operator, run};

#[test]
fn an_environment_variable_sets_a_flag_and_the_flag_wins() -> Outcome {
    let mut command = operator();
    let output = command.arg("controller").env("KCG_METRICS_BIND_ADDRESS", "nowhere").output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(stderr.contains("invalid value 'nowhere' for '--metrics-bind-address"), "{stderr}");
    assert!(stderr.contains("use :PORT for all addresses"), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
    let mut command = operator();
    command.args(["version", "--output=text"]).env("KCG_OUTPUT", "json");
    assert!(String::from_utf8(command.output()?.stdout)?.starts_with("kconsumer-group-operator "));
    let mut command = operator();
    command.arg("version").env("KCG_OUTPUT", "json");
    assert!(command.output()?.stdout.starts_with(b"{"));
    Ok(())
}

#[test]
fn topics_of_all_namespaces_contradict_a_list_of_watched_namespaces() -> Outcome {
    let message = "kconsumer-group-operator: --topic-namespaces=* (KCG_TOPIC_NAMESPACES) contradicts --namespaces=a \
                   (KCG_NAMESPACES): Roles cannot be granted in every namespace; list the namespaces of the topics in \
                   --topic-namespaces, or leave --namespaces empty\n";
    for subcommand in ["controller", "webhook"] {
        let flags = run(&[subcommand, "--namespaces=a,", "--topic-namespaces=b,*"], "")?;
        crate::assert_output(&flags, 2, "", message);
        let mut command = operator();
        command.arg(subcommand).envs([("KCG_NAMESPACES", "a"), ("KCG_TOPIC_NAMESPACES", "*")]);
        crate::assert_output(&command.output()?, 2, "", message);
    }
    Ok(())
}

#[test]
fn two_listeners_on_one_port_are_refused_with_both_flags() -> Outcome {
    for (arguments, message) in [
        (
            &["controller", "--health-probe-bind-address=127.0.0.1:8080"][..],
            "--health-probe-bind-address=127.0.0.1:8080 contradicts --metrics-bind-address=[::]:8080: each needs a port of its own",
        ),
        (
            &["webhook", "--webhook-bind-address=:8081"],
            "--webhook-bind-address=[::]:8081 contradicts --health-probe-bind-address=[::]:8081: each needs a port of its own",
        ),
    ] {
        crate::assert_output(&run(arguments, "")?, 2, "", &format!("kconsumer-group-operator: {message}\n"));
    }
    Ok(())
}

#[test]
fn the_help_of_render_names_only_the_clusters_that_it_reads() -> Outcome {
    let help = |command: &str| Ok::<_, std::io::Error>(run(&[command, "--help"], "")?.stdout);
    let [render, doctor] =
        [help("render")?, help("doctor")?].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(!render.contains("ServiceAccount") && render.contains("~/.kube/config]"), "{render}");
    assert!(doctor.contains("ServiceAccount"), "{doctor}");
    Ok(())
}

#[test]
fn help_names_the_environment_variable_of_each_flag() -> Outcome {
    let help = String::from_utf8(run(&["controller", "--help"], "")?.stdout)?;
    for variable in
        ["KCG_METRICS_BIND_ADDRESS", "KCG_LEADER_ELECT_LEASE_DURATION", "KCG_KUBECONFIG", "POD_NAME"]
    {
        assert!(help.contains(&format!("[env: {variable}=")), "{variable}: {help}");
    }
    assert!(!help.contains("status-addr"), "{help}");
    Ok(())
}

#[test]
fn the_version_is_printed_as_text_and_as_json() -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let text = String::from_utf8(run(&["version"], "")?.stdout)?;
    assert!(text.starts_with(&format!("kconsumer-group-operator {version}\n")), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&run(&["version", "-o", "json"], "")?.stdout)?;
    assert_eq!(json["version"], version);
    assert_eq!(json["apiVersion"], "thenextapps.com/v1alpha1");
    Ok(())
}

#[test]
fn bash_accepts_the_completion_script_and_every_shell_has_one() -> Outcome {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completion", shell], "")?;
        let text = String::from_utf8(script.stdout)?;
        assert!(script.status.success() && text.contains("skip-unreadable"), "{shell}");
        if shell == "bash" {
            let checked = std::process::Command::new("bash").args(["-n", "-c", &text]).status()?;
            assert!(checked.success());
        }
    }
    assert_eq!(run(&["completion", "tcsh"], "")?.status.code(), Some(2));
    Ok(())
}

#[test]
fn unsafe_timings_and_unknown_contexts_are_usage_errors() -> Outcome {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, KUBECONFIG)?;
    let kubeconfig = kubeconfig.display().to_string();
    let local = ["--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0"];
    for (arguments, sentence) in [
        (
            ["--leader-elect-renew-deadline=20s"],
            "--leader-elect-retry-period: lease timings of 10 s, 20 s and 1 s",
        ),
        (["--certificate-duration=0s"], "--certificate-duration must be longer than 0s"),
        (["--context=other"], "read kubeconfig"),
    ] {
        let all = [&["controller", "--kubeconfig", &kubeconfig][..], &local, &arguments].concat();
        let output = run(&all, "")?;
        let stderr = String::from_utf8(output.stderr)?;
        assert!(stderr.contains(sentence), "{stderr}");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
    }
    Ok(())
}

#[test]
fn a_variable_without_a_value_is_a_usage_error_with_the_name_of_its_flag() -> Outcome {
    for (subcommand, variable, flag) in [
        ("controller", "POD_NAME", "--identity"),
        ("controller", "POD_NAMESPACE", "--pod-namespace"),
        ("controller", "WEBHOOK_CONFIGURATION_NAME", "--webhook-configuration-name"),
        ("controller", "KCG_DEFAULTS", "--defaults"),
        ("controller", "RUST_LOG", "--log-level"),
        ("webhook", "KCG_SERVER_NAME", "--server-name"),
        ("webhook", "KCG_CERT_DIR", "--cert-dir"),
        ("doctor", "KCG_KUBECONFIG", "--kubeconfig"),
    ] {
        let output = operator().arg(subcommand).env(variable, "").output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert!(stderr.contains(&format!("'{flag} <")), "{variable}: {stderr}");
        assert_eq!(output.status.code(), Some(2), "{variable}: {stderr}");
    }
    Ok(())
}
