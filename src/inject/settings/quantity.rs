//! Amounts of CPU, memory and disk.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::InvalidSetting;

/// An amount as Kubernetes writes it, not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    text: String,
    pub(super) value: f64,
}

impl Quantity {
    pub(super) fn known(text: &str, value: f64) -> Self {
        Self {
            text: text.to_owned(),
            value,
        }
    }

    /// So many times this amount, in the same unit.
    pub(in crate::inject) fn times(&self, count: usize) -> String {
        let end = unit_start(&self.text);
        let (digits, unit) = self.text.split_at(end);
        match (digits.parse::<f64>(), u32::try_from(count)) {
            (Ok(number), Ok(count)) => format!("{}{unit}", number * f64::from(count)),
            _ => self.text.clone(),
        }
    }

    /// The amount as a number of bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and nobody has more bytes than fit"
    )]
    pub(in crate::inject) fn bytes(&self) -> u64 {
        self.value as u64
    }

    /// The amount as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Eq for Quantity {}

impl Default for Quantity {
    /// Room for a skill of 50 MB, the most that the original operator allows an agent.
    fn default() -> Self {
        Self::known("64Mi", 67_108_864.0)
    }
}

impl Display for Quantity {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Quantity {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSetting::Quantity(text.to_owned());
        let (digits, unit) = text.split_at(unit_start(text));
        let factor: f64 = match unit {
            "m" => 1e-3,
            "" => 1.0,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "Ki" => 1_024.0,
            "Mi" => 1_048_576.0,
            "Gi" => 1_073_741_824.0,
            "Ti" => 1_099_511_627_776.0,
            _ => return Err(invalid()),
        };
        let number: f64 = digits.parse().map_err(|_| invalid())?;
        if number <= 0.0 {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            value: number * factor,
        })
    }
}

fn unit_start(quantity: &str) -> usize {
    quantity
        .find(|found: char| !found.is_ascii_digit() && found != '.')
        .unwrap_or(quantity.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_kubernetes_ones() {
        for (text, value) in [
            ("100m", 0.1),
            ("64Mi", 67_108_864.0),
            ("2", 2.0),
            ("0.5", 0.5),
            ("1G", 1e9),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert!((quantity.value - value).abs() < 1e-9, "{text}");
            assert_eq!(quantity.to_string(), text);
        }
        for bad in [
            "", "0", "-1", "1 Mi", "1mi", "x", "1MiB", "1..2", "inf", "NaN",
        ] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quantity_keeps_its_unit_when_it_is_multiplied() {
        for (text, count, product) in [("64Mi", 16, "1024Mi"), ("0.5G", 3, "1.5G"), ("7", 1, "7")] {
            assert_eq!(text.parse::<Quantity>().unwrap().times(count), product);
        }
    }
}
