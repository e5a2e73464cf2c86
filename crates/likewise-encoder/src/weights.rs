//! A model's tensors, whatever its files are.
//!
//! Its own file because a tensor may be in one mapped file, in one of several, or in what `torch.save` wrote, and no
//! architecture should have to know.

use crate::error::{Error, Result};
use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor, bail};
use candle_nn::VarBuilder;
use likewise_base::map::MappedFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Files of weights, opened.
pub struct Weights {
    files: Vec<(PathBuf, Option<MappedFile>)>,
}

impl Weights {
    /// Opens `files` in `folder`.
    pub fn open(folder: &Path, files: &[String]) -> Result<Weights> {
        let open = |file: &String| {
            let path = folder.join(file);
            let mapped = file.ends_with(".safetensors").then(|| MappedFile::open(&path)).transpose()?;
            Ok((path, mapped))
        };
        Ok(Weights { files: files.iter().map(open).collect::<Result<_>>()? })
    }

    /// What an error says it is about.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new("weights"), |(path, _)| path)
    }

    /// The tensors, converted to `dtype` on `device` as they are asked for.
    pub fn tensors(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'_>> {
        if let [(path, Some(mapped))] = &self.files[..] {
            let file =
                SliceSafetensors::new(mapped.bytes()).map_err(|error| crate::error::damaged(path, error))?;
            for (name, tensor) in file.tensors() {
                check_type(&name, DType::try_from(tensor.dtype()).ok())
                    .map_err(|error| unreadable(path, error))?;
            }
            // As they are asked for, and not before: it may be larger than memory.
            return VarBuilder::from_slice_safetensors(mapped.bytes(), dtype, device)
                .map_err(|error| crate::error::damaged(path, error));
        }
        let mut all: HashMap<String, Tensor> = HashMap::new();
        for (path, mapped) in &self.files {
            let read = || -> candle_core::Result<Vec<(String, Tensor)>> {
                let Some(mapped) = mapped else {
                    check_sums(path)?;
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
                        format!("{name} is in another of the files, too"),
                    ));
                }
            }
        }
        Ok(VarBuilder::from_tensors(all, dtype, device))
    }
}

/// Refuses weights that are no numbers by themselves: bytes have scales somewhere, which would be passed over.
fn check_type(name: &str, dtype: Option<DType>) -> candle_core::Result<()> {
    let is_float = matches!(dtype, Some(DType::F16 | DType::BF16 | DType::F32 | DType::F64));
    if name.ends_with("weight") && !is_float {
        bail!("{name} is not in f64, f32, f16 or bf16, and quantised weights are not supported");
    }
    Ok(())
}

/// What `torch.save` writes is a zip archive, with a sum of each of its files, which candle does not look at.
fn check_sums(path: &Path) -> candle_core::Result<()> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path)?).map_err(candle_core::Error::wrap)?;
    for file in 0..archive.len() {
        let mut file = archive.by_index(file).map_err(candle_core::Error::wrap)?;
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: candle_core::Error) -> Error {
    let todo = "fetch the model folder again, or save it as safetensors";
    Error::Model(format!("{}: {error}; {todo}", path.display()))
}
