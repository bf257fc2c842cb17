//! YAML means here what it means to kubectl.

#![expect(clippy::expect_used, reason = "tests say what they expect by failing")]

use std::fmt::Write as _;

use agentteam_webhook::yaml::{self, Document, MAX_DEPTH, Problem, documents, parse, to_string};
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "yaml/as_kubectl_reads.rs"]
mod as_kubectl_reads;

mod documents_of_an_input {
    use super::*;

    fn pieces(input: &str) -> Vec<(usize, &str)> {
        let documents = documents(input).into_iter();
        documents.map(|it| (it.line, it.text)).collect()
    }

    #[test]
    fn start_at_their_separator() {
        let input = "# one\na: 1\n--- # two\nb: 2\n---\n# three\n";
        let expected = [
            (1, "# one\na: 1\n"),
            (3, "--- # two\nb: 2\n"),
            (5, "---\n# three\n"),
        ];
        assert_eq!(pieces(input), expected);
    }

    #[test]
    fn may_be_json_one_after_the_other() {
        let input = "{\"a\": 1}{\"b\": 2}\n\n{\n\"c\": 3\n}\n---\nd: 4\n";
        let expected = [
            (1, "{\"a\": 1}"),
            (1, "{\"b\": 2}\n"),
            (2, "\n{\n\"c\": 3\n}\n"),
            (6, "---\nd: 4\n"),
        ];
        assert_eq!(pieces(input), expected);
    }

    #[test]
    fn count_lines_in_the_whole_input_for_errors() {
        let input = "a: 1\n---\nb: [\n---\nc: @\n";
        let errors: Vec<_> = documents(input)
            .iter()
            .filter_map(|document| document.parse().err())
            .map(|error| (error.line, error.column))
            .collect();
        assert_eq!(errors, [(3, 4), (5, 4)]);
    }

    #[test]
    fn keep_their_head_when_their_value_changes() {
        let with = |text| Document { text, line: 1 }.with(&json!({"a": 2}));
        assert_eq!(with("--- # x\n# y\n\na: 1 # z\n"), "--- # x\n# y\n\na: 2\n");
        assert_eq!(with("\u{feff}a: 1\n"), "a: 2\n");
        assert_eq!(with("---"), "---\na: 2\n");
        assert_eq!(with("---\n{\"a\": 1}\n"), "---\na: 2\n");
    }

    #[test]
    fn stay_json_when_their_value_changes() {
        let document = Document {
            text: "{\"a\": 1}",
            line: 1,
        };
        let text = document.with(&json!({"a": 2}));
        assert_eq!(text, "{\n  \"a\": 2\n}\n");
    }
}

mod bounds {
    use super::*;

    fn problem(document: &str) -> Problem {
        parse(document).expect_err("a bound").problem
    }

    fn nested(open: &str, close: &str, levels: usize) -> String {
        open.repeat(levels) + &close.repeat(levels)
    }

    #[test]
    fn collections_may_nest_as_deep_as_allowed() {
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "x")] {
            assert!(parse(&nested(open, close, MAX_DEPTH)).is_ok(), "{open}");
        }
    }

    #[test]
    fn deeper_collections_are_refused() {
        let json = format!("{{\"a\": {}}}", nested("[", "]", MAX_DEPTH));
        assert!(
            matches!(problem(&json), Problem::Syntax(it) if it == Problem::TooDeep.to_string())
        );
        assert!(parse(&nested("{\"a\":[", "]}", 100_000)).is_err());
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "x")] {
            assert_eq!(
                problem(&nested(open, close, MAX_DEPTH + 1)),
                Problem::TooDeep
            );
            assert!(parse(&nested(open, close, 100_000)).is_err());
        }
    }

    #[test]
    fn aliases_count_the_depth_of_what_they_repeat() {
        let mut document = format!("a0: &a0 {}\n", nested("[", "]", 60));
        for level in 1..100 {
            let inner = format!("[*a{}]", level - 1);
            writeln!(document, "a{level}: &a{level} {inner}").expect("text");
        }
        assert_eq!(problem(&document), Problem::TooDeep);
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut document = "a0: &a0 lol\n".to_owned();
        for level in 1..20 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(document, "a{level}: &a{level} [{inner}]").expect("text");
        }
        assert_eq!(problem(&document), Problem::TooManyAliases);
    }

    #[test]
    fn a_long_text_many_times_is_refused() {
        let long = "x".repeat(100_000);
        let document = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 1000].join(", "));
        assert_eq!(problem(&document), Problem::TooManyAliases);
    }

    #[test]
    fn a_merge_bomb_is_refused() {
        let mut document = "a0: &a0 {k: v}\n".to_owned();
        for level in 1..40 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(
                document,
                "a{level}: &a{level} {{<<: [{inner}], k{level}: [{inner}]}}"
            )
            .expect("text");
        }
        assert_eq!(problem(&document), Problem::TooManyAliases);
    }

    #[test]
    fn an_error_says_where_and_holds_no_value() {
        let document = "user: admin\npassword: hunter2\n  token: hunter3\n";
        let error = parse(document).expect_err("wrong indentation").to_string();
        let expected = "line 3, column 8: mapping values are not allowed in this context";
        assert_eq!(error, expected);
    }
}

