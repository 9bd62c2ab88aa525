//! Regular expressions of relabelings: RE2's syntax, as Prometheus reads it. What Rust's syntax
//! has beyond it is refused; a bound on the size keeps the webhook fast.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind,
    HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Visitor,
};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{self, Hir, HirKind};

use super::MAX_TEXT;

/// How deep groups may be nested.
const NEST_LIMIT: u32 = 50;
/// The most bytes of a compiled expression.
const SIZE_LIMIT: usize = 256 << 10;
/// The most bytes of the expression of all texts that a template may become. A template that names groups of a
/// few hundred bytes has less.
const MAX_EXPANDED: usize = 16 << 10;
/// RE2's limit of repetitions, also if they are nested.
const MAX_REPEAT: u32 = 1000;
/// What a relabeling without a regex has.
pub(super) const DEFAULT: &str = "(.*)";

/// A regular expression that matches a whole text.
#[derive(Debug)]
pub(super) struct Pattern {
    whole: Regex,
    hir: Hir,
}

impl Pattern {
    /// Reads an expression, or says what is wrong with it. An empty one is the default.
    pub(super) fn parse(regex: &str) -> Result<Self, String> {
        if regex.len() > MAX_TEXT {
            return Err(format!("it has more than {MAX_TEXT} bytes"));
        }
        let regex = if regex.is_empty() { DEFAULT } else { regex };
        let ast = ast::parse::ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(regex);
        let ast = ast.map_err(|error| error.kind().to_string())?;
        ast::visit(&ast, Re2 { repeats: vec![1] })?;
        let mut translator =
            TranslatorBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build();
        let hir = translator.translate(regex, &ast).map_err(|error| error.kind().to_string())?;
        let whole = compile(&format!("(?s:{regex})")).ok_or("it is too large")?;
        Ok(Self { whole, hir })
    }

    /// Whether it matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text.as_bytes())
    }

    /// The names among `names` that the template, which has `$1` for a group of this expression,
    /// may become. It looks at each group alone, so it may name too many.
    pub(super) fn can_make<'n>(&self, template: &str, names: &[&'n str]) -> Vec<&'n str> {
        let Some(template) = self.expanded(template).and_then(|expression| compile(&expression)) else {
            return names.to_vec();
        };
        names.iter().copied().filter(|name| template.is_match(name.as_bytes())).collect()
    }

    /// The expression of all texts that a template may become; `None` if it is too large: a template can
    /// name a large group hundreds of times.
    fn expanded(&self, template: &str) -> Option<String> {
        let mut expression = String::new();
        let mut rest = template;
        while let Some(start) = rest.find('$') {
            expression.push_str(&regex::escape(&rest[..start]));
            let after = &rest[start + 1..];
            let (group, end) = reference(after);
            match group {
                Some(group) => expression.push_str(&self.group(group)),
                None => expression.push_str("\\$"),
            }
            if expression.len() > MAX_EXPANDED {
                return None;
            }
            rest = &after[end..];
        }
        Some(expression + &regex::escape(rest))
    }

    /// The expression of a group; nothing if there is no such group.
    fn group(&self, name: &str) -> String {
        if name == "0" {
            return format!("(?:{})", self.hir);
        }
        let found = find_group(&self.hir, &|capture: &hir::Capture| match name.parse::<u32>() {
            Ok(index) => capture.index == index,
            Err(_) => capture.name.as_deref() == Some(name),
        });
        // A group in an alternative that did not match is empty.
        found.map_or_else(String::new, |group| format!("(?:{group})?"))
    }
}

/// The group that a template names after a `$`, as Go's Regexp.Expand reads it, and the bytes that
/// name it.
fn reference(after: &str) -> (Option<&str>, usize) {
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if after.starts_with('$') {
        return (None, 1);
    }
    if let Some(braced) = after.strip_prefix('{') {
        let end = word(braced);
        return if end > 0 && braced[end..].starts_with('}') {
            (Some(&braced[..end]), end + 2)
        } else {
            (None, 0)
        };
    }
    match word(after) {
        0 => (None, 0),
        end => (Some(&after[..end]), end),
    }
}

fn find_group<'h>(hir: &'h Hir, is_it: &impl Fn(&hir::Capture) -> bool) -> Option<&'h Hir> {
    match hir.kind() {
        HirKind::Capture(capture) if is_it(capture) => Some(&capture.sub),
        HirKind::Capture(capture) => find_group(&capture.sub, is_it),
        HirKind::Repetition(repetition) => find_group(&repetition.sub, is_it),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().find_map(|part| find_group(part, is_it))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

fn compile(expression: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(&format!("^(?:{expression})$"));
    builder.unicode(false).size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT * 2).build().ok()
}

/// Finds what RE2 does not have.
struct Re2 {
    /// The product of the repetitions around the current expression.
    repeats: Vec<u32>,
}

impl Re2 {
    fn repeat(range: &RepetitionKind) -> u32 {
        match range {
            RepetitionKind::Range(
                RepetitionRange::Exactly(most)
                | RepetitionRange::AtLeast(most)
                | RepetitionRange::Bounded(_, most),
            ) => (*most).max(1),
            _ => 1,
        }
    }
}

