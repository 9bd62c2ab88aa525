//! The report of made-up results. It is left below target/tmp/ so that it can be viewed.

mod made_up;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kcg_closed_loop::report::{write, write_comparison};

use made_up::{defaults, scaled, shipped};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name)
}

/// The page's text without tags, styles and entities.
fn words(page: &Path) -> Result<String> {
    let html = fs::read_to_string(page)?;
    let mut text = String::new();
    let mut rest = html.as_str();
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let end = if tag.starts_with("style") { "</style>" } else { ">" };
        rest = tag.split_once(end).map_or("", |(_, after)| after);
        text.push(' ');
    }
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_report_has_a_summary_sentence_and_every_plot() -> Result<()> {
    let folder = folder("single");
    let page = write(&folder, &shipped())?;
    let text = words(&page)?;
    for sentence in [
        "10,001 records sent, 10,001 processed at least once, 0 lost; 1 → 3 → 1 consumers in",
        "Ready consumers: 1 → 3 → 1, never more than the ceiling",
        "Partitions without a consumer",
        "Cost of the operator",
    ] {
        assert!(text.contains(sentence), "{sentence:?} is not in {text}");
    }
    for plot in ["lag", "replicas", "throughput", "rebalances", "alerts"] {
        let svg = fs::read_to_string(folder.join(plot).with_extension("svg"))?;
        assert!(svg.starts_with("<svg") && svg.contains("A 1 → 3 partitions"), "{plot}: {svg}");
    }
    let figures: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.join("figures.json"))?)?;
    assert_eq!(figures["figures"]["groups"][0]["lost"], 0);
    Ok(())
}

#[test]
fn more_ready_consumers_than_the_ceiling_are_reported_as_a_surge() -> Result<()> {
    let mut results = shipped();
    results.timeline.groups[0].ready.push((results.timeline.end - 1.0, 5.0));
    let text = words(&write(&folder("surge"), &results)?)?;
    assert!(text.contains("up to 2 above the ceiling as a rollout's surge"), "{text}");
    assert!(!text.contains("never more than the ceiling"), "{text}");
    Ok(())
}

#[test]
fn the_page_loads_nothing_from_elsewhere() -> Result<()> {
    let page = fs::read_to_string(write(&folder("alone"), &shipped())?)?;
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    Ok(())
}

#[test]
fn names_from_outside_are_escaped() -> Result<()> {
    let mut results = shipped();
    let name = "<img src=x onerror=alert(1)>&\"";
    results.title = name.into();
    results.timeline.marks[0].text = name.into();
    results.timeline.steps[0].text = name.into();
    results.timeline.groups[0].alerts[0].name = name.into();
    results.timeline.groups[0].lag[0].label = name.into();
    results.settings.push((name.into(), name.into()));
    let page = fs::read_to_string(write(&folder("escaped"), &results)?)?;
    assert!(!page.contains("<img"), "{page}");
    Ok(())
}

#[test]
fn several_groups_get_small_plots_and_one_row_each() -> Result<()> {
    let folder = folder("scaled");
    let text = words(&write(&folder, &scaled(10))?)?;
    assert!(
        text.contains("10 groups grew to 30 consumers together, and 10 of them scaled in again"),
        "{text}"
    );
    assert!(text.contains("orders-7: lag") && text.contains("orders-7: replicas"), "{text}");
    assert!(folder.join("orders-7-lag.svg").exists());
    Ok(())
}

#[test]
fn two_runs_are_shown_side_by_side_with_their_ratio() -> Result<()> {
    let page = write_comparison(
        &folder("comparison"),
        "The same load, Kubernetes' defaults and ours",
        [&defaults(), &shipped()],
    )?;
    let text = words(&page)?;
    assert!(text.contains("second / first") && text.contains("× 0."), "{text}");
    Ok(())
}
