//! A table that the readers of kubectl have filled in.

use agentteam_webhook::yaml::{Problem, documents};
use serde_json::Value;

/// Characters that an editor or a reader would lose.
const NAMED: [(&str, &str); 13] = [
    ("{CR}", "\r"),
    ("{TAB}", "\t"),
    ("{BOM}", "\u{feff}"),
    ("{NEL}", "\u{85}"),
    ("{LS}", "\u{2028}"),
    ("{PS}", "\u{2029}"),
    ("{BEL}", "\u{7}"),
    ("{DEL}", "\u{7f}"),
    ("{PAD}", "\u{80}"),
    ("{SOH}", "\u{1}"),
    ("{NBSP}", "\u{a0}"),
    ("{END}\n", ""),
    ("{END}", ""),
];

#[derive(Default)]
struct Case {
    title: String,
    input: String,
    kubectl: Vec<String>,
    ours: Vec<String>,
}

fn cases() -> Vec<Case> {
    let table = include_str!("as_kubectl_reads.txt");
    let paragraphs = table.split("\n\n").skip(1);
    paragraphs
        .map(|paragraph| case(paragraph.trim_end()))
        .collect()
}

fn case(paragraph: &str) -> Case {
    let mut case = Case::default();
    for line in paragraph.lines() {
        match line.get(..3) {
            Some("  |") => {
                case.input.push_str(line.get(4..).unwrap_or_default());
                case.input.push('\n');
            }
            Some("  =") => case.kubectl.push(line[4..].to_owned()),
            Some("  !") => case.ours.push(line[4..].to_owned()),
            _ => line.clone_into(&mut case.title),
        }
    }
    for (name, character) in NAMED {
        case.input = case.input.replace(name, character);
    }
    case
}

/// What the table says about an input: documents that are not null, up to the first error.
fn read(input: &str, error: impl Fn(Problem) -> String) -> Vec<Result<Value, String>> {
    let mut read = Vec::new();
    for document in documents(input) {
        match document.parse() {
            Ok(Value::Null) => {}
            Ok(value) => read.push(Ok(value)),
            Err(problem) => {
                read.push(Err(error(problem.problem)));
                break;
            }
        }
    }
    read
}

fn expected(lines: &[String]) -> Vec<Result<Value, String>> {
    let lines = lines.iter().filter(|line| *line != "nothing");
    lines
        .map(|line| match line.strip_prefix("error") {
            Some(error) => Err(error.trim_start_matches(": ").to_owned()),
            None => Ok(serde_json::from_str(line).expect(line)),
        })
        .collect()
}

#[test]
fn every_case_of_the_table() {
    let cases = cases();
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    for case in cases {
        let (expected, found) = if case.ours.is_empty() {
            let found = read(&case.input, |_| String::new());
            (expected(&case.kubectl), found)
        } else {
            let found = read(&case.input, |problem| problem.to_string());
            (expected(&case.ours), found)
        };
        assert_eq!(found, expected, "{}: {:?}", case.title, case.input);
    }
}
