//! A calendar month.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};

use super::Invalid;

/// A calendar month of UTC, from 1900-01 to 9999-11: those that may have a partition. Written 2023-05.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// The month of a day.
    ///
    /// # Errors
    /// Where it is not from 1900-01 to 9999-11.
    pub fn of(day: NaiveDate) -> Result<Self, Invalid> {
        let known = (1900..=9999).contains(&day.year()) && (day.year(), day.month()) != (9999, 12);
        day.with_day(1)
            .filter(|_| known)
            .map(Self)
            .ok_or_else(|| Invalid::new("month", format!("{day} is not from 1900-01 to 9999-11")))
    }

    /// The month that lies `months` before that of `now`.
    ///
    /// # Errors
    /// Where it is before 1900.
    pub fn before(now: DateTime<Utc>, months: u32) -> Result<Self, Invalid> {
        let day = now.date_naive().with_day(1).and_then(|first| first.checked_sub_months(Months::new(months)));
        let too_long = || Invalid::new("month", format!("{months} months before {now} are before 1900"));
        Self::of(day.ok_or_else(too_long)?).map_err(|_| too_long())
    }

    /// Its first day.
    pub fn first_day(self) -> NaiveDate {
        self.0
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl FromStr for Month {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day =
            (text.len() == 7).then(|| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok()).flatten();
        Self::of(day.ok_or_else(|| Invalid::new("month", format!("{text:?} is not a month such as 2023-05")))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_written() {
        for good in ["1900-01", "2023-05", "9999-11"] {
            assert_eq!(good.parse::<Month>().map(|month| month.to_string()), Ok(good.to_owned()));
        }
        for bad in ["1899-12", "9999-12", "2023-13", "2023-5", "2023-05-01", "May", "", "+023-05"] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    #[test]
    fn months_are_counted_back_from_a_time() {
        let now: DateTime<Utc> = "2026-03-31T23:59:59Z".parse().expect("a time");
        for (months, expected) in [(0, "2026-03"), (1, "2026-02"), (3, "2025-12"), (24, "2024-03")] {
            assert_eq!(Month::before(now, months).map(|month| month.to_string()), Ok(expected.to_owned()));
        }
        assert!(Month::before(now, 12 * 127).is_err());
        assert!(Month::before(now, u32::MAX).is_err());
    }
}