mod what_is_written {
    use super::*;

    #[test]
    fn looks_as_kubectl_writes_it() {
        let pod = json!({
            "apiVersion": "v1",
            "metadata": {"labels": {}, "annotations": {"script": "one\n  two\n", "end": "a\nb"}},
            "spec": {"containers": [{"args": ["yes", "0644", "1", ""], "ports": [{"containerPort": 80}]}]},
        });
        let expected = "apiVersion: v1\n\
            metadata:\n  labels: {}\n  annotations:\n    script: |\n      one\n        two\n    end: |-\n      a\n      b\n\
            spec:\n  containers:\n  - args:\n    - \"yes\"\n    - \"0644\"\n    - \"1\"\n    - \"\"\n    ports:\n    - containerPort: 80\n";
        assert_eq!(to_string(&pod), expected);
    }

    #[test]
    fn quotes_what_a_reader_could_take_for_something_else() {
        let texts = [
            "on",
            "y",
            "0644",
            "0o644",
            "1_000",
            "1e3",
            "=",
            "<<",
            "null",
            "~",
            "",
            "2001-01-01",
            "0x1F",
            "1:30",
            "0b1",
            ".5",
            ".inf",
            "NaN",
            " a",
            "a ",
            "a: b",
            "a #b",
            "a:",
            "- a",
            "-",
            "?",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "[a]",
            "{a}",
            "#a",
            ",",
            "a\tb",
            "\u{7}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\ta\nb",
        ];
        for text in texts {
            let written = to_string(&json!({"k": text}));
            assert!(
                written.starts_with("k: \"") || written.starts_with("k: '"),
                "{written:?}"
            );
            let written = to_string(&json!({text: "v"}));
            assert!(written.starts_with(['"', '\'']), "{written:?}");
        }
    }

    #[test]
    fn never_looks_like_a_separator() {
        let value = json!({"---": "a\n\nb\n", "--- a": ["x"]});
        let written = to_string(&value);
        assert_eq!(documents(&written).len(), 1);
        assert_eq!(parse(&written), Ok(value));
    }
}

/// Text that readers of YAML stumble over.
fn nasty() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "y", "on", "no", "null", "true", "0", "7", "1_0", "0x", "e3", ".", "-", "+", ":",
        ": ", " #", "#", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", "\"", "%", "@",
        "`", "?", "? ", "- ", "=", "<<", "~", "\\", " ", "  ", "\t", "\n", "\n\n", "\r", "\r\n",
        "\n---\n", "---", "...", "\0", "\u{7}", "\u{1b}", "\u{7f}", "\u{80}", "\u{85}", "\u{a0}",
        "\u{2028}", "\u{2029}", "\u{200b}", "\u{feff}", "\u{fffe}", "\u{ffff}", "é", "😀",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..7).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // A whole number is an integer to kubectl, however it is written.
        any::<f64>()
            .prop_filter("JSON has no others", |it| it.is_finite()
                && it.fract() != 0.0)
            .prop_map(Value::from),
        nasty().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            hash_map(nasty(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in value()) {
        let written = to_string(&value);
        let read = parse(&written);
        prop_assert_eq!(read.as_ref(), Ok(&value), "{}", &written);
        // In the same order, too.
        prop_assert_eq!(read.expect("a value").to_string(), value.to_string());
    }

    #[test]
    fn documents_are_the_input_and_reading_ends(input in nasty_input()) {
        let documents = yaml::documents(&input);
        let texts: String = documents.iter().map(|document| document.text).collect();
        prop_assert_eq!(&texts, &input);
        for document in documents {
            let start = texts.split_inclusive('\n').nth(document.line - 1);
            prop_assert!(document.text.is_empty() || start.is_some());
            if let Err(error) = document.parse() {
                prop_assert!(error.line >= document.line && error.column >= 1, "{}", error);
            }
        }
    }
}

fn nasty_input() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        nasty(),
        Just("\n---\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("{\"a\": 1}".to_owned()),
        Just("a: &x {b: [1]}\n".to_owned()),
        Just("*x ".to_owned()),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}
