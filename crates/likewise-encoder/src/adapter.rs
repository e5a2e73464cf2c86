//! Adapters: two small layers after each feed-forward part, trained while the rest stood still (Pfeiffer et al.,
//! AdapterFusion; Singh et al., SciRepEval, of which SPECTER2's are).
//!
//! Its own file because it reads the adapter's own folder, by the names that the package `adapters` gives things.

use crate::error::{Error, Result};
use crate::kernels::Activation;
use crate::layers::{Applied, Linear, Loader, Norm};
use crate::weights::Weights;
use candle_core::{DType, Device, Tensor};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// The part of adapter_config.json that says what is computed.
#[derive(Deserialize)]
struct Described {
    config: Shape,
    hidden_size: usize,
    name: String,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    mh_adapter: bool,
    output_adapter: bool,
    reduction_factor: f64,
    non_linearity: Activation,
    original_ln_before: bool,
    original_ln_after: bool,
    residual_before_ln: bool,
    #[serde(default)]
    adapter_residual_before_ln: bool,
    #[serde(default)]
    ln_before: bool,
    #[serde(default)]
    ln_after: bool,
    #[serde(default)]
    is_parallel: bool,
    #[serde(default)]
    use_gating: bool,
    #[serde(default)]
    phm_layer: bool,
    inv_adapter: Option<String>,
    #[serde(default)]
    leave_out: Vec<usize>,
    #[serde(default)]
    scaling: Option<f64>,
}

impl Shape {
    /// Whether it is the one kind there is here: after the feed-forward part, on what its norm gives, the sum of both
    /// normed again.
    fn is_sequential_bottleneck(&self) -> bool {
        let is_after_feed_forward = self.output_adapter && !self.mh_adapter && !self.is_parallel;
        let norms = self.original_ln_before && self.original_ln_after && self.residual_before_ln;
        let more = self.ln_before || self.ln_after || self.adapter_residual_before_ln || self.use_gating;
        let is_plain = self.scaling.is_none_or(|scaling| scaling == 1.0) && self.leave_out.is_empty();
        is_after_feed_forward && norms && !more && is_plain && !self.phm_layer && self.inv_adapter.is_none()
    }
}

/// An adapter of a whole network.
pub struct Adapter {
    layers: Vec<Layer>,
}

struct Layer {
    down: Linear,
    activation: Applied,
    up: Linear,
}

impl Adapter {
    /// Reads an adapter's folder, for a network of `layers` layers.
    ///
    /// # Errors
    /// [`Error::Model`] names the file, and what in it is not supported.
    pub fn load(folder: &Path, layers: usize, dtype: DType, device: &Device) -> Result<Adapter> {
        let path = folder.join("adapter_config.json");
        let text = disk::read_text(&path).map_err(Error::io(&path))?;
        let Described { config, hidden_size, name } =
            serde_json::from_str(&text).map_err(|error| crate::error::damaged(&path, error))?;
        if !config.is_sequential_bottleneck() {
            return Err(Error::Model(format!(
                "{}: this kind of adapter is not supported, only sequential bottlenecks after the feed-forward part, as \
                 SPECTER2's (seq_bn); use another",
                path.display()
            )));
        }
        if !(config.reduction_factor >= 1.0 && config.reduction_factor <= hidden_size as f64) {
            let (shown, got) = (path.display(), config.reduction_factor);
            return Err(Error::Model(format!(
                "{shown}: reduction_factor: got {got}, wanted 1 to {hidden_size}; fetch the adapter again"
            )));
        }
        let narrow = (hidden_size as f64 / config.reduction_factor) as usize;
        let weights = Weights::open(folder, &["pytorch_adapter.bin".into()])?;
        let loader = Loader::candle(weights.tensors(dtype, device)?).pp("bert.encoder.layer");
        let layer = |layer| {
            let adapter = loader.pp(layer).pp("output.adapters").pp(&name);
            Ok(Layer {
                down: adapter.pp("adapter_down.0").linear(hidden_size, narrow)?,
                activation: adapter.function(config.non_linearity),
                up: adapter.pp("adapter_up").linear(narrow, hidden_size)?,
            })
        };
        let layers = (0..layers).map(layer).collect::<candle_core::Result<_>>();
        Ok(Adapter { layers: layers.map_err(|error| crate::error::damaged(weights.path(), error))? })
    }

    /// What the feed-forward part of a layer gave, changed: `output + up(f(down(norm(output + attended))))`.
    pub fn forward(
        &self,
        layer: usize,
        output: &Tensor,
        attended: &Tensor,
        norm: &Norm,
    ) -> candle_core::Result<Tensor> {
        let Layer { down, activation, up } = &self.layers[layer];
        let narrow = activation.forward(&down.forward(&norm.forward(&(output + attended)?)?)?)?;
        output + up.forward(&narrow)?
    }
}
