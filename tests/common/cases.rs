//! How many cases a property is tried with.

/// As many as `PROPTEST_CASES` says, or a few seconds' worth.
pub fn cases() -> u32 {
    let number = std::env::var("PROPTEST_CASES");
    number.map_or(2_000, |number| number.parse().unwrap())
}
