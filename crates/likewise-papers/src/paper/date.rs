//! Publication dates. A date can be as imprecise as a year; filters by date treat an imprecise date as a range of days.

/// Parses a publication date: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. Everything after the first `T` or space, such as a
/// time, is ignored. Returns the range of days that the date stands for.
///
/// # Errors
/// Returns a message if the text has another form or the date does not exist in the calendar.
pub fn parse_date(text: &str) -> Result<PublishedRange, String> {
    let wrong = || format!("the date must be YYYY, YYYY-MM or YYYY-MM-DD (got {text:?})");
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
        |month, day| time::Date::from_calendar_date(year, month, day).map(format_day).map_err(|_| wrong());
    Ok(PublishedRange { first: day(range.0, range.1)?, last: day(range.2, range.3)?, date: date.into() })
}

/// Reads a date in any of the usual formats, such as `May 2018`, `7 June 2018`, `2018/06/07`, `20180607`, `c2018`, or
/// seconds or milliseconds since 1970. Returns the date as `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, as precisely as the text
/// is unambiguous. `07.06.2018` gives only the year, because countries differ on whether `07` or `06` is the month.
/// `None` if no year can be read from the text.
pub fn read_date(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(".0");
    // Only a time is allowed after the date, because any other text could be part of the date.
    let is_time = |rest: &str| rest.is_empty() || rest.starts_with('T') || rest.contains(':');
    let whole = || parse_date(text).ok().map(|range| range.date).filter(|date| is_time(&text[date.len()..]));
    let in_order = || year_first(text).or_else(|| month_named(text)).or_else(|| since_1970(text));
    whole().or_else(in_order).or_else(|| year_of(text))
}

/// Returns `YYYY-MM-DD` if this is a valid date, or else `YYYY-MM`, or else `YYYY`. `None` if the year is not valid.
fn most_precise(year: &str, month: u8, day: Option<u8>) -> Option<String> {
    let to_day = day.map(|day| format!("{year}-{month:02}-{day:02}"));
    let candidates = [to_day, Some(format!("{year}-{month:02}")), Some(year.to_string())];
    candidates.into_iter().flatten().find(|date| parse_date(date).is_ok())
}

/// Reads a date that begins with the year: `2018/6/7`, `2018-06-00`, `2018.06` or `20180607`. Text after the date is
/// ignored.
fn year_first(text: &str) -> Option<String> {
    let date = text.split(['T', ' ', ',']).next().unwrap_or_default();
    if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
        let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
        return year_of(year).and_then(|year| most_precise(&year, month.parse().ok()?, day.parse().ok()));
    }
    let mut parts = date.split(['-', '/', '.']);
    let year = parts.next().filter(|year| year.len() == 4).and_then(year_of)?;
    let month = parts.next()?.parse().ok()?;
    most_precise(&year, month, parts.next().and_then(|day| day.parse().ok()))
}

/// The first three letters of the English month names, in lower case.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Returns the number of a month, from 1 to 12. `month` is a number from 1 to 12, or a text that begins with the first
/// three letters of an English month name. `None` if it is neither.
pub(crate) fn month_number(month: &str) -> Option<u8> {
    let start = month.trim().get(..3).unwrap_or(month).to_lowercase();
    let named = MONTHS.iter().position(|name| *name == start).map(|index| index as u8 + 1);
    named.or_else(|| month.trim().parse().ok().filter(|month| (1..=12).contains(month)))
}

