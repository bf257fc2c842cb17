//! A value becomes text. serde-saphyr quotes for readers of YAML 1.1 and 1.2 alike; two things only kubectl minds.

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

/// Writes a value as one document in the style of `kubectl get -o yaml`: no string can be taken for anything else by a
/// reader of YAML 1.1 or 1.2.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        folded_wrap_chars: usize::MAX,
    };
    // Nothing in a `Value` can fail to be written; if it did, JSON is YAML too.
    let text = serde_saphyr::to_string_with_options(&Node(value), options)
        .unwrap_or_else(|_| format!("{value:#}\n"));
    if text.starts_with("---") || text.contains("\n---") {
        indented(&text)
    } else {
        text
    }
}

/// The same document one column further in, where kubectl does not take a key like `---` for the end of the document.
fn indented(text: &str) -> String {
    let lines = text.split_inclusive('\n').flat_map(|line| {
        let indent = if line == "\n" { "" } else { " " };
        [indent, line]
    });
    lines.collect()
}

struct Node<'a>(&'a Value);

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => Text(text).serialize(serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Node)),
            Value::Object(map) => {
                serializer.collect_map(map.iter().map(|(key, value)| (Text(key), Node(value))))
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // After `|`, libyaml takes the tab for indentation.
        if self.0.trim_start_matches([' ', '\n']).starts_with('\t') {
            DoubleQuoted(self.0).serialize(serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}
