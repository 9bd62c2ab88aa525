use kcg_api::spec_bounds::MAX_DOCUMENT_DEPTH;

use super::*;
use serde_json::json;

const GROUP: &str = "apiVersion: thenextapps.com/v1alpha1\nkind: KconsumerGroup\nmetadata: {name: a}\n";

fn value(text: &str) -> Value {
    values(text).remove(0).unwrap_or_else(|error| panic!("{error}")).value
}

fn read(text: &str) -> Vec<Document> {
    documents(text).into_iter().map(|document| document.unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn names(text: &str) -> Vec<String> {
    let name = |document| match document {
        Document::Group(group) => group["metadata"]["name"].as_str().unwrap().to_owned(),
        Document::LooksLikeOurs(why) => why,
        Document::Other => "other".to_owned(),
    };
    read(text).into_iter().map(name).collect()
}

#[test]
fn other_kinds_are_told_apart_and_lists_are_expanded() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "b"}},
        {"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "c"}},
        ]},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}},
    ]});
    let typed = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroupList", "items": [
        {"metadata": {"name": "d"}},
    ]});
    let text = format!(
        "{GROUP}---\napiVersion: v1\nkind: Service\n---\n# nothing\n---\n{list}\n---\n{typed}\n---\n{{kind: Other}}\n"
    );
    assert_eq!(names(&text), ["a", "other", "b", "c", "other", "d", "other"]);
}

#[test]
fn what_looks_like_a_group_and_is_none_is_named() {
    for (api_version, kind) in [
        ("thenextapp.com/v1alpha1", "KconsumerGroup"),
        ("v1", "KconsumerGroup"),
        ("", "KconsumerGroup"),
        ("thenextapps.com/v1alpha1", "Topic"),
        ("thenextapps.com/v1alpha1", ""),
        ("other.com/v1", "KConsumerGroup"),
        ("other.com/v1", "KconsumerGruop"),
        ("other.com/v1", "KcosumerGrop"),
        ("other.com/v1", "KCONSUMERGROUPS"),
    ] {
        let document = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        let [Document::LooksLikeOurs(why)] = &read(&document.to_string())[..] else {
            panic!("{api_version} {kind}")
        };
        assert!(why.contains("\"a\"") && why.ends_with("thenextapps.com/v1alpha1"), "{why}");
    }
    for kind in ["KafkaTopic", "KcosumrGrop", "Group", &"K".repeat(1 << 20)] {
        assert_eq!(read(&json!({"apiVersion": "other.com/v1", "kind": kind}).to_string()), [Document::Other]);
    }
}

#[test]
fn a_syntax_error_has_a_line_and_a_column() {
    let read = documents(&format!("{GROUP}spec:\n  a: [1, 2\n  b: }}\n"));
    let message = read.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(message.starts_with("line "), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

/// What `kubectl annotate --local -o json` of Kubernetes 1.37 prints.
#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    for (text, read) in [
        ("0755", json!(493)),
        ("0o755", json!(493)),
        ("0400", json!(256)),
        ("-0755", json!(-493)),
        ("755", json!(755)),
        ("+5", json!(5)),
        ("0", json!(0)),
        ("08", json!(8)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("5.", json!(5)),
        (".5", json!(0.5)),
        ("0.1e-3", json!(0.0001)),
        ("123456789012345678901234", json!(1.234_567_890_123_456_8e23)),
        ("'0755'", json!("0755")),
        ("!!str 12", json!("12")),
        ("100Mi", json!("100Mi")),
        ("1e3Mi", json!("1e3Mi")),
        ("0o8", json!("0o8")),
        ("1:30", json!("1:30")),
        ("2001-01-01", json!("2001-01-01")),
        ("yes", json!(true)),
        ("y", json!(true)),
        ("On", json!(true)),
        ("TRUE", json!(true)),
        ("off", json!(false)),
        ("~", json!(null)),
        ("Null", json!(null)),
    ] {
        let value = value(&format!("a: {text}"));
        assert_eq!(value["a"], read, "{text}");
    }
}

#[test]
fn anchors_and_merge_keys_are_expanded_and_bounded() {
    let text = "base: &base {x: 1, z: 2}\nmerged: {<<: *base, x: 3}\nsame: *base\n";
    let value = value(text);
    assert_eq!(
        value,
        json!({"base": {"x": 1, "z": 2}, "merged": {"x": 3, "z": 2}, "same": {"x": 1, "z": 2}})
    );
    let levels = (1..10).map(|level| {
        let below = format!("*a{}", level - 1);
        format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "))
    });
    let bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned() + &levels.collect::<String>();
    assert!(values(&bomb).remove(0).is_err());
    assert!(values(&"[".repeat(100_000)).remove(0).is_err());
    assert!(values(&format!("{{\"a\": {}", "[".repeat(100_000))).remove(0).is_err());
}

#[test]
fn aliases_repeat_little_in_a_whole_file() {
    let levels = (1..4)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(",")));
    let document = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned() + &levels.collect::<String>();
    let count = |text: &str| values(text).iter().filter(|value| value.is_ok()).count();
    assert_eq!(count(&document), 1);
    let many = vec![document; 10].join("---\n");
    assert_eq!(count(&many), 1, "and then one error");
    let long = format!("a: &a {}\nb: [{}*a]\n", "y".repeat(30_000), "*a,".repeat(90));
    assert_eq!(count(&long), 0);
}

