//! `SKILL.md`: whether its front matter is what the Agent Skills specification says.

use serde_json::{Map, Value};
use thiserror::Error;

use super::select::SKILL_MD;
use crate::names::Shown;
use crate::skill::SkillName;
use crate::yaml;

/// How much of the file is read: more than any front matter has.
pub const READ_MAX: usize = 64 << 10;

const DESCRIPTION_MAX: usize = 1024;
const COMPATIBILITY_MAX: usize = 500;
const NAME_MAX: usize = 64;

/// What is wrong with a `SKILL.md`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{SKILL_MD} {0}")]
pub struct InvalidSkillMd(#[from] pub Problem);

/// What can be wrong with it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// Its beginning is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// It does not begin with `---`.
    #[error("has no front matter: its first line must be `---`")]
    NoFrontMatter,
    /// The second `---` is missing.
    #[error("has a front matter without an end: a line `---` must follow within {READ_MAX} bytes")]
    Endless,
    /// What is between them is not YAML.
    #[error("has a front matter that is not YAML: {0}")]
    Yaml(yaml::Error),
    /// It is something else than a mapping.
    #[error("has a front matter that is no mapping of fields")]
    NoMapping,
    /// A field is missing or empty.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A field has another type.
    #[error("has a {0} that is not text")]
    NotText(&'static str),
    /// A field is too long.
    #[error("has a {field} of {found} characters, and at most {most} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length in characters.
        found: usize,
        /// What is allowed.
        most: usize,
    },
    /// A name that is none.
    #[error(
        "has the name {}, which is not 1 to {NAME_MAX} of a-z, 0-9 and single hyphens between them",
        Shown(.0)
    )]
    Name(String),
    /// Another name.
    #[error("has the name {}, and the skill is called {skill}", Shown(found))]
    OtherName {
        /// The name in the front matter.
        found: String,
        /// The name of the skill.
        skill: String,
    },
    /// Metadata that is not a mapping of texts.
    #[error("has metadata in which {} is not text", Shown(.0))]
    Metadata(String),
}

/// What is wrong with a `SKILL.md` that begins with `content`, as the one of this skill; nothing where it is valid.
/// Fields that the specification does not know are not looked at.
#[must_use]
pub fn check(content: &[u8], skill: &SkillName) -> Vec<InvalidSkillMd> {
    let problems = match front_matter(content) {
        Ok(fields) => check_fields(&fields, skill),
        Err(problem) => vec![problem],
    };
    problems.into_iter().map(InvalidSkillMd).collect()
}

fn front_matter(content: &[u8]) -> Result<Map<String, Value>, Problem> {
    let content = content.get(..READ_MAX).unwrap_or(content);
    let text = match str::from_utf8(content) {
        Ok(text) => text,
        // The text goes on where reading ended, perhaps within a character.
        Err(error) if error.error_len().is_none() => {
            let valid = content.get(..error.valid_up_to()).unwrap_or_default();
            str::from_utf8(valid).map_err(|_| Problem::NotUtf8)?
        }
        Err(_) => return Err(Problem::NotUtf8),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some("---") {
        return Err(Problem::NoFrontMatter);
    }
    let mut matter = String::new();
    for line in lines {
        if line.trim_end() == "---" {
            return match yaml::parse(&matter) {
                Ok(Value::Object(fields)) => Ok(fields),
                Ok(_) => Err(Problem::NoMapping),
                Err(mut error) => {
                    error.line += 1;
                    Err(Problem::Yaml(error))
                }
            };
        }
        matter.push_str(line);
    }
    Err(Problem::Endless)
}

fn check_fields(fields: &Map<String, Value>, skill: &SkillName) -> Vec<Problem> {
    let required = |field, most| text(fields, field, most)?.ok_or(Problem::Missing(field));
    let results = [
        required("name", usize::MAX).and_then(|name| check_name(name, skill)),
        required("description", DESCRIPTION_MAX).map(drop),
        text(fields, "license", usize::MAX).map(drop),
        text(fields, "compatibility", COMPATIBILITY_MAX).map(drop),
        check_metadata(fields.get("metadata")),
        check_tools(fields.get("allowed-tools")),
    ];
    results.into_iter().filter_map(Result::err).collect()
}

/// The text of a field, where it is there and not empty.
fn text<'a>(
    fields: &'a Map<String, Value>,
    field: &'static str,
    most: usize,
) -> Result<Option<&'a str>, Problem> {
    let text = match fields.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim(),
        Some(_) => return Err(Problem::NotText(field)),
    };
    let found = text.chars().count();
    if found > most {
        return Err(Problem::TooLong { field, found, most });
    }
    Ok((found > 0).then_some(text))
}

fn check_name(name: &str, skill: &SkillName) -> Result<(), Problem> {
    // A team may name a skill with two hyphens in a row, and the specification forbids it all the same.
    if SkillName::parse(name).is_none() || name.contains("--") {
        return Err(Problem::Name(name.to_owned()));
    }
    if name != skill.as_str() {
        return Err(Problem::OtherName {
            found: name.to_owned(),
            skill: skill.to_string(),
        });
    }
    Ok(())
}

fn check_metadata(metadata: Option<&Value>) -> Result<(), Problem> {
    match metadata {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(entries)) => {
            match entries.iter().find(|(_, value)| !value.is_string()) {
                Some((key, _)) => Err(Problem::Metadata(key.clone())),
                None => Ok(()),
            }
        }
        Some(_) => Err(Problem::NotText("metadata")),
    }
}

