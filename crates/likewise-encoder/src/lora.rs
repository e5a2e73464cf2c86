//! Merges a LoRA adapter into the weights of a network: `W + scale · B · A` (Hu et al. 2021, "LoRA", section 4.1).
//!
//! An adapter has two files, in the format of the Python package `peft`: adapter_config.json and
//! adapter_model.safetensors.

use crate::error::{Error, Result};
use crate::model::{LORA_CONFIG, LORA_WEIGHTS};
use candle_core::{DType, Device, Tensor, bail};
use likewise_base::disk;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What `peft` puts before the names of a network's tensors.
const PREFIX: &str = "base_model.model.";

/// The fields of adapter_config.json that affect the weights.
#[derive(Deserialize)]
struct LoraConfig {
    peft_type: String,
    #[serde(default)]
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    bias: Option<String>,
}

impl LoraConfig {
    /// The factor of an update of this rank.
    fn scale(&self, rank: usize) -> f64 {
        self.lora_alpha / if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 }
    }

    /// The first setting that is not supported.
    fn unsupported(&self) -> Option<String> {
        match self {
            _ if self.peft_type != "LORA" => {
                Some(format!("peft_type must be LORA (got {:?})", self.peft_type))
            }
            _ if self.use_dora => Some("use_dora is not supported".into()),
            _ if self.fan_in_fan_out => Some("fan_in_fan_out is not supported".into()),
            _ if !self.alpha_pattern.is_empty() => Some("alpha_pattern is not supported".into()),
            _ if self.bias.as_deref().is_some_and(|bias| bias != "none") => {
                Some("trained biases are not supported".into())
            }
            _ => None,
        }
    }
}

/// A LoRA adapter.
pub struct Lora {
    path: PathBuf,
    /// What is added to the weight of a linear layer, shape `[outputs, inputs]`, by the name of the layer.
    updates: BTreeMap<String, Tensor>,
}

impl Lora {
    /// Reads the adapter in `folder`.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is missing or damaged, or the adapter is of another kind.
    pub fn load(folder: &Path) -> Result<Lora> {
        let path = folder.join(LORA_CONFIG);
        let text = disk::read_text(&path).map_err(|error| crate::error::damaged(&path, error))?;
        let config: LoraConfig =
            serde_json::from_str(&text).map_err(|error| crate::error::damaged(&path, error))?;
        let refused = |path: &Path, problem: String| {
            let path = path.display();
            Error::Model(format!("{path}: {problem}; merge the adapter into the model, and save the result"))
        };
        if let Some(problem) = config.unsupported() {
            return Err(refused(&path, problem));
        }
        let path = folder.join(LORA_WEIGHTS);
        let read = || -> candle_core::Result<(BTreeMap<String, Tensor>, Option<String>)> {
            let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu)?;
            let mut updates = BTreeMap::new();
            let names: Vec<String> = tensors.keys().cloned().collect();
            for name in names.iter().filter(|name| name.ends_with(".lora_A.weight")) {
                let layer = name.trim_end_matches(".lora_A.weight");
                let down = tensors.remove(name).expect("the name is a key").to_dtype(DType::F32)?;
                let Some(up) = tensors.remove(&format!("{layer}.lora_B.weight")) else {
                    bail!("the tensor {layer}.lora_B.weight is missing")
                };
                let update = (up.to_dtype(DType::F32)?.matmul(&down)? * config.scale(down.dim(0)?))?;
                updates.insert(layer.trim_start_matches(PREFIX).to_string(), update);
            }
            match tensors.keys().min() {
                None if updates.is_empty() => bail!("the file has no tensors"),
                other => Ok((updates, other.cloned())),
            }
        };
        let (updates, other) = read().map_err(|error| crate::error::damaged(&path, error))?;
        if let Some(name) = other {
            let problem = format!("the tensor {name} does not belong to a LoRA adapter of a linear layer");
            return Err(refused(&path, problem));
        }
        Ok(Lora { path, updates })
    }

    /// Adds the updates to the weights of a network.
    ///
    /// # Errors
    /// [`Error::Model`] if the network has no layer of an update's name, or one of another shape.
    pub fn merge(&self, tensors: &mut HashMap<String, Tensor>) -> Result<()> {
        for (layer, update) in &self.updates {
            let add = |tensors: &mut HashMap<String, Tensor>| -> candle_core::Result<()> {
                let name = weight_of(layer, tensors)?;
                let merged = (tensors[&name].to_dtype(DType::F32)? + update)?;
                tensors.insert(name, merged);
                Ok(())
            };
            add(tensors).map_err(|error| crate::error::damaged(&self.path, error))?;
        }
        Ok(())
    }
}

/// The name of a layer's weight. In many files, names have a prefix such as `bert.`, which the adapter's names lack.
fn weight_of(layer: &str, tensors: &HashMap<String, Tensor>) -> candle_core::Result<String> {
    let name = format!("{layer}.weight");
    if tensors.contains_key(&name) {
        return Ok(name);
    }
    let with_prefix = format!(".{name}");
    let found: Vec<&String> = tensors.keys().filter(|key| key.ends_with(&with_prefix)).collect();
    match found[..] {
        [only] => Ok(only.clone()),
        [] => bail!("the model has no layer {layer}, which the adapter changes"),
        _ => bail!("the model has several layers {layer}, one of which the adapter changes"),
    }
}
