//! Where kubectl takes one document to end and the next to begin.

use serde_json::Value;

use super::{BOM, Error, json};

/// One document of an input, with the `---` line before it and the comments around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Document<'a> {
    /// The document as it stands in the input, byte for byte.
    pub text: &'a str,
    /// The line of the input that it starts on, counted from 1.
    pub line: usize,
}

impl Document<'_> {
    /// Reads the document.
    ///
    /// # Errors
    /// As [`parse`](super::parse), with lines counted in the whole input.
    pub fn parse(&self) -> Result<Value, Error> {
        super::parse(self.text).map_err(|error| Error {
            line: error.line + self.line - 1,
            ..error
        })
    }

    /// The document with another value: as JSON where it was JSON, else as YAML below the `---` line and the
    /// comments that it starts with.
    #[must_use]
    pub fn with(&self, value: &Value) -> String {
        if json::read(self.text.trim_start_matches(BOM)).is_some() {
            return format!("{value:#}\n");
        }
        let is_head = |(number, line): &(usize, &str)| {
            let line = line.trim_start_matches(BOM);
            (*number == 0 && line.starts_with("---"))
                || line.starts_with('#')
                || line.trim().is_empty()
        };
        let lines = self.text.split_inclusive('\n').enumerate();
        let mut text: String = lines.take_while(is_head).map(|(_, line)| line).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&super::to_string(value));
        text
    }
}

/// Splits an input into its documents; their texts one after the other are the input again.
///
/// kubectl reads JSON objects one after the other for as long as there are any, and splits what is left at lines
/// that start with `---`. A document may be empty or only comments: then its value is null.
#[must_use]
pub fn documents(input: &str) -> Vec<Document<'_>> {
    let mut pieces = Vec::new();
    let mut rest = input;
    while let Some((object, after)) = json_object(rest) {
        pieces.push(object);
        rest = after;
    }
    while !rest.is_empty() {
        let (document, after) = rest.split_at(yaml_end(rest));
        pieces.push(document);
        rest = after;
    }
    let mut line = 1;
    let documents = pieces.into_iter().map(|text| {
        let document = Document { text, line };
        line += text.matches('\n').count();
        document
    });
    documents.collect()
}

/// The JSON object that `text` starts with, and what comes after it and the rest of its line.
fn json_object(text: &str) -> Option<(&str, &str)> {
    let object = text.trim_start_matches(BOM);
    let end = text.len() - object.len() + json::object_end(object)?;
    let after = text.get(end..)?;
    let content = after.trim_start();
    let gap = after.len() - content.len();
    let gap = match after.get(..gap)?.find('\n') {
        Some(newline) if !content.is_empty() => newline + 1,
        _ => gap,
    };
    text.split_at_checked(end + gap)
}

/// Where the next line starts with `---`.
fn yaml_end(text: &str) -> usize {
    text.find("\n---").map_or(text.len(), |newline| newline + 1)
}
