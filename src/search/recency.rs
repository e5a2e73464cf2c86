//! Computes the factor by which a paper's age lowers its score.
//!
//! A publication date can be a day, a month or a year, or can be missing.

use time::OffsetDateTime;

/// Age of papers without a valid date, in half-lives: an undated paper must not rank as new.
const UNKNOWN_AGE: f32 = 2.0;

/// Today's date in years, with a fraction: the middle of 2025 is 2025.5.
pub fn today() -> f32 {
    let date = OffsetDateTime::now_utc();
    date.year() as f32 + f32::from(date.ordinal() - 1) / 365.25
}

/// The factor that a score is multiplied by, 0 to 1. It halves with each `half_life` years since publication, and is 1
/// for a date in the future. Without a valid date, it is 0.25.
pub fn recency(published: Option<&str>, half_life: f32, today: f32) -> f32 {
    let age = published.and_then(year).map_or(UNKNOWN_AGE, |year| (today - year).max(0.0) / half_life);
    (-age).exp2()
}

/// A date (`YYYY-MM-DD`, `YYYY-MM` or `YYYY`) in years; the middle of the month if the day is missing, the middle of
/// the year if the month is missing. `None` if the year is not a number.
fn year(published: &str) -> Option<f32> {
    let mut parts = published.split('-').map(str::parse::<f32>);
    let year = parts.next()?.ok()?;
    Some(match (parts.next().and_then(Result::ok), parts.next().and_then(Result::ok)) {
        (Some(month), Some(day)) => year + (month - 1.0) / 12.0 + (day - 1.0) / 365.25,
        (Some(month), None) => year + (month - 0.5) / 12.0,
        (None, _) => year + 0.5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recency_halves_with_each_half_life() {
        let of = |published| recency(published, 2.0, 2020.5);
        let near = |got: f32, expected: f32| {
            assert!((got - expected).abs() < 2e-3, "got {got}, expected {expected}");
        };
        near(of(Some("2018-07-02")), 0.5);
        near(of(Some("2016")), 0.25);
        near(of(Some("2019-06")), 0.5_f32.powf(0.52));
        near(of(None), 0.25);
        near(of(Some("someday")), 0.25);
        assert_eq!((of(Some("2031")), of(Some("2020-12"))), (1.0, 1.0));
        assert!((2026.0..2200.0).contains(&today()), "{}", today());
    }
}
