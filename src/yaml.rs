//! placeholder until the real one lands
use serde_json::Value;
pub use serde_saphyr::Error;
/// d
pub struct Document<'a> {
    /// t
    pub text: &'a str,
    /// l
    pub line: usize,
}
/// d
pub fn documents(input: &str) -> impl Iterator<Item = Document<'_>> {
    std::iter::once(Document {
        text: input,
        line: 1,
    })
}
/// p
///
/// # Errors
/// e
pub fn parse(document: &str) -> Result<Value, Error> {
    serde_saphyr::from_str(document)
}
/// t
#[must_use]
pub fn to_string(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}
