//! How much a paper counts by its age, where the new is wanted.
//!
//! Its own file because it knows what a day of publication may be: exact, a month, a year, or unknown.

use time::OffsetDateTime;

/// Ages in half-lives of papers whose age nobody knows: what is not known is not new.
const UNKNOWN: f32 = 2.0;

/// Today, in years.
pub fn today() -> f32 {
    let date = OffsetDateTime::now_utc();
    date.year() as f32 + f32::from(date.ordinal() - 1) / 365.25
}

/// What a score is multiplied by: a half for each `half_life` of years since a paper was published, 1 of one that is
/// to come.
pub fn recency(published: Option<&str>, half_life: f32, today: f32) -> f32 {
    let age = published.and_then(year).map_or(UNKNOWN, |year| (today - year).max(0.0) / half_life);
    (-age).exp2()
}

/// When a day, a month or a year was, at its middle.
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
    fn half_is_left_after_each_half_life() {
        let of = |published| recency(published, 2.0, 2020.5);
        let near = |got: f32, wanted: f32| assert!((got - wanted).abs() < 2e-3, "{got}, wanted {wanted}");
        near(of(Some("2018-07-02")), 0.5);
        near(of(Some("2016")), 0.25);
        near(of(Some("2019-06")), 0.5_f32.powf(0.52));
        near(of(None), 0.25);
        near(of(Some("someday")), 0.25);
        assert_eq!((of(Some("2031")), of(Some("2020-12"))), (1.0, 1.0));
        assert!((2026.0..2200.0).contains(&today()), "{}", today());
    }
}
