//! The Grafana dashboards: the queries, units and descriptions of their panels.
//!
//! A dashboard is a list of panels, laid out from left to right in their order; their kind
//! determines the rest of Grafana's JSON. [`queries`] lists the PromQL of a dashboard.

pub mod groups;
pub mod operator;

use serde_json::{Value, json};

/// The width of Grafana's grid.
const COLUMNS: u64 = 24;
/// The schema version of the JSON; newer versions of Grafana migrate it.
const SCHEMA: u64 = 39;

/// One query of a panel: PromQL, and the legend of its series.
type Query = (String, &'static str);

/// How a panel shows its queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One number.
    Stat,
    /// Lines over time.
    Lines,
    /// Lines over time, as steps: a value holds until the next one.
    Steps,
    /// The state of each alert over time: pending (1) or firing (2).
    States,
    /// A heading.
    Row,
}

impl Kind {
    const fn height(self) -> u64 {
        match self {
            Self::Stat => 4,
            Self::Lines | Self::Steps => 8,
            Self::States => 6,
            Self::Row => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Lines | Self::Steps => "timeseries",
            Self::States => "state-timeline",
            Self::Row => "row",
        }
    }
}

/// One panel.
#[derive(Debug)]
struct Panel {
    kind: Kind,
    title: &'static str,
    /// What the panel means and what to do; Grafana shows it as a tooltip.
    about: &'static str,
    /// Grafana's name of the unit.
    unit: &'static str,
    /// In columns.
    width: u64,
    queries: Vec<Query>,
}

const HALF: u64 = COLUMNS / 2;
const THIRD: u64 = COLUMNS / 3;
const SIXTH: u64 = COLUMNS / 6;

impl Panel {
    const fn row(title: &'static str) -> Self {
        Self { kind: Kind::Row, title, about: "", unit: "", width: COLUMNS, queries: Vec::new() }
    }

    /// The current value of one query.
    fn stat(title: &'static str, about: &'static str, unit: &'static str, expr: String) -> Self {
        Self { kind: Kind::Stat, title, about, unit, width: SIXTH, queries: vec![(expr, "")] }
    }

