//! How deeply JSON is nested, counted without reading it.
//!
//! The JSON reader bounds its own recursion, but skips values that nobody asked for without counting.

/// Whether brackets are nested more than `most` levels deep. Brackets in strings do not count.
pub(super) fn is_deeper_than(json: &[u8], most: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => {
                        bytes.next();
                    }
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_deeper_than;

    #[test]
    fn brackets_count_and_strings_do_not() {
        assert!(!is_deeper_than(br#"{"a": [1, {"b": "[[[[ \" [[["}]}"#, 3));
        assert!(is_deeper_than(br#"{"a": [1, {"b": 1}]}"#, 2));
        assert!(!is_deeper_than(b"[][][][][]", 1));
        assert!(!is_deeper_than(b"]]]]\"\\", 1));
        assert!(is_deeper_than(&b"[".repeat(100_000), 128));
    }
}