/// The specification has a text; lists of texts are as common.
fn check_tools(tools: Option<&Value>) -> Result<(), Problem> {
    match tools {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(tools)) if tools.iter().all(Value::is_string) => Ok(()),
        Some(_) => Err(Problem::NotText("allowed-tools")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(content: &str) -> Vec<Problem> {
        let skill = SkillName::parse("web-research").unwrap();
        let found = check(content.as_bytes(), &skill);
        found.into_iter().map(|problem| problem.0).collect()
    }

    fn with(fields: &str) -> Vec<Problem> {
        problems(&format!(
            "---\nname: web-research\ndescription: Searches.\n{fields}\n---\n# Web\n"
        ))
    }

    #[test]
    fn a_skill_md_by_the_specification_is_valid() {
        for fields in [
            "",
            "license: Apache-2.0",
            "compatibility: needs curl",
            "metadata:\n  author: me\n  version: \"1.0\"",
            "allowed-tools: Bash(git:*) Read",
            "allowed-tools: [Read, Grep]",
            "model: opus\nhooks: {a: [1]}",
        ] {
            assert_eq!(with(fields), [], "{fields}");
        }
        let crlf = "\u{feff}---\r\nname: web-research\r\ndescription: x\r\n---\r\n";
        assert_eq!(problems(crlf), []);
        let long = format!(
            "---\nname: web-research\ndescription: x\n---\n{}",
            "é".repeat(READ_MAX)
        );
        assert_eq!(problems(&long), []);
        assert_eq!(problems(&format!("{}x", &long[..])), []);
    }

    #[test]
    fn front_matter_is_needed() {
        for content in ["", "# Web\n", " ---\n", "----\n", "\n---\nname: x\n---\n"] {
            assert_eq!(problems(content), [Problem::NoFrontMatter], "{content:?}");
        }
        for content in ["---", "---\nname: web-research\n", "---\nname: x\n ---\n"] {
            assert_eq!(problems(content), [Problem::Endless], "{content:?}");
        }
        let endless = format!("---\nx: {}\n---\n", "y".repeat(READ_MAX));
        assert_eq!(problems(&endless), [Problem::Endless]);
        for content in ["---\n---\n", "---\n- a\n---\n", "---\ntext\n---\n"] {
            assert_eq!(problems(content), [Problem::NoMapping], "{content:?}");
        }
        let skill = SkillName::parse("a").unwrap();
        assert_eq!(
            check(b"---\nname: \xff\n---\n", &skill)[0].0,
            Problem::NotUtf8
        );
    }

    #[test]
    fn what_is_not_yaml_is_said_with_its_line() {
        let found = problems("---\nname: web-research\ndescription: Use when: asked\n---\n");
        let [Problem::Yaml(error)] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(error.line, 3);
        let twice = problems("---\nname: a\nname: b\n---\n");
        assert!(matches!(twice.as_slice(), [Problem::Yaml(_)]), "{twice:?}");
    }

    #[test]
    fn name_and_description_are_needed() {
        assert_eq!(
            problems("---\nlicense: MIT\n---\n"),
            [Problem::Missing("name"), Problem::Missing("description")]
        );
        assert_eq!(
            problems("---\nname: 7\ndescription: [x]\n---\n"),
            [Problem::NotText("name"), Problem::NotText("description")]
        );
        assert_eq!(
            problems("---\nname: web-research\ndescription: \" \"\n---\n"),
            [Problem::Missing("description")]
        );
    }

    #[test]
    fn the_name_is_that_of_the_skill() {
        let named = |name: &str| problems(&format!("---\nname: {name}\ndescription: x\n---\n"));
        assert!(matches!(
            named("web").as_slice(),
            [Problem::OtherName { .. }]
        ));
        for bad in [
            "Web",
            "-web",
            "web-",
            "we--b",
            "web_research",
            &"w".repeat(65),
        ] {
            assert_eq!(named(bad), [Problem::Name(bad.to_owned())]);
        }
        let double = SkillName::parse("a--b").unwrap();
        let found = check(b"---\nname: a--b\ndescription: x\n---\n", &double);
        assert_eq!(found, [InvalidSkillMd(Problem::Name("a--b".into()))]);
    }

    #[test]
    fn fields_are_of_their_type_and_length() {
        let too_long = |field, found, most| [Problem::TooLong { field, found, most }];
        let description = |length| {
            let text = "é".repeat(length);
            problems(&format!(
                "---\nname: web-research\ndescription: {text}\n---\n"
            ))
        };
        assert_eq!(description(1024), []);
        assert_eq!(description(1025), too_long("description", 1025, 1024));
        assert_eq!(with(&format!("compatibility: {}", "x".repeat(500))), []);
        let found = with(&format!("compatibility: {}", "x".repeat(501)));
        assert_eq!(found, too_long("compatibility", 501, 500));
        assert_eq!(with("license: 7"), [Problem::NotText("license")]);
        assert_eq!(with("metadata: x"), [Problem::NotText("metadata")]);
        assert_eq!(with("metadata: {v: 1.0}"), [Problem::Metadata("v".into())]);
        assert_eq!(
            with("allowed-tools: {a: b}"),
            [Problem::NotText("allowed-tools")]
        );
    }
}