    /// The panel's JSON, with its position in the grid.
    fn json(&self, id: usize, x: u64, y: u64) -> Value {
        let grid = json!({"x": x, "y": y, "w": self.width, "h": self.kind.height()});
        if self.kind == Kind::Row {
            return json!({
                "id": id, "type": "row", "title": self.title, "gridPos": grid, "collapsed": false, "panels": [],
            });
        }
        json!({
            "id": id, "type": self.kind.name(), "title": self.title, "description": self.about,
            "gridPos": grid, "datasource": datasource(), "interval": MIN_STEP,
            "fieldConfig": {"defaults": self.defaults(), "overrides": []},
            "options": self.options(),
            "targets": self.queries.iter().zip('A'..='Z').map(|((expr, legend), letter)| json!({
                "refId": letter.to_string(), "datasource": datasource(), "editorMode": "code", "expr": expr,
                "legendFormat": legend, "range": self.kind != Kind::Stat, "instant": self.kind == Kind::Stat,
            })).collect::<Vec<_>>(),
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({"unit": self.unit, "min": 0, "color": {"mode": "palette-classic"}});
        match self.kind {
            Kind::Stat => {
                defaults["color"] = json!({"mode": "fixed", "fixedColor": "text"});
                defaults["noValue"] = json!("-");
            }
            Kind::Lines | Kind::Steps => {
                let drawn = if self.kind == Kind::Steps { "stepAfter" } else { "linear" };
                defaults["custom"] = json!({"lineInterpolation": drawn, "lineWidth": 2, "fillOpacity": 5, "showPoints": "never"});
            }
            Kind::States => {
                defaults["mappings"] = json!([{"type": "value", "options": {
                    "1": {"text": "pending", "color": "yellow"}, "2": {"text": "firing", "color": "red"},
                }}]);
            }
            Kind::Row => {}
        }
        defaults
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Stat => {
                json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none", "colorMode": "value"})
            }
            Kind::Lines | Kind::Steps => json!({
                "legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Kind::States => json!({"showValue": "never", "rowHeight": 0.8, "legend": {"showLegend": true}}),
            Kind::Row => json!({}),
        }
    }
}

/// The scrape interval of the operator. A shorter step would leave rates without the two samples
/// that they need.
const MIN_STEP: &str = "30s";

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A variable whose values are the values of a label.
struct Variable {
    name: &'static str,
    label: &'static str,
    /// A query of Grafana's Prometheus data source: `label_values(series, label)`.
    values: String,
}

impl Variable {
    fn json(&self) -> Value {
        json!({
            "name": self.name, "label": self.label, "type": "query", "datasource": datasource(),
            "query": {"query": self.values, "refId": self.name}, "definition": self.values,
            "refresh": 2, "sort": 1, "multi": false, "includeAll": false,
        })
    }
}

fn dashboard(uid: &str, title: &str, about: &str, variables: &[Variable], panels: &[Panel]) -> Value {
    let source =
        json!({"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"});
    json!({
        "uid": uid, "title": title, "description": about, "tags": ["kafka", "kconsumer-group-operator"],
        "schemaVersion": SCHEMA, "editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": std::iter::once(source).chain(variables.iter().map(Variable::json)).collect::<Vec<_>>()},
        "panels": laid_out(panels),
    })
}

/// Lays the panels out from left to right; one that does not fit begins a new row.
fn laid_out(panels: &[Panel]) -> Vec<Value> {
    let (mut x, mut y, mut height) = (0, 0, 0);
    let add = |(number, panel): (usize, &Panel)| {
        if x + panel.width > COLUMNS {
            (x, y, height) = (0, y + height, 0);
        }
        let placed = panel.json(number + 1, x, y);
        (x, height) = (x + panel.width, height.max(panel.kind.height()));
        placed
    };
    panels.iter().enumerate().map(add).collect()
}

/// The queries of a dashboard: each panel's title and PromQL. `variables` are pairs of a name
/// without the dollar sign and a value, which replaces it; `$__rate_interval` is one of them.
pub fn queries(dashboard: &Value, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = variables.to_vec();
    // If a name begins with another name, it is replaced first.
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let filled = |text: &str| {
        variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    };
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let queries = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.filter_map(move |target| Some((title.to_owned(), target["expr"].as_str()?)))
    });
    queries.map(|(title, expr)| (title, filled(expr))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_do_not_overlap() {
        for dashboard in [groups::dashboard(), operator::dashboard()] {
            let mut taken = std::collections::HashMap::new();
            for panel in dashboard["panels"].as_array().unwrap() {
                let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
                for x in side("x")..side("x") + side("w") {
                    for y in side("y")..side("y") + side("h") {
                        assert!(x < COLUMNS, "{}", panel["title"]);
                        assert_eq!(taken.insert((x, y), panel["id"].clone()), None, "{}", panel["title"]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_panel_has_a_description_and_a_unit() {
        for dashboard in [groups::dashboard(), operator::dashboard()] {
            for panel in dashboard["panels"].as_array().unwrap() {
                if panel["type"] != "row" {
                    assert!(panel["description"].as_str().unwrap().len() > 20, "{}", panel["title"]);
                    assert_ne!(panel["fieldConfig"]["defaults"]["unit"], "", "{}", panel["title"]);
                    assert_ne!(panel["targets"], json!([]), "{}", panel["title"]);
                }
            }
        }
    }

    #[test]
    fn variables_are_replaced_by_their_whole_names() {
        let dashboard =
            json!({"panels": [{"title": "t", "targets": [{"expr": "a{b=\"$group\",c=\"$groups\"}"}]}]});
        assert_eq!(
            queries(&dashboard, &[("group", "g"), ("groups", "all")]),
            [("t".to_owned(), "a{b=\"g\",c=\"all\"}".to_owned())]
        );
    }
}
