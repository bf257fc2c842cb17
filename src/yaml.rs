//! YAML, read as kubectl reads it and written so that kubectl reads the same back.
//!
//! kubectl reads with go-yaml v2, by way of `sigs.k8s.io/yaml`: YAML 1.1 with habits of its own. `on` is a boolean,
//! `0644` is 420, a key `1:` is the string "1", and a `<<` replaces what stands above it. serde-saphyr reads YAML
//! 1.2 with options towards 1.1, and none for what `0b-1`, `1.0` or a float as a key become, nor for the order of
//! merges. So a [`Value`] is built here from the events of granit-parser, the parser below
//! serde-saphyr, with go-yaml's rules for scalars. serde-saphyr writes.
//!
//! What kubectl reads is not read as anything else here (`tests/yaml/` holds what kubectl reads), but some is refused:
//! - where kubectl drops something in silence: a key twice, or more after the end of a document;
//! - where YAML 1.1 and 1.2 differ and nobody means the difference: `{a:,}`, `{?a}`, `[!x,]`, `[-]`, `'a'#b`, a tab
//!   before an item of a flow collection, a BOM within the text, a raw U+2028 or U+2029;
//! - what is made to exhaust its reader: [`MAX_DEPTH`], and a limit to what aliases repeat.
//!
//! The other way round, some of what only YAML 1.2 allows is read although kubectl refuses it (`"\/"`, `[:80]`), and a
//! first line like `---#x` is always a separator with a comment, as it is to kubectl everywhere else.
//!
//! ```
//! use agentteam_webhook::yaml;
//!
//! let documents = yaml::documents("defaultMode: 0644\n---\non: yes\n");
//! assert_eq!(documents[0].parse()?, serde_json::json!({"defaultMode": 420}));
//! assert_eq!(documents[1].parse()?, serde_json::json!({"true": true}));
//! assert_eq!(yaml::to_string(&serde_json::json!({"on": "0644"})), "\"on\": \"0644\"\n");
//! # Ok::<(), yaml::Error>(())
//! ```

mod json;
mod resolve;
mod split;
mod tree;
mod write;

use std::borrow::Cow;

use serde_json::Value;

pub use split::{Document, documents};
pub use write::to_string;

/// How deep collections may nest. A Pod has some ten levels.
pub const MAX_DEPTH: usize = 100;

/// What some editors put before the text.
const BOM: char = '\u{feff}';

/// Why a document cannot be read, and where. Of the document it holds a key or a tag at most, because documents
/// hold secrets.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct Error {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is not YAML.
    #[error("{0}")]
    Syntax(String),
    /// More than spaces and a comment behind `---`.
    #[error("only a comment may follow `---` on its line")]
    Separator,
    /// `...` or the end of a flow collection, and then more.
    #[error("a second document starts without a `---` line before it")]
    SecondDocument,
    /// A control character, a line break of YAML 1.1 only, or a BOM where no document begins.
    #[error("the character U+{0:04X} is not allowed: write it as an escape in double quotes")]
    Character(u32),
    /// The same key in one mapping.
    #[error("the key {0:?} stands twice in one mapping")]
    Duplicate(String),
    /// A key that JSON cannot have.
    #[error("a key must be a string, a number or a boolean")]
    Key,
    /// YAML 1.1 would end the name early.
    #[error("an anchor's name may have ASCII letters, digits, `_` and `-` only")]
    Anchor,
    /// YAML 1.1 and 1.2 differ.
    #[error(
        "within brackets and braces, quotes or a space are needed here to tell the text from `?` or `:`"
    )]
    Flow,
    /// What `<<` names is not a mapping.
    #[error("`<<` must name a mapping or a list of mappings")]
    Merge,
    /// A tag that says otherwise than the text.
    #[error("this is not a value of the type !!{0}")]
    Tag(String),
    /// Text that `!!binary` does not fit.
    #[error("this is not base64, as !!binary says")]
    Base64,
    /// JSON has no infinity and no NaN.
    #[error("infinity and NaN are not allowed")]
    NotFinite,
    /// An anchor within its own value.
    #[error("an alias stands within what it names")]
    Recursion,
    /// A bomb of aliases.
    #[error("the aliases repeat too much")]
    TooManyAliases,
    /// More than [`MAX_DEPTH`] levels.
    #[error("collections nest deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Reads one document; an empty one is null.
///
/// # Errors
/// When it is not YAML as kubectl reads it, is ambiguous, or is made to exhaust its reader.
pub fn parse(document: &str) -> Result<Value, Error> {
    let text = document.trim_start_matches(BOM);
    let content = below_separator(text)?;
    let skipped = usize::from(content.len() < text.len());
    let (value, skipped) = match json::read(content) {
        Some(value) => (value, skipped),
        // kubectl takes this line for a separator and drops it; a parser of YAML takes it for text.
        None if text.starts_with("---#") => (read(content), skipped),
        None => (read(text), 0),
    };
    value.map_err(|error| Error {
        line: error.line + skipped,
        ..error
    })
}

fn read(text: &str) -> Result<Value, Error> {
    check_characters(text)?;
    tree::read(&kubectl_lines(text))
}

/// What stands below the `---` line, if there is one.
fn below_separator(text: &str) -> Result<&str, Error> {
    let (line, content) = text.split_once('\n').unwrap_or((text, ""));
    match line.strip_prefix("---").map(str::trim_start) {
        None => Ok(text),
        Some(after) if after.is_empty() || after.starts_with('#') => Ok(content),
        Some(_) => Err(Error {
            line: 1,
            column: 4,
            problem: Problem::Separator,
        }),
    }
}

/// The characters that go-yaml v2 takes, less the two that it takes for line breaks and keeps.
fn check_characters(text: &str) -> Result<(), Error> {
    let is_allowed = |char: char| {
        matches!(char, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{2027}'
            | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    };
    for (number, line) in text.split('\n').enumerate() {
        let mut is_start = true;
        for (index, char) in line.chars().enumerate() {
            if !is_allowed(char) || (is_start && char == BOM) {
                return Err(Error {
                    line: number + 1,
                    column: index + 1,
                    problem: Problem::Character(u32::from(char)),
                });
            }
            is_start &= char.is_whitespace();
        }
    }
    Ok(())
}

/// The lines as kubectl gives them to its parser and that counts them, each ended by a line feed.
fn kubectl_lines(text: &str) -> Cow<'_, str> {
    if text.ends_with('\n') && !text.contains(['\r', '\u{85}']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n"); // kubectl
    let text = text.replace("\r\n", "\n"); // libyaml
    let mut text = text.replace(['\r', '\u{85}'], "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Cow::Owned(text)
}
