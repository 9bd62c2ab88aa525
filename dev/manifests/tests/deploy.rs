//! The files of deploy/ that are rendered by the code, or copied into a chart.

use std::path::{Path, PathBuf};

use kcg_api::names;
use kcg_api::preset::{LagStatistic, Preset};
use kcg_manifests::chart;
use kcg_manifests::files;
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A path below deploy/.
fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

#[test]
fn deploy_matches_what_the_code_renders() -> Outcome {
    let mut rendered = Vec::new();
    for file in files() {
        rendered.push((deploy(file.path), file.text()?));
    }
    rendered.push((deploy(chart::RULES), chart::rules()?));
    kcg_golden::check(rendered);
    let alerts = std::fs::read_to_string(deploy(chart::ALERTS))?;
    kcg_golden::check([(deploy(chart::COPIED_ALERTS), chart::copied_alerts(&alerts))]);
    Ok(())
}

/// The files below a folder.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files_below(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

#[test]
fn every_manifest_is_valid_yaml_and_each_of_its_documents_has_a_kind() -> Outcome {
    let mut files = Vec::new();
    files_below(&deploy(""), &mut files)?;
    // The operator's templates are not YAML; the others are values, metadata, rules and a
    // configuration of kustomize, whose root has no kind.
    let others = ["Chart.yaml", "values.yaml", "rules.yaml", "kconsumergroup.yaml"];
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "yaml")) {
        if file.parent().is_some_and(|folder| folder.ends_with("kconsumer-group-operator/templates")) {
            continue;
        }
        let text = std::fs::read_to_string(file)?;
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let is_values = file.parent().is_some_and(|folder| folder.ends_with("ci"));
        let needs_no_kind = is_values || others.iter().any(|name| file.ends_with(name));
        for object in objects {
            assert!(needs_no_kind || object["kind"].is_string(), "{}: {object}", file.display());
        }
    }
    Ok(())
}

#[test]
fn every_lag_of_a_preset_has_a_rule_and_the_charts_values_hold_the_same_and_no_others() -> Outcome {
    let read = |name: &str| -> Outcome<Value> {
        Ok(serde_saphyr::from_str(&std::fs::read_to_string(deploy("prometheus-adapter").join(name))?)?)
    };
    let rules = read("rules.yaml")?;
    let name = |rule: &Value| {
        let named = rule["name"]["as"].as_str();
        named.or_else(|| rule["seriesQuery"].as_str()?.split('{').next()).map(str::to_owned)
    };
    let served: Vec<String> = rules["rules"].as_array().ok_or("no rules")?.iter().filter_map(name).collect();
    let by_statistic = |preset: Preset| LagStatistic::ALL.map(|statistic| preset.lag_metric(statistic));
    // The names of before, with their meaning, follow the statistics.
    let former = Preset::ALL.map(|preset| preset.client_metrics().former_lag.to_owned());
    assert_eq!(served, Preset::ALL.into_iter().flat_map(by_statistic).chain(former).collect::<Vec<_>>());
    assert_eq!(read("values.yaml")?, json!({"rules": {"default": false, "custom": rules["rules"]}}));
    Ok(())
}

/// The paths of the names of Secrets and ConfigMaps in a schema: of objects with a name and a key, as
/// kustomize writes them.
fn named_objects(schema: &Value, path: &str, found: &mut Vec<String>) {
    let schema = schema.get("items").unwrap_or(schema);
    let Some(fields) = schema["properties"].as_object() else { return };
    if fields.contains_key("name") && fields.contains_key("key") {
        found.push(format!("{path}/name"));
    }
    for (name, field) in fields {
        let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        named_objects(field, &below, found);
    }
}

#[test]
fn every_secret_and_config_map_that_the_crd_names_by_a_key_is_a_reference_of_kustomize() -> Outcome {
    let crd = serde_json::to_value(kcg_api::crd::crd())?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut paths = Vec::new();
    named_objects(schema, "spec", &mut paths);
    assert!(paths.contains(&"spec/metrics/additionalEndpoints/tlsConfig/ca/configMap/name".to_owned()));
    let text = std::fs::read_to_string(deploy("components/group-references/kconsumergroup.yaml"))?;
    for path in paths {
        assert!(text.contains(&format!("path: {path}}}")), "{path}");
    }
    Ok(())
}

#[test]
fn the_charts_schema_has_the_grammars_of_group_defaults() -> Outcome {
    let text = std::fs::read_to_string(deploy("charts/kconsumer-group-operator/values.schema.json"))?;
    let schema: Value = serde_json::from_str(&text)?;
    let defaults = &schema["properties"]["groupDefaults"]["properties"];
    let secret = &defaults["consumerSpec"]["properties"]["imagePullSecrets"]["items"]["properties"]["name"];
    let labels = &schema["definitions"]["groupLabels"]["patternProperties"];
    for (text, grammar) in [
        (&defaults["metrics"]["properties"]["interval"], &names::DURATION),
        (&defaults["metrics"]["properties"]["bodySizeLimit"], &names::BODY_SIZE),
        (&defaults["limits"]["properties"]["bodySizeLimit"], &names::BODY_SIZE),
        (&defaults["alerts"]["properties"]["severity"], &names::PRINTED),
        (secret, &names::SUBDOMAIN),
        (&labels[names::LABEL_KEY.pattern], &names::LABEL_VALUE),
    ] {
        assert_eq!(*text, json!({"type": "string", "maxLength": grammar.length, "pattern": grammar.pattern}));
    }
    let annotations = &defaults["inheritedMetadata"]["properties"]["annotations"];
    assert!(annotations["patternProperties"].get(names::LABEL_KEY.pattern).is_some());
    Ok(())
}
