//! RoBERTa and XLM-RoBERTa (Liu et al.; Conneau et al.): BERT whose positions are counted from the one after padding's.

use super::bert::{Config, Positions};

/// The padding token's number, where config.json does not say it.
const PADDING: u32 = 1;

/// BERT's shape, with RoBERTa's positions.
pub fn shaped(config: Config, padding: Option<u32>) -> Config {
    Config { positions: Positions::AfterPadding(padding.unwrap_or(PADDING)), ..config }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_within_a_text_is_not_counted() {
        let told_by = Positions::AfterPadding(PADDING);
        assert_eq!(told_by.rows(&[0, 9, 1, 7, 2]), [2, 3, 1, 4, 5]);
    }
}
