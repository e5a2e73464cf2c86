//! Days of publication, as exact as dumps have them.
//!
//! Its own file because a date may be a year, and is then a range of days to whoever filters by it.

/// Reads a publication date: `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, or the last with a time after it.
/// Gives the first and the last day it may mean, and the date as exact as it was.
///
/// # Errors
/// A sentence that says what was got and wanted.
pub fn parse_date(text: &str) -> Result<PublishedRange, String> {
    let wrong = || format!("got the date {text:?}, wanted YYYY, YYYY-MM or YYYY-MM-DD");
    let date = text.trim().split(['T', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |part: &str, count: usize| {
        (part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u16>().ok())?
    };
    let year = i32::from(parts.first().and_then(|year| digits(year, 4)).ok_or_else(wrong)?);
    let month = |part: &str| {
        let number = digits(part, 2).and_then(|month| u8::try_from(month).ok()).ok_or_else(wrong)?;
        time::Month::try_from(number).map_err(|_| wrong())
    };
    let range = match parts[1..] {
        [] => (time::Month::January, 1, time::Month::December, 31),
        [part] => {
            let month = month(part)?;
            (month, 1, month, month.length(year))
        }
        [part, day] => {
            let month = month(part)?;
            let day = digits(day, 2).and_then(|day| u8::try_from(day).ok()).ok_or_else(wrong)?;
            (month, day, month, day)
        }
        _ => return Err(wrong()),
    };
    let day =
        |month, day| time::Date::from_calendar_date(year, month, day).map(written_day).map_err(|_| wrong());
    Ok(PublishedRange { first: day(range.0, range.1)?, last: day(range.2, range.3)?, date: date.into() })
}

/// A day as it is written here: `YYYY-MM-DD`.
pub fn written_day(date: time::Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// The days that a date may mean: all of a year for `2021`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRange {
    /// `YYYY-MM-DD`.
    pub first: String,
    /// `YYYY-MM-DD`.
    pub last: String,
    /// The date itself, as exact as it was given.
    pub date: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_exact_as_they_are() {
        let range = |text| parse_date(text).map(|range| (range.first, range.last));
        assert_eq!(range("2024"), Ok(("2024-01-01".into(), "2024-12-31".into())));
        assert_eq!(range("2024-02"), Ok(("2024-02-01".into(), "2024-02-29".into())));
        assert_eq!(range("2023-07-09T10:00:00Z"), Ok(("2023-07-09".into(), "2023-07-09".into())));
        for wrong in ["2023-02-30", "2023-13", "23", "", "yesterday", "2023-1-1", "+023", "2023-01-01-01"] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }
}
