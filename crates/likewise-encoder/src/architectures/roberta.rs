//! RoBERTa and XLM-RoBERTa (Liu et al.; Conneau et al.): BERT with positions that are counted from the padding token's
//! id + 1.

use super::bert::{Config, PositionKind};

/// The padding token's id if config.json does not state it.
const DEFAULT_PADDING_ID: u32 = 1;

/// Changes the positions of a config that was read as a config of BERT to those of RoBERTa. `padding_id` is
/// `pad_token_id` of config.json.
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
