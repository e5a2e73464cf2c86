//! ALBERT (Lan et al.): BERT whose layers all have the same weights, and whose word embeddings are narrower than its
//! token vectors.

use serde::Deserialize;

/// The name of the layer that widens the embeddings.
pub const PROJECTION: &str = "encoder.embedding_hidden_mapping_in";

/// The fields of config.json that say how layers share weights.
#[derive(Deserialize)]
pub struct Groups {
    #[serde(default = "one")]
    num_hidden_groups: usize,
    #[serde(default = "one")]
    inner_group_num: usize,
}

fn one() -> usize {
    1
}

impl Groups {
    /// Checks that all layers have the same weights, as in every published model.
    ///
    /// # Errors
    /// Returns a message that names the fields if they do not.
    pub fn check(&self) -> Result<(), String> {
        match (self.num_hidden_groups, self.inner_group_num) {
            (1, 1) => Ok(()),
            (groups, inner) => {
                Err(format!("num_hidden_groups and inner_group_num must be 1 (got {groups} and {inner})"))
            }
        }
    }
}

/// Returns the name that ALBERT gives to the tensor that BERT calls `name`.
pub fn tensor_name(name: &str) -> String {
    const NAMES: [(&str, &str); 8] = [
        ("attention.self.query.", "attention.query."),
        ("attention.self.key.", "attention.key."),
        ("attention.self.value.", "attention.value."),
        ("attention.output.dense.", "attention.dense."),
        ("attention.output.LayerNorm.", "attention.LayerNorm."),
        ("intermediate.dense.", "ffn."),
        ("output.dense.", "ffn_output."),
        ("output.LayerNorm.", "full_layer_layer_norm."),
    ];
    let Some((before, layer)) = name.split_once("encoder.layer.") else { return name.to_string() };
    let Some((_, rest)) = layer.split_once('.') else { return name.to_string() };
    let renamed =
        NAMES.iter().find_map(|(bert, albert)| Some(format!("{albert}{}", rest.strip_prefix(bert)?)));
    let rest = renamed.unwrap_or_else(|| rest.into());
    format!("{before}encoder.albert_layer_groups.0.albert_layers.0.{rest}")
}

#[cfg(test)]
mod tests {
    use super::tensor_name;

    #[test]
    fn tensor_names_of_every_layer_become_those_of_the_only_layer() {
        let layer = "encoder.albert_layer_groups.0.albert_layers.0";
        assert_eq!(tensor_name("encoder.layer.7.output.dense.bias"), format!("{layer}.ffn_output.bias"));
        assert_eq!(
            tensor_name("albert.encoder.layer.11.attention.output.dense.weight"),
            format!("albert.{layer}.attention.dense.weight")
        );
        assert_eq!(tensor_name("embeddings.LayerNorm.weight"), "embeddings.LayerNorm.weight");
    }
}