fn unknown(what: &str) -> Result<(), String> {
    Err(format!("RE2 has no {what}"))
}

fn flags(flags: &Flags) -> Result<(), String> {
    let is_unknown = |kind: &FlagsItemKind| {
        matches!(kind, FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace))
    };
    if flags.items.iter().any(|item| is_unknown(&item.kind)) { unknown("such flag") } else { Ok(()) }
}

fn literal(kind: &LiteralKind) -> Result<(), String> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            unknown("\\u: use \\x{...}")
        }
        _ => Ok(()),
    }
}

impl Visitor for Re2 {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        match ast {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(set) => flags(set),
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => Ok(()),
            },
            Ast::Literal(text) => literal(&text.kind),
            Ast::Repetition(repetition) => {
                let around = self.repeats.last().copied().unwrap_or(1);
                let product = around.saturating_mul(Self::repeat(&repetition.op.kind));
                self.repeats.push(product);
                if product > MAX_REPEAT {
                    Err(format!("it repeats more than {MAX_REPEAT} times"))
                } else {
                    Ok(())
                }
            }
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => Ok(()),
                _ => unknown("such word boundary"),
            },
            Ast::ClassUnicode(_) => Err("classes of Unicode are not supported here".to_owned()),
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), String> {
        if matches!(ast, Ast::Repetition(_)) {
            self.repeats.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Bracketed(_) => unknown("class in a class"),
            ClassSetItem::Unicode(_) => Err("classes of Unicode are not supported here".to_owned()),
            ClassSetItem::Literal(text) => literal(&text.kind),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), String> {
        unknown("operations on classes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_reads_is_read() {
        for regex in [
            "",
            "client_id",
            "go_.+|process_(cpu|memory).*",
            r"__meta_kubernetes_pod_label_(strimzi_io_.+)",
            r"(?i)a.c",
            r"(?P<name>\d+)\.[[:alpha:]]{2,5}\x41\/",
            r"^a$|\Ab\z",
            "caf\u{e9}",
        ] {
            assert!(Pattern::parse(regex).is_ok(), "{regex}: {:?}", Pattern::parse(regex).err());
        }
    }

    #[test]
    fn a_template_that_names_a_large_group_hundreds_of_times_may_become_any_name() {
        let pattern = Pattern::parse(&"(?:[^b])".repeat(113)).unwrap();
        let template = "$0".repeat(500);
        assert_eq!(pattern.expanded(&template), None);
        assert_eq!(pattern.can_make(&template, &["pod", "job"]), ["pod", "job"]);
        assert!(pattern.expanded("label_$0").is_some());
    }

    #[test]
    fn what_re2_does_not_have_is_refused_with_a_reason() {
        for (regex, want) in [
            ("a(", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            ("[a-z&&[^b]]", "operations"),
            ("[a[b]]", "class in a class"),
            ("(?x) a", "such flag"),
            (r"\b{start}a", "such word boundary"),
            (r"\u0041", r"no \u"),
            (r"\pL", "Unicode"),
            ("a{1001}", "more than 1000 times"),
            ("(a{40}){40}", "more than 1000 times"),
            (&"a".repeat(MAX_TEXT + 1), "more than 1024 bytes"),
        ] {
            let why = Pattern::parse(regex).expect_err(regex);
            assert!(why.contains(want), "{regex}: {why}");
            assert!(!why.contains('\n'), "{regex}: {why}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_texts() {
        let pattern = Pattern::parse("topic|part.*").unwrap();
        assert!(pattern.matches("topic") && pattern.matches("partition"));
        assert!(!pattern.matches("kafka_topic") && !pattern.matches("a\ntopic"));
        assert!(Pattern::parse("").unwrap().matches("any\nthing"));
    }

    #[test]
    fn a_template_makes_the_names_that_its_groups_allow() {
        let names = ["namespace", "pod", "__address__"];
        for (regex, template, want) in [
            ("(.*)", "$1", &names[..]),
            ("(.*)", "pod", &["pod"]),
            ("(.*)", "p${1}", &["pod"]),
            ("(.*)", "pod_$1", &[]),
            ("__meta_kubernetes_pod_label_(strimzi_io_.+)", "$1", &[]),
            ("__meta_kubernetes_pod_label_(.+)", "$1", &names[..]),
            ("__meta_kubernetes_pod_label_(.+)", "label_$1", &[]),
            ("(?P<what>name)(space)?", "${what}$2", &["namespace"]),
            ("a(b)", "${2}pod", &["pod"]),
            // Go reads a group called 1pod, which does not exist.
            ("(.*)", "$1pod", &[]),
            ("(.*)", "$$1", &[]),
            ("(?i)(POD)", "$1", &["pod"]),
        ] {
            assert_eq!(Pattern::parse(regex).unwrap().can_make(template, &names), want, "{regex} {template}");
        }
    }
}
