//! Every command block of the documentation is run somewhere or says why not, and every link leads somewhere.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

#[path = "common/pages.rs"]
mod pages;

use std::collections::BTreeSet;
use std::path::Path;

use pages::{Block, Content, Needs, Place};

/// Sources of skills are not about this repository.
fn documents() -> Vec<(String, String)> {
    let mut all = pages::all();
    all.retain(|(name, _)| !name.ends_with("/SKILL.md"));
    all
}

#[test]
fn every_command_block_is_run_or_says_why_not() {
    let mut left = Vec::new();
    for (name, text) in documents() {
        let is_run = pages::RUN.contains(&name.as_str());
        for block in pages::read(&text) {
            match block.needs {
                Needs::Person(reason) => {
                    assert!(reason.len() > 10, "{name}:{}: say why", block.line);
                }
                _ if is_run => {}
                _ => left.push(format!("{name}:{}", block.line)),
            }
        }
    }
    assert!(
        left.is_empty(),
        "neither run nor marked `<!-- not run: REASON -->`: {left:?}"
    );
}

/// Where pages are run, there is a test for each of them.
#[test]
fn every_page_that_is_to_be_run_is_run() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let cluster = read("tests/cluster/documentation.rs");
    let node = read("tests/node/documentation.rs") + &read("tests/node/solo/pages.rs");
    for (place, tests) in [("cluster", cluster), ("node", node)] {
        for page in pages::RUN {
            let named = format!("\"{page}\"");
            assert!(tests.contains(&named), "tests/{place} does not run {page}");
        }
    }
}

/// What a link to a heading says, on GitHub and in the site.
fn anchor(heading: &str) -> String {
    let words: String = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect();
    words.trim().replace(' ', "-")
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for (name, text) in documents() {
        let here = root.join(&name);
        for line in prose(&text) {
            for (_, rest) in line
                .match_indices("](")
                .map(|(at, found)| line.split_at(at + found.len()))
            {
                let target = rest.split(')').next().unwrap();
                if target.starts_with("http://") || target.starts_with("https://") {
                    continue;
                }
                let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() {
                    here.clone()
                } else {
                    here.parent().unwrap().join(file)
                };
                let leads = path.exists()
                    && (fragment.is_empty()
                        || std::fs::read_to_string(&path)
                            .is_ok_and(|text| anchors(&text).contains(fragment)));
                if !leads {
                    broken.push(format!("{name}: {target}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A decision is found by its number.
#[test]
fn decisions_are_numbered_once_and_without_a_gap() {
    let decisions = documents()
        .into_iter()
        .filter(|(name, _)| name.starts_with("docs/adr/"));
    for (number, (name, text)) in (1..).zip(decisions) {
        assert!(
            name.starts_with(&format!("docs/adr/{number:04}-")),
            "{name} is number {number}"
        );
        assert!(
            text.starts_with(&format!("# {number}. ")),
            "{name} begins with another number"
        );
    }
}

fn run(markdown: &str, has_node: bool) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.md");
    std::fs::write(&page, markdown).unwrap();
    let place = Place {
        directory: &directory.path().join("place"),
        has_node,
        instead: &[("ghcr.io/example", "localhost:5000/example".to_owned())],
        environment: &[("PATH", std::env::var("PATH").unwrap())],
    };
    place.run(page.to_str().unwrap())
}

const PAGE: &str = r#"
```yaml title="a/b.yaml"
from: ghcr.io/example
```

```sh
cd a
word=kept
```

```console
$ cat b.yaml
from: ghcr.io/example
$ echo "$word   $$"; ls nowhere
kept …
…No such file or directory
$ printf '1\n2\n3\n'
1
…
3
```

<!-- on a node -->
```sh
false
```

<!-- not run: needs a person who types -->
```sh
read -r answer
```
"#;

#[test]
fn a_page_is_one_session() {
    assert_eq!(run(PAGE, false), 3);
}

#[test]
#[should_panic(expected = "page.md:24 failed")]
fn a_block_for_a_node_is_run_on_one() {
    run(PAGE, true);
}

#[test]
#[should_panic(expected = "prints\n1\n\nand not\n2\n")]
fn what_is_printed_is_compared() {
    run("```console\n$ echo 1\n2\n```\n", false);
}

#[test]
#[should_panic(expected = "page.md:1 failed")]
fn a_script_must_succeed() {
    run("```sh\nfalse\n```\n\n```sh\necho later\n```\n", false);
}

#[test]
#[should_panic(expected = "a marker with no block after it")]
fn a_marker_stands_right_before_its_block() {
    pages::read("<!-- on a node -->\n\nSome words.\n\n```sh\ntrue\n```\n");
}

#[test]
fn a_command_may_go_over_several_lines() {
    let blocks = pages::read("```console\n$ echo \\\n  a\na\n```\n");
    let content = Content::Session(vec![("echo \\\n  a".into(), "a\n".into())]);
    assert_eq!(
        blocks,
        [Block {
            line: 1,
            needs: Needs::Cluster,
            content
        }]
    );
}
