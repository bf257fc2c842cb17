//! What a scalar is: `resolve.go` of go-yaml v2, rule by rule.
//!
//! Some of the rules are accidents (`0b-1` is −1, `08` is the float 8, a float as a key is written with
//! 32 bits), but a Pod means what kubectl makes of it, accidents included.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

use super::Problem;

/// Go's decoder forgives bits that are left over after the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A scalar with the types that go-yaml knows. As keys and as values they are written differently.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX` only.
    Uint(u64),
    Float(f64),
    Text(String),
}

/// The type of a scalar that has the tag `!!name`.
pub(super) fn tagged(name: &str, text: &str) -> Result<Scalar, Problem> {
    let plain = match name {
        "bool" | "int" | "float" | "null" | "timestamp" => plain(text),
        "binary" => return binary(text),
        _ => return Ok(Scalar::Text(text.to_owned())),
    };
    #[expect(clippy::cast_precision_loss, reason = "it is what the tag asks for")]
    match (name, plain) {
        ("bool", it @ Scalar::Bool(_))
        | ("int", it @ (Scalar::Int(_) | Scalar::Uint(_)))
        | ("float", it @ Scalar::Float(_))
        | ("null", it @ Scalar::Null) => Ok(it),
        ("timestamp", Scalar::Text(text)) if starts_with_year(&text) => Ok(Scalar::Text(text)),
        ("float", Scalar::Int(number)) => Ok(Scalar::Float(number as f64)),
        _ => Err(Problem::Tag(name.to_owned())),
    }
}

/// The type of a scalar that has neither quotes nor a tag.
pub(super) fn plain(text: &str) -> Scalar {
    let scalar = match text.as_bytes() {
        [] => Some(Scalar::Null),
        [b'+' | b'-' | b'0'..=b'9', ..] => word(text).or_else(|| number(text)),
        [b'.', ..] => word(text).or_else(|| fraction(text)),
        [
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~',
            ..,
        ] => word(text),
        _ => None,
    };
    scalar.unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

fn word(text: &str) -> Option<Scalar> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Scalar> {
    let text = text.replace('_', "");
    integer(&text)
        .or_else(|| float(&text))
        .or_else(|| signed_binary(&text))
}

/// Go's `ParseInt` and, without a sign, `ParseUint`, both with base 0.
fn integer(text: &str) -> Option<Scalar> {
    let (sign, unsigned) = match text.as_bytes() {
        [sign @ (b'+' | b'-'), ..] => (Some(*sign), text.get(1..)?),
        _ => (None, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, unsigned.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, unsigned.get(2..)?),
        [b'0', b'b' | b'B', _, ..] => (2, unsigned.get(2..)?),
        [b'0', _, ..] => (8, unsigned.get(1..)?),
        _ => (10, unsigned),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match sign {
        Some(b'-') => 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int),
        Some(_) => i64::try_from(magnitude).ok().map(Scalar::Int),
        None => Some(i64::try_from(magnitude).map_or(Scalar::Uint(magnitude), Scalar::Int)),
    }
}

/// A decimal number within the range of a float: `1e999` is text.
fn float(text: &str) -> Option<Scalar> {
    let numeric = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let float: f64 = (text.bytes().all(numeric)).then(|| text.parse().ok())??;
    float.is_finite().then_some(Scalar::Float(float))
}

/// go-yaml's own reading of `0b` allows a sign behind the prefix, where Go's does not.
fn signed_binary(text: &str) -> Option<Scalar> {
    let digits = text.strip_prefix("0b")?;
    digits.strip_prefix(['+', '-'])?.bytes().next()?;
    i64::from_str_radix(digits, 2).ok().map(Scalar::Int)
}

/// A number that starts with its point. Here an underscore must stand between two digits.
fn fraction(text: &str) -> Option<Scalar> {
    let bytes = text.as_bytes();
    let between = |window: &[u8]| match window {
        [before, b'_', after] => before.is_ascii_digit() && after.is_ascii_digit(),
        _ => true,
    };
    if bytes.ends_with(b"_") || !bytes.windows(3).all(between) {
        return None;
    }
    float(&text.replace('_', ""))
}

/// What go-yaml looks at first in a timestamp. It stays text.
fn starts_with_year(text: &str) -> bool {
    text.split_once('-')
        .is_some_and(|(year, _)| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()))
}

fn binary(text: &str) -> Result<Scalar, Problem> {
    let encoded: String = text.chars().filter(|c| !"\r\n".contains(*c)).collect();
    let decoded = BASE64.decode(encoded).map_err(|_| Problem::Base64)?;
    let mut text = String::with_capacity(decoded.len());
    for chunk in decoded.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    Ok(Scalar::Text(text))
}

impl Scalar {
    pub(super) fn into_value(self) -> Result<Value, Problem> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(bool),
            Self::Int(number) => Value::from(number),
            Self::Uint(number) => Value::from(number),
            Self::Float(float) => Value::Number(json_number(float).ok_or(Problem::NotFinite)?),
            Self::Text(text) => Value::String(text),
        })
    }

    pub(super) fn into_key(self) -> Result<String, Problem> {
        match self {
            Self::Bool(bool) => Ok(bool.to_string()),
            Self::Int(number) => Ok(number.to_string()),
            Self::Float(float) => Ok(float_key(float)),
            Self::Text(text) => Ok(text),
            Self::Null | Self::Uint(_) => Err(Problem::Key),
        }
    }
}

/// The number that Go's JSON makes of a float: `1.0` becomes `1`.
fn json_number(float: f64) -> Option<Number> {
    let digits = float.to_string();
    if float == 0.0 || float.abs() >= 1e21 {
        return Number::from_f64(float).map(|zero| match zero.as_f64() {
            Some(0.0) if float.is_sign_positive() => Number::from(0),
            _ => zero,
        });
    }
    let whole = digits.parse::<i64>().map(Number::from);
    let whole = whole.or_else(|_| digits.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| Number::from_f64(float))
}

/// Go's `FormatFloat(key, 'g', -1, 32)`.
fn float_key(float: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the 32 of the call above")]
    let float = float as f32;
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return float.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
