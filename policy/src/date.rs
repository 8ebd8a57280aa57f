//! Calendar dates of contracts and reviews: `YYYY-MM-DD`, in UTC. It never asks what day it is.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A day of the Gregorian calendar, from the year 1 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    /// Days since 1970-01-01.
    days: i64,
}

/// Not a day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a date like 2026-11-22")]
pub struct DateError;

impl Date {
    /// Parses `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`DateError`].
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<i64>().ok().filter(|_number| is_number)
        };
        let (Some(year), Some(month), Some(day)) = (number(4), number(2), number(2)) else {
            return Err(DateError);
        };
        let date = Self::from_civil(year, month, day);
        // What is no day of the calendar comes back as another.
        let is_day = parts.next().is_none() && year > 0 && date.civil() == (year, month, day);
        if is_day { Ok(date) } else { Err(DateError) }
    }

    /// The day that is `days` after 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i64) -> Self {
        Self { days }
    }

    /// Days from this one to `other`; negative when it is before.
    #[must_use]
    pub const fn days_until(self, other: Self) -> i64 {
        other.days.saturating_sub(self.days)
    }

    /// Years begin in March, so that the day that is sometimes missing is the last.
    fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year.saturating_sub(1) } else { year };
        let month = month.saturating_add(9).rem_euclid(12);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = month.saturating_mul(153).saturating_add(2) / 5;
        let of_year = of_year.saturating_add(day).saturating_sub(1);
        let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        Self { days: era * 146_097 + days - 719_468 }
    }

    fn civil(self) -> (i64, i64, i64) {
        let days = self.days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (year + era * 400 + later, month, day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        let first = Date::parse("1970-01-01").unwrap();
        assert_eq!(first, Date::from_days(0));
        let mut before = Date::parse("1969-12-31").unwrap();
        for days in 0..146_097 {
            let date = Date::from_days(days);
            assert_eq!(Date::parse(&date.to_string()), Ok(date));
            assert_eq!(before.days_until(date), 1);
            before = date;
        }
        assert_eq!(Date::from_days(20_779).to_string(), "2026-11-22");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-11-22-1",
            "2026-13-01",
            "2026-00-10",
            "2026-02-29",
            "1900-02-29",
            "2026-11-31",
            "2026-11-00",
            "0000-01-01",
            "26-11-22",
            "2026-1-22",
            "2026-11-2x",
            "+026-11-22",
            " 2026-11-22",
        ] {
            assert_eq!(Date::parse(text), Err(DateError), "{text}");
        }
        assert!(Date::parse("2024-02-29").is_ok() && Date::parse("2000-02-29").is_ok());
        assert!(Date::parse("2026-11-22").unwrap() < Date::parse("2026-11-23").unwrap());
    }
}
