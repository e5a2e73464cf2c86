//! RoBERTa and XLM-RoBERTa (Liu et al.; Conneau et al.): BERT whose positions are counted from
//! `padding id + 1`.

use super::bert::{Config, PositionKind};

/// The padding token's id, if config.json has none.
const DEFAULT_PADDING_ID: u32 = 1;

/// Completes a config that was read as BERT's: RoBERTa's positions. `padding_id` is `pad_token_id` of config.json.
pub fn bert_config(config: Config, padding_id: Option<u32>) -> Config {
    let position_kind = PositionKind::AfterPadding(padding_id.unwrap_or(DEFAULT_PADDING_ID));
    Config { position_kind, ..config }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_within_a_text_is_not_counted_as_a_position() {
        let position_kind = PositionKind::AfterPadding(DEFAULT_PADDING_ID);
        assert_eq!(position_kind.position_ids(&[0, 9, 1, 7, 2]), [2, 3, 1, 4, 5]);
    }
}