/// Reads `May 2018`, `June 7, 2018` or `7 Jun 2018`: an English month name, a year, and optionally a day.
fn month_named(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split_whitespace()
        // Skip times of day: their numbers are not days of a month.
        .filter(|word| !word.contains(':'))
        .flat_map(|word| word.split(|character: char| !character.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let named = |word: &String| MONTHS.iter().position(|month| word.starts_with(month));
    let mut months = words.iter().filter_map(named);
    // With two months (`May-June 2018`) or two years, the month is ambiguous.
    let (month, None) = (months.next()?, months.next()) else { return None };
    let mut years = words.iter().filter(|word| word.len() == 4).filter_map(|word| year_of(word));
    let (year, None) = (years.next()?, years.next()) else { return None };
    let days: Vec<u8> =
        words.iter().filter(|word| word.len() <= 2).filter_map(|word| word.parse().ok()).collect();
    most_precise(&year, u8::try_from(month + 1).ok()?, if let [day] = days[..] { Some(day) } else { None })
}

/// Returns the UTC day of a Unix time in seconds or in milliseconds. `None` if the number is outside the two ranges
/// below, because it is then probably not a time.
fn since_1970(text: &str) -> Option<String> {
    let number: i64 = text.parse().ok()?;
    let seconds = match number {
        100_000_000..10_000_000_000 => number,
        100_000_000_000..10_000_000_000_000 => number / 1000,
        _ => return None,
    };
    time::OffsetDateTime::from_unix_timestamp(seconds).ok().map(|time| format_day(time.date()))
}

/// Returns the first four-digit number from 1500 to 2199 in a text.
fn year_of(text: &str) -> Option<String> {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    numbers.find(|number| number.len() == 4 && ("1500"..="2199").contains(number)).map(str::to_string)
}

/// Formats a day as `YYYY-MM-DD`.
pub fn format_day(date: time::Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// The range of days that a date stands for, such as a whole year for `2021`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRange {
    /// First day, `YYYY-MM-DD`.
    pub first: String,
    /// Last day, `YYYY-MM-DD`.
    pub last: String,
    /// The date as it was written, without the time: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    pub date: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_from_numbers_and_names() {
        assert_eq!(
            ["Jan", "december", "07", "13", ""].map(month_number),
            [Some(1), Some(12), Some(7), None, None]
        );
    }

    #[test]
    fn unusual_dates_are_read_as_precisely_as_they_are_unambiguous() {
        for (written, expected) in [
            ("2018", "2018"),
            ("2018-06-07T10:11:12+02:00", "2018-06-07"),
            ("2018-06-07 10:11:12.123456", "2018-06-07"),
            ("May 2018", "2018-05"),
            ("2018 Sept", "2018-09"),
            ("June 7, 2018", "2018-06-07"),
            ("Thu, 7 Jun 2018 10:11:12 GMT", "2018-06-07"),
            ("2018/06/07", "2018-06-07"),
            ("2018/6", "2018-06"),
            ("20180607", "2018-06-07"),
            ("2018-6-7", "2018-06-07"),
            ("2018-06-00", "2018-06"),
            ("2018-13-45", "2018"),
            ("07.06.2018", "2018"),
            ("2018-W23", "2018"),
            ("c2018", "2018"),
            ("[2018]", "2018"),
            ("2018-2019", "2018"),
            ("2018 May-Jun", "2018"),
            ("Spring-Summer 1975", "1975"),
            ("2018.0", "2018"),
            ("1528329600", "2018-06-07"),
            ("1528329600000", "2018-06-07"),
        ] {
            assert_eq!(read_date(written).as_deref(), Some(expected), "{written}");
        }
        for undated in ["n.d.", "", "soon", "12", "99999", "0000-00-00"] {
            assert_eq!(read_date(undated), None, "{undated}");
        }
    }

    #[test]
    fn imprecise_dates_are_ranges_of_days() {
        let range = |text| parse_date(text).map(|range| (range.first, range.last));
        assert_eq!(range("2024"), Ok(("2024-01-01".into(), "2024-12-31".into())));
        assert_eq!(range("2024-02"), Ok(("2024-02-01".into(), "2024-02-29".into())));
        assert_eq!(range("2023-07-09T10:00:00Z"), Ok(("2023-07-09".into(), "2023-07-09".into())));
        for wrong in ["2023-02-30", "2023-13", "23", "", "yesterday", "2023-1-1", "+023", "2023-01-01-01"] {
            assert!(parse_date(wrong).is_err(), "{wrong}");
        }
    }
}
