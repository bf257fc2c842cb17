//! Teams, and which rules each of them breaks.

use serde_json::{Value, json};

/// A team.
pub struct Case {
    pub name: &'static str,
    pub spec: Value,
    /// What it breaks, as words:
    /// - `sources`: a skill has no source, or two;
    /// - `rule`: another rule that our definition holds, and so do webhook and judgement;
    /// - `ours`: a rule that only webhook and judgement hold;
    /// - `shape`: our definition is stricter about types than what is read, which does not care;
    /// - `untyped`: only a definition that takes anything admits it as far as to webhook and policy.
    breaks: &'static str,
}

impl Case {
    pub fn breaks(&self, word: &str) -> bool {
        self.breaks.split(' ').any(|broken| broken == word)
    }
}

/// The lead with these skills.
fn lead(skills: Value) -> Value {
    json!({"lead": {"skills": skills}})
}

/// The lead with one skill of this source.
fn from(source: Value) -> Value {
    lead(json!([{"name": "s", "source": source}]))
}

pub fn cases() -> Vec<Case> {
    let cm = || json!({"configMap": "cm"});
    let both = || json!({"configMap": "cm", "oci": "ghcr.io/x/y:1"});
    let skill = |name: &str, source: Value| json!({"name": name, "source": source});
    let many = |count: usize| -> Value {
        (0..count)
            .map(|n| skill(&format!("s{n}"), json!({"oci": "ghcr.io/x/y:1"})))
            .collect()
    };
    let sha = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let cases = vec![
        // Valid.
        ("an empty spec", json!({}), ""),
        ("an empty lead", json!({"lead": {}}), ""),
        (
            "empty lists",
            json!({"skills": [], "lead": {"skills": []}, "teammates": [], "imagePullSecrets": []}),
            "",
        ),
        ("a ConfigMap", from(cm()), ""),
        ("a tag", from(json!({"oci": "ghcr.io/x/y:1"})), ""),
        (
            "a digest",
            from(json!({"oci": format!("ghcr.io/x/y@{sha}")})),
            "",
        ),
        (
            "a port and both",
            from(json!({"oci": format!("registry.example:5000/x/y:1@{sha}")})),
            "",
        ),
        (
            "a ConfigMap beside an empty reference",
            from(json!({"configMap": "cm", "oci": ""})),
            "",
        ),
        (
            "a reference beside an empty ConfigMap",
            from(json!({"configMap": "", "oci": "ghcr.io/x/y:1"})),
            "",
        ),
        (
            "a reference beside null",
            from(json!({"configMap": null, "oci": "ghcr.io/x/y:1"})),
            "",
        ),
        (
            "a lead that is null",
            json!({"lead": null, "skills": [skill("s", cm())]}),
            "",
        ),
        (
            "a skill for all, and each agent's own",
            json!({
            "skills": [skill("a", cm())], "lead": {"skills": [skill("b", cm())]},
            "teammates": [{"name": "m", "skills": [skill("b", cm())]}, {"name": "n"}]}),
            "",
        ),
        (
            "the longest skill name",
            lead(json!([skill(&"x".repeat(64), cm())])),
            "",
        ),
        (
            "the longest agent name",
            json!({"teammates": [{"name": "x".repeat(63)}]}),
            "",
        ),
        ("many skills", lead(many(128)), ""),
        (
            "pull secrets",
            json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": "b.c"}]}),
            "",
        ),
        (
            "fields of others",
            json!({"lead": {"prompt": "x"}, "teammates": [{"name": "m", "model": "y"}], "workspace": {"a": 1}}),
            "",
        ),
        // No source or two.
        ("no source", from(json!({})), "sources"),
        ("two sources", from(both()), "sources"),
        (
            "two empty sources",
            from(json!({"configMap": "", "oci": ""})),
            "sources",
        ),
        ("one empty source", from(json!({"oci": ""})), "sources"),
        (
            "a source of another kind",
            from(json!({"git": "https://example.com"})),
            "sources",
        ),
        (
            "nulls for sources",
            from(json!({"configMap": null, "oci": null})),
            "sources",
        ),
        (
            "null and empty",
            from(json!({"configMap": null, "oci": ""})),
            "sources",
        ),
        (
            "a source that is not there",
            lead(json!([{"name": "s"}])),
            "sources shape",
        ),
        ("a source that is null", from(json!(null)), "sources shape"),
        (
            "no source for a teammate",
            json!({"teammates": [{"name": "m", "skills": [skill("s", json!({}))]}]}),
            "sources",
        ),
        (
            "two sources for a teammate",
            json!({"teammates": [{"name": "n"}, {"name": "m", "skills": [skill("s", both())]}]}),
            "sources",
        ),
        (
            "no source for all, and no agent",
            json!({"skills": [skill("s", json!({}))]}),
            "sources",
        ),
        (
            "two sources for all",
            json!({"skills": [skill("s", both())], "lead": {}, "teammates": [{"name": "m"}]}),
            "sources",
        ),
        (
            "one bad among good",
            lead(json!([
                skill("a", cm()),
                skill("b", both()),
                skill("c", cm())
            ])),
            "sources",
        ),
        (
            "every agent's skill is bad",
            json!({
            "skills": [skill("a", both())], "lead": {"skills": [skill("b", json!({}))]},
            "teammates": [{"name": "m", "skills": [skill("c", both())]}]}),
            "sources",
        ),
        (
            "two sources, one no reference",
            from(json!({"configMap": "cm", "oci": "$(TOKEN)"})),
            "sources",
        ),
        // No source or two, and something else.
        (
            "a bad name and two sources",
            lead(json!([skill("A_b", both())])),
            "sources rule",
        ),
        (
            "a name twice and no source",
            lead(json!([skill("s", cm()), skill("s", json!({}))])),
            "sources rule",
        ),
        (
            "a bad agent and two sources",
            json!({"teammates": [{"name": "A", "skills": [skill("s", both())]}]}),
            "sources rule",
        ),
        (
            "no source and a bad reference",
            lead(json!([
                skill("a", json!({})),
                skill("b", json!({"oci": "x"}))
            ])),
            "sources ours",
        ),
        // Other rules of our definition.
        (
            "a skill name with capitals",
            lead(json!([skill("A", cm())])),
            "rule",
        ),
        (
            "a skill name that is a path",
            lead(json!([skill("../x", cm())])),
            "rule",
        ),
        (
            "a skill name that ends badly",
            lead(json!([skill("x-", cm())])),
            "rule",
        ),
        (
            "a skill name too long",
            lead(json!([skill(&"x".repeat(65), cm())])),
            "rule",
        ),
        (
            "an empty skill name",
            lead(json!([skill("", cm())])),
            "rule",
        ),
        (
            "a skill without a name",
            lead(json!([{"source": cm()}])),
            "rule",
        ),
        (
            "a skill twice",
            lead(json!([skill("s", cm()), skill("s", cm())])),
            "rule",
        ),
        (
            "a skill twice for all",
            json!({"skills": [skill("s", cm()), skill("s", cm())]}),
            "rule",
        ),
        (
            "the lead takes a skill of all",
            json!({"skills": [skill("s", cm())], "lead": {"skills": [skill("s", cm())]}}),
            "rule",
        ),
        (
            "a teammate takes a skill of all",
            json!({"skills": [skill("s", cm())], "teammates": [{"name": "m", "skills": [skill("s", cm())]}]}),
            "rule",
        ),
        (
            "an agent twice",
            json!({"teammates": [{"name": "m"}, {"name": "m"}]}),
            "rule",
        ),
        (
            "a teammate named lead",
            json!({"teammates": [{"name": "lead"}]}),
            "rule",
        ),
        (
            "an agent name with capitals",
            json!({"teammates": [{"name": "A"}]}),
            "rule",
        ),
        (
            "an agent name too long",
            json!({"teammates": [{"name": "x".repeat(64)}]}),
            "rule",
        ),
        (
            "an agent without a name",
            json!({"teammates": [{}]}),
            "rule",
        ),
        (
            "a ConfigMap name too long",
            from(json!({"configMap": "x".repeat(254)})),
            "rule",
        ),
        (
            "a reference too long",
            from(json!({"oci": format!("ghcr.io/{}:1", "x".repeat(600))})),
            "rule",
        ),
        (
            "a pull secret name too long",
            json!({"imagePullSecrets": [{"name": "x".repeat(254)}]}),
            "rule",
        ),
        (
            "a lead that is a number",
            json!({"lead": 7}),
            "rule untyped",
        ),
        (
            "teammates that are a map",
            json!({"teammates": {"name": "m"}}),
            "rule untyped",
        ),
        (
            "teammates that are texts",
            json!({"teammates": ["m"]}),
            "rule untyped",
        ),
        ("skills that are a text", lead(json!("s")), "rule untyped"),
        ("skills that are texts", lead(json!(["s"])), "rule untyped"),
        ("a skill that is null", lead(json!([null])), "rule untyped"),
        ("a source that is a text", from(json!("cm")), "rule untyped"),
        (
            "a reference that is a number",
            from(json!({"oci": 7})),
            "rule untyped",
        ),
        (
            "a number beside a ConfigMap",
            from(json!({"configMap": "cm", "oci": 7})),
            "sources shape untyped",
        ),
        // Rules that only the webhook holds.
        (
            "a reference without a host",
            from(json!({"oci": "skills/web:v1"})),
            "ours",
        ),
        (
            "a reference without a tag",
            from(json!({"oci": "ghcr.io/x/y"})),
            "ours",
        ),
        (
            "a reference with a scheme",
            from(json!({"oci": "https://ghcr.io/x/y:1"})),
            "ours",
        ),
        (
            "a reference with a variable",
            from(json!({"oci": "ghcr.io/x/y:$(T)"})),
            "ours",
        ),
        (
            "a ConfigMap with capitals",
            from(json!({"configMap": "A/b"})),
            "ours",
        ),
        (
            "a pull secret with capitals",
            json!({"imagePullSecrets": [{"name": "A/b"}]}),
            "ours",
        ),
        // Null is as good as absent.
        (
            "skills that are null",
            json!({"skills": null, "lead": {"skills": null}, "teammates": null}),
            "",
        ),
    ];
    let case = |(name, spec, breaks)| Case { name, spec, breaks };
    cases.into_iter().map(case).collect()
}