/// On the stack of a main thread, which the commands run on.
#[test]
fn yaml_and_json_may_be_nested_alike() {
    let test = std::thread::Builder::new().stack_size(8 << 20).spawn(nest);
    test.unwrap().join().unwrap();
}

fn nest() {
    for depth in [64, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_DEPTH + 1, 200] {
        let (open, close) = ("{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
        let text = format!("{open}{{}}{close}");
        let is_read = depth <= MAX_DOCUMENT_DEPTH;
        assert_eq!(json::documents(&text).is_some(), is_read, "JSON {depth}");
        assert_eq!(yaml_documents(&text)[0].is_ok(), is_read, "YAML {depth}");
        let blocks: Vec<String> = (0..depth).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        let blocks = blocks.concat();
        assert_eq!(yaml_documents(&blocks)[0].is_ok(), is_read, "blocks {depth}");
    }
}

#[test]
fn json_may_contain_tabs() {
    let text = "{\n\t\"apiVersion\": \"thenextapps.com/v1alpha1\",\n\t\"kind\": \"KconsumerGroup\"}\n";
    assert!(matches!(read(text)[..], [Document::Group(_)]));
}

#[test]
fn printed_objects_parse_to_the_same_objects() {
    let objects = [
        json!({"a": "yes", "b": "1", "c": "5s", "d": "on", "e": [], "f": {}, "g": "x: y # z", "h": "line\nline\n", "i": "0755"}),
        json!({"expr": format!("avg(max by (pod) (metric{{{}}})) > 1000", "label=\"value\",".repeat(20))}),
    ];
    let text = yaml(&objects).unwrap();
    let back: Vec<Value> = values(&text).into_iter().map(|located| located.unwrap().value).collect();
    assert_eq!(back, objects);
}

/// What is said about a text with one document that is no group.
fn said(text: &str) -> (bool, String) {
    match documents(text).remove(0) {
        Ok(Document::LooksLikeOurs(why)) => (true, why),
        Ok(other) => panic!("{text}: {other:?}"),
        Err(error) => (false, error.to_string()),
    }
}

#[test]
fn what_kubectl_refuses_is_refused_with_its_line_and_place() {
    let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "a"}});
    let service = json!({"apiVersion": "v1", "kind": "Service"});
    for (text, is_ours, start) in [
        (format!("# groups\n- {group}\n"), true, "line 2: a document with a KconsumerGroup is a list (-)"),
        (format!("---\n[[{group}]]\n"), true, "line 2: a document with a KconsumerGroup is a list (-)"),
        (format!("- {service}\n"), false, "line 1: the document is a list (-)"),
        ("[]\n".to_owned(), false, "line 1: the document is a list (-)"),
        ("\nword\n".to_owned(), false, "line 2: it is a single value"),
        ("kind: List\nitems: {}\n".to_owned(), false, "line 1: the items of a List must be a list (-)"),
        ("kind: List\n".to_owned(), false, "line 1: the items of a List must be a list (-)"),
        (format!("kind: List\nitems: {group}\n"), true, "line 1: the items of a List must be a list (-)"),
        (
            "kind: KconsumerGroupList\nitems: a\n".to_owned(),
            true,
            "line 1: the items of a KconsumerGroupList",
        ),
        (format!("items: [{group}]\n"), true, "line 1: it has items with a KconsumerGroup"),
        (
            "\nkind: List\nitems: [{kind: List, items: [3]}]\n".to_owned(),
            false,
            "line 2: items[0].items[0]: it is a single",
        ),
        (
            "{\"kind\": \"List\", \"items\": []}\n\n{\"kind\": \"List\", \"items\": 3}".to_owned(),
            false,
            "line 3: the items",
        ),
    ] {
        let (found_ours, said) = said(&text);
        assert!(found_ours == is_ours && said.starts_with(start), "{text}: {said}");
    }
    assert_eq!(read("kind: List\nitems: null\n---\nkind: List\nitems: []\n"), []);
    assert_eq!(read("kind: AllowList\nspec: {items: 3}\n"), [Document::Other]);
}

#[test]
fn the_parser_s_errors_are_said_in_plain_words() {
    for (text, words) in [
        (
            "a: 1\nb: 2\na: 3\n".to_owned(),
            "line 3, column 1: the key \"a\" occurs twice in one mapping: remove one of them",
        ),
        ("a: *b\n".to_owned(), "its anchor (&name), or has none"),
        ("a: &a [*a]\n".to_owned(), "is inside its own anchor (&name)"),
        ("a:\n\tb: 1\n".to_owned(), "YAML is not indented by tabs: use spaces"),
        (
            "{{- if .Values.a }}\na: 1\n{{- end }}\n".to_owned(),
            "it is a template and no YAML: render it first",
        ),
        ("a: {b: 1\n".to_owned(), ""),
        ("a: 'b\n".to_owned(), ""),
        ("a: b: c\n".to_owned(), ""),
        ("a: 1\n b: 2\n".to_owned(), ""),
        ("\u{0}".to_owned(), ""),
        ("a: @b\n".to_owned(), ""),
        ("a: !!int x\n".to_owned(), ""),
        ("<<: 3\n".to_owned(), "must be a mapping or a list of mappings"),
    ] {
        let error = documents(&text)
            .into_iter()
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("{text}"))
            .to_string();
        assert!(error.contains(words), "{text}: {error}");
        for word in ["Policy", "budget", "Options", "i32", "sequence start", "replay"] {
            assert!(!error.contains(word), "{text}: {error}");
        }
    }
}
