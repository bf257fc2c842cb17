//! A JSON patch that only adds.

use json_patch::{AddOperation, PatchOperation};
use jsonptr::PointerBuf;
use serde::Serialize;
use serde_json::Value;

/// Operations of RFC 6902, each of them `add`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Patch(json_patch::Patch);

impl Patch {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operations.
    #[must_use]
    pub fn operations(&self) -> &[PatchOperation] {
        &self.0
    }

    /// Applies the patch to the JSON that it was made for.
    ///
    /// # Errors
    /// When `target` is other JSON.
    pub fn apply(&self, target: &mut Value) -> Result<(), json_patch::PatchError> {
        json_patch::patch(target, &self.0)
    }

    /// Adds `value` at the place that `tokens` lead to, replacing what is there.
    pub(super) fn set(&mut self, tokens: &[&str], value: Value) {
        let path = PointerBuf::from_tokens(tokens.iter().copied());
        self.0
            .0
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Adds `items` at the end of the list that `tokens` lead to, and makes the list where there is none.
    pub(super) fn append(&mut self, tokens: &[&str], exists: bool, items: Vec<Value>) {
        if exists {
            let end = [tokens, &["-"]].concat();
            for item in items {
                self.set(&end, item);
            }
        } else if !items.is_empty() {
            self.set(tokens, Value::Array(items));
        }
    }

    /// Adds `items` before the item at `index` of the list that `tokens` lead to, and makes the list where there is none.
    pub(super) fn insert(
        &mut self,
        tokens: &[&str],
        exists: bool,
        index: usize,
        items: Vec<Value>,
    ) {
        if !exists {
            return self.append(tokens, exists, items);
        }
        for (offset, item) in items.into_iter().enumerate() {
            self.set(&[tokens, &[&(index + offset).to_string()]].concat(), item);
        }
    }
}
