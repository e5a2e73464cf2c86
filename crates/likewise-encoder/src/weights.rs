//! Reads the tensors of a model from its weight files.
//!
//! The tensors are in safetensors files or in files written by `torch.save`. The architectures do not depend on the
//! file format.

use crate::error::{Error, Result};
use crate::lora::Lora;
use crate::model::ModelFolder;
use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor, bail};
use candle_nn::VarBuilder;
use likewise_base::map::MappedFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Opened weight files.
pub struct Weights {
    /// The path of each file, and the mapping of the file into memory. A file without a mapping (`None`) was written by
    /// `torch.save`, and is read as a whole.
    files: Vec<(PathBuf, Option<MappedFile>)>,
    /// The adapter that is merged into the weights, if there is one.
    lora: Option<Lora>,
}

impl Weights {
    /// Opens `files` in `folder`.
    pub fn open(folder: &Path, files: &[String]) -> Result<Weights> {
        let open = |file: &String| {
            let path = folder.join(file);
            let mapped = file.ends_with(".safetensors").then(|| MappedFile::open(&path)).transpose()?;
            Ok((path, mapped))
        };
        Ok(Weights { files: files.iter().map(open).collect::<Result<_>>()?, lora: None })
    }

    /// Opens the weights of a model's network, and the adapter that is merged into them.
    pub fn of_network(folder: &ModelFolder) -> Result<Weights> {
        let weights = Weights::open(&folder.network(), &folder.weights)?;
        let lora = folder.config.lora.as_ref().map(|lora| Lora::load(&folder.path.join(lora)));
        Ok(Weights { lora: lora.transpose()?, ..weights })
    }

    /// Returns the path of the first file, which error messages name.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new("weights"), |(path, _)| path)
    }

    /// Checks that all values are finite, for networks whose own code does not check it when it loads them.
    ///
    /// # Errors
    /// [`Error::Model`] names the first tensor with a value that is not finite.
    pub fn check_finite(&self) -> Result<()> {
        for (path, mapped) in &self.files {
            let check = |name: &str, tensor: Tensor| -> candle_core::Result<()> {
                // 0 times NaN or infinity is NaN.
                let sum = (tensor.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()?;
                if sum.is_nan() {
                    bail!("the tensor {name} has values that are not finite (NaN or infinity)");
                }
                Ok(())
            };
            let check_all = || -> candle_core::Result<()> {
                let Some(mapped) = mapped else {
                    let mut tensors = candle_core::pickle::read_all(path)?.into_iter();
                    return tensors.try_for_each(|(name, tensor)| check(&name, tensor));
                };
                let file = SliceSafetensors::new(mapped.bytes())?;
                file.tensors().iter().try_for_each(|(name, _)| check(name, file.load(name, &Device::Cpu)?))
            };
            check_all().map_err(|error| unreadable(path, error))?;
        }
        Ok(())
    }

    /// Returns the tensors. A tensor is converted to `dtype` and moved to `device` when it is accessed.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is damaged, has quantised weights, or repeats a tensor of another file.
    pub fn tensors(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'_>> {
        if let ([(path, Some(mapped))], None) = (&self.files[..], &self.lora) {
            let file =
                SliceSafetensors::new(mapped.bytes()).map_err(|error| crate::error::damaged(path, error))?;
            for (name, tensor) in file.tensors() {
                check_type(&name, DType::try_from(tensor.dtype()).ok())
                    .map_err(|error| unreadable(path, error))?;
            }
            // Reads each tensor only when it is accessed, because the file can be larger than memory.
            return VarBuilder::from_slice_safetensors(mapped.bytes(), dtype, device)
                .map_err(|error| crate::error::damaged(path, error));
        }
        let mut all: HashMap<String, Tensor> = HashMap::new();
        for (path, mapped) in &self.files {
            let read = || -> candle_core::Result<Vec<(String, Tensor)>> {
                let Some(mapped) = mapped else {
                    check_archive(path)?;
                    return candle_core::pickle::read_all(path);
                };
                let file = SliceSafetensors::new(mapped.bytes())?;
                let load = |(name, _): (String, _)| Ok((name.clone(), file.load(&name, &Device::Cpu)?));
                file.tensors().into_iter().map(load).collect()
            };
            for (name, tensor) in read().map_err(|error| unreadable(path, error))? {
                check_type(&name, Some(tensor.dtype())).map_err(|error| unreadable(path, error))?;
                if all.insert(name.clone(), tensor).is_some() {
                    return Err(crate::error::damaged(
                        path,
                        format!("the tensor {name} is also in another weight file"),
                    ));
                }
            }
        }
        if let Some(lora) = &self.lora {
            lora.merge(&mut all)?;
        }
        Ok(VarBuilder::from_tensors(all, dtype, device))
    }
}

/// Returns an error for quantised weights, because their integers would be used without the scales that belong to them.
fn check_type(name: &str, dtype: Option<DType>) -> candle_core::Result<()> {
    let is_float = matches!(dtype, Some(DType::F16 | DType::BF16 | DType::F32 | DType::F64));
    if name.ends_with("weight") && !is_float {
        bail!("the tensor {name} must be f64, f32, f16 or bf16; quantised weights are not supported");
    }
    Ok(())
}

/// Verifies the CRC-32 of all files in a zip archive written by `torch.save`. candle does not verify these checksums.
fn check_archive(path: &Path) -> candle_core::Result<()> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path)?).map_err(candle_core::Error::wrap)?;
    for file in 0..archive.len() {
        let mut file = archive.by_index(file).map_err(candle_core::Error::wrap)?;
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: candle_core::Error) -> Error {
    let remedy = "fetch the model folder again, or save it as safetensors";
    Error::Model(format!("{}: {error}; {remedy}", path.display()))
}
