//! A checksum over rows that does not depend on their order, nor on how a file lays them out.

use sha2::{Digest, Sha256};

use crate::store::Value;

/// How many rows there are, and the sum of their digests.
///
/// A row's digest is the SHA-256 over its values in the columns' order: a byte 0 for null, else a byte 1, the length of what
/// follows in 8 bytes, and the value: 16 bytes of a UUID, 1 byte (0 or 1) of a boolean, 8 bytes of a whole number or of a
/// time in microseconds since 1970, UTF-8 of everything else; numbers are big-endian. The first 16 bytes of each digest,
/// as a big-endian number, are added modulo 2^128. So equal rows count as often as they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowSum {
    /// Rows.
    pub rows: u64,
    sum: u128,
}

impl RowSum {
    /// Adds a row.
    pub fn add(&mut self, row: &[Value]) {
        let mut digest = Sha256::new();
        for value in row {
            match value {
                Value::Null => digest.update([0]),
                Value::Bool(on) => update(&mut digest, &[u8::from(*on)]),
                Value::Int(number) => update(&mut digest, &number.to_be_bytes()),
                Value::Uuid(id) => update(&mut digest, id.as_bytes()),
                Value::Text(text) => update(&mut digest, text.as_bytes()),
            }
        }
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finalize()[..16]);
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(first));
        self.rows += 1;
    }

    /// The checksum, as 32 hexadecimal digits.
    pub fn checksum(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

fn update(digest: &mut Sha256, value: &[u8]) {
    digest.update([1]);
    digest.update((value.len() as u64).to_be_bytes());
    digest.update(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum<'a>(rows: impl IntoIterator<Item = &'a Vec<Value>>) -> RowSum {
        let mut sum = RowSum::default();
        rows.into_iter().for_each(|row| sum.add(row));
        sum
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u128>().prop_map(|id| Value::Uuid(uuid::Uuid::from_u128(id))),
            ".{0,9}".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_number_does(rows in prop::collection::vec(prop::collection::vec(value(), 3), 1..9)) {
            let whole = sum(&rows);
            prop_assert_eq!(whole, sum(rows.iter().rev()));
            let twice = sum(rows.iter().chain([&rows[0]]));
            prop_assert_ne!(whole.checksum(), twice.checksum());
        }

        #[test]
        fn other_rows_have_another_sum(one in prop::collection::vec(value(), 3), other in prop::collection::vec(value(), 3)) {
            prop_assert_eq!(one == other, sum([&one]) == sum([&other]));
        }
    }

    #[test]
    fn values_keep_their_places() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rows = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![text("abc"), Value::Null],
            vec![Value::Null, text("abc")],
            vec![text("abc"), text("")],
        ];
        let sums: std::collections::BTreeSet<String> = rows.iter().map(|row| sum([row]).checksum()).collect();
        assert_eq!(sums.len(), rows.len());
        // As `hashlib.sha256(bytes.fromhex("01" "0000000000000002" "6162" "01" "0000000000000001" "63"))` says.
        assert_eq!(sum([&rows[0]]).checksum(), "dd6ebd20e120d352082cdd552622abb7");
    }
}
