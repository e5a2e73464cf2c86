//! Loads and computes adapters. An adapter adds two small linear layers after each feed-forward block of a network.
//! These layers were trained while the weights of the network were frozen (Pfeiffer et al., AdapterFusion). The
//! adapters of SPECTER2 are from Singh et al., SciRepEval.
//!
//! An adapter has a folder of its own, in the format of the Python package `adapters`.

use crate::error::{Error, Result};
use crate::kernels::Activation;
use crate::layers::{ActivationFn, Linear, Loader, Norm};
use crate::weights::Weights;
use candle_core::Tensor;
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// The fields of adapter_config.json that affect the computation.
#[derive(Deserialize)]
struct AdapterConfig {
    config: AdapterShape,
    hidden_size: usize,
    name: String,
}

/// The field `config` of adapter_config.json.
#[derive(Deserialize)]
struct AdapterShape {
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

impl AdapterShape {
    /// Whether the adapter is of the only supported kind, a sequential bottleneck after the feed-forward block. The
    /// layer's own norm normalises the input of such an adapter, and then the sum of the adapter's output and the
    /// residual.
    fn is_sequential_bottleneck(&self) -> bool {
        let is_after_feed_forward = self.output_adapter && !self.mh_adapter && !self.is_parallel;
        let uses_layer_norms = self.original_ln_before && self.original_ln_after && self.residual_before_ln;
        let has_extra_steps =
            self.ln_before || self.ln_after || self.adapter_residual_before_ln || self.use_gating;
        let is_unscaled = self.scaling.is_none_or(|scaling| scaling == 1.0);
        let is_in_all_layers = self.leave_out.is_empty();
        is_after_feed_forward
            && uses_layer_norms
            && !has_extra_steps
            && is_unscaled
            && is_in_all_layers
            && !self.phm_layer
            && self.inv_adapter.is_none()
    }
}

/// The adapters of all layers of a network.
pub struct Adapter {
    layers: Vec<AdapterLayer>,
}

struct AdapterLayer {
    down: Linear,
    activation: ActivationFn,
    up: Linear,
}

impl Adapter {
    /// Loads the adapter in `folder`, for a network of `layers` layers that `network` loads. On a CPU, the kernels compute
    /// an adapter in f32.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is damaged or the kind of adapter is not supported; [`Error::Io`] if
    /// adapter_config.json cannot be read.
    pub fn load(folder: &Path, layers: usize, network: &Loader) -> Result<Adapter> {
        let path = folder.join("adapter_config.json");
        let text = disk::read_text(&path).map_err(Error::io(&path))?;
        let AdapterConfig { config, hidden_size, name } =
            serde_json::from_str(&text).map_err(|error| crate::error::damaged(&path, error))?;
        if !config.is_sequential_bottleneck() {
            return Err(Error::Model(format!(
                "{}: this kind of adapter is not supported, only sequential bottlenecks after the feed-forward block, \
                 like SPECTER2's (seq_bn); use another adapter",
                path.display()
            )));
        }
        if !(config.reduction_factor >= 1.0 && config.reduction_factor <= hidden_size as f64) {
            return Err(Error::Model(format!(
                "{}: reduction_factor must be between 1 and {hidden_size} (got {}); fetch the adapter again",
                path.display(),
                config.reduction_factor
            )));
        }
        let bottleneck = (hidden_size as f64 / config.reduction_factor) as usize;
        let weights = Weights::open(folder, &["pytorch_adapter.bin".into()])?;
        let tensors = weights.tensors(network.tensors().dtype(), network.device())?;
        let loader = network.of_adapter(tensors).pp("bert.encoder.layer");
        let layer = |layer| {
            let adapter = loader.pp(layer).pp("output.adapters").pp(&name);
            Ok(AdapterLayer {
                down: adapter.pp("adapter_down.0").linear(hidden_size, bottleneck)?,
                activation: adapter.activation_fn(config.non_linearity),
                up: adapter.pp("adapter_up").linear(bottleneck, hidden_size)?,
            })
        };
        let layers = (0..layers).map(layer).collect::<candle_core::Result<_>>();
        Ok(Adapter { layers: layers.map_err(|error| crate::error::damaged(weights.path(), error))? })
    }

    /// Applies the adapter of one layer: `output + up(f(down(norm(output + attended))))`, where `output` is the output
    /// of the layer's feed-forward block, and `attended` is the input of that block.
    pub fn forward(
        &self,
        layer: usize,
        output: &Tensor,
        attended: &Tensor,
        norm: &Norm,
    ) -> candle_core::Result<Tensor> {
        let AdapterLayer { down, activation, up } = &self.layers[layer];
        let hidden = activation.forward(&down.forward(&norm.forward(&(output + attended)?)?)?)?;
        output + up.forward(&hidden)?
    }
}
