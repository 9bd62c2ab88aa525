//! The report of a made-up story. It stays below target/tmp/ to be looked at.

mod made_up;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kcg_closed_loop::report::{write, write_comparison};
use made_up::{scaled, shipped, usual};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name)
}

/// What a person reads: the page without tags, styles and entities.
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
fn the_report_says_in_one_sentence_what_came_of_it_and_draws_each_plot() -> Result<()> {
    let folder = folder("story");
    let page = write(&folder, &shipped())?;
    let text = words(&page)?;
    for sentence in [
        "10,001 records sent, 10,001 processed at least once, 0 lost; 1 → 3 → 1 consumers in",
        "Ready consumers: 1 → 3 → 1, never more than the ceiling",
        "Partitions without a consumer",
        "What the operator cost",
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
fn more_ready_consumers_than_the_ceiling_are_told_as_what_they_are() -> Result<()> {
    let mut story = shipped();
    story.timeline.groups[0].ready.push((story.timeline.end - 1.0, 5.0));
    let text = words(&write(&folder("surge"), &story)?)?;
    assert!(text.contains("up to 2 above the ceiling as a rollout's surge"), "{text}");
    assert!(!text.contains("never more than the ceiling"), "{text}");
    Ok(())
}

#[test]
fn a_page_asks_no_one_for_anything() -> Result<()> {
    let page = fs::read_to_string(write(&folder("alone"), &shipped())?)?;
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    Ok(())
}

#[test]
fn names_from_outside_are_words_and_never_markup() -> Result<()> {
    let mut story = shipped();
    let name = "<img src=x onerror=alert(1)>&\"";
    story.title = name.into();
    story.timeline.marks[0].text = name.into();
    story.timeline.chapters[0].text = name.into();
    story.timeline.groups[0].alerts[0].name = name.into();
    story.timeline.groups[0].lag[0].label = name.into();
    story.settings.push((name.into(), name.into()));
    let page = fs::read_to_string(write(&folder("escaped"), &story)?)?;
    assert!(!page.contains("<img"), "{page}");
    Ok(())
}

#[test]
fn several_groups_are_small_plots_and_a_row_each() -> Result<()> {
    let folder = folder("scaled");
    let text = words(&write(&folder, &scaled(10))?)?;
    assert!(text.contains("10 groups grew to 30 consumers together, and 10 of them are back"), "{text}");
    assert!(text.contains("orders-7: lag") && text.contains("orders-7: replicas"), "{text}");
    assert!(folder.join("orders-7-lag.svg").exists());
    Ok(())
}

#[test]
fn two_runs_stand_beside_each_other_with_their_ratio() -> Result<()> {
    let page = write_comparison(
        &folder("comparison"),
        "The same load, Kubernetes' defaults and ours",
        [&usual(), &shipped()],
    )?;
    let text = words(&page)?;
    assert!(text.contains("second / first") && text.contains("× 0."), "{text}");
    Ok(())
}
