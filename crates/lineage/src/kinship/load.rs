//! Reads models for the question: our own MLPs (safetensors, `layers.<n>.weight`), and language models in any form the
//! engine opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors};
use undertone_lm::checkpoint::ReadTensorError;
use undertone_lm::config::{ModelConfig, Part, Tensor};
use undertone_lm::source::{self, ModelSource, OpenModel, OpenModelError};

use super::{Half, HiddenLayer};
use crate::files::read_bounded;

/// The longest file of an MLP.
const MAX_MLP_BYTES: u64 = 1 << 30;
/// The most layers of an MLP.
const MAX_LAYERS: usize = 64;

/// A model cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum LoadKinError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no model that is compared.
    #[error("`{}` is no model that can be compared: {problem}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A language model cannot be opened.
    #[error(transparent)]
    Open(Box<OpenModelError>),
    /// A weight is no number.
    #[error(transparent)]
    Tensor(#[from] ReadTensorError),
}

/// One layer of an MLP.
#[derive(Debug)]
struct Dense {
    /// `[outputs, inputs]`
    weight: Vec<f32>,
    outputs: usize,
    inputs: usize,
    bias: Option<Vec<f32>>,
}

/// Numbers with their shape.
type Values = (Vec<f32>, Vec<usize>);

#[derive(Debug)]
enum Kind {
    Mlp(Vec<Dense>),
    Lm(Arc<OpenModel>),
}

/// A model that is opened to be compared.
#[derive(Debug)]
pub struct KinModel(Kind);

/// Reads the file of an MLP, if it is no longer than one may be.
///
/// # Errors
/// [`LoadKinError::Io`].
pub fn read_network(path: &Path) -> Result<Vec<u8>, LoadKinError> {
    read_bounded(path, MAX_MLP_BYTES).map_err(|source| LoadKinError::Io {
        path: path.to_owned(),
        source,
    })
}

impl KinModel {
    /// Opens a file, a folder, or a model of the registry, which is looked for in `data_dir`.
    ///
    /// # Errors
    /// [`LoadKinError`].
    pub fn open(text: &str, data_dir: &Path) -> Result<Self, LoadKinError> {
        let path = Path::new(text);
        if path.is_file() && path.extension().is_none_or(|ending| ending != "gguf") {
            return Self::from_bytes(&read_network(path)?, path);
        }
        let source: ModelSource = text.parse().map_err(|error| LoadKinError::NotAModel {
            path: path.to_owned(),
            problem: format!("{error}"),
        })?;
        let open =
            source::open(&source, data_dir).map_err(|error| LoadKinError::Open(Box::new(error)))?;
        Ok(Self::of_model(Arc::new(open)))
    }

    /// Takes a language model that is open.
    pub fn of_model(open: Arc<OpenModel>) -> Self {
        KinModel(Kind::Lm(open))
    }

    /// Reads the weights of an MLP; `path` is for errors.
    ///
    /// # Errors
    /// [`LoadKinError::NotAModel`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, LoadKinError> {
        let fail = |problem: String| LoadKinError::NotAModel {
            path: path.to_owned(),
            problem,
        };
        let file = SafeTensors::deserialize(bytes).map_err(|error| fail(error.to_string()))?;
        let read = |name: &str| -> Result<Option<Values>, LoadKinError> {
            let Ok(tensor) = file.tensor(name) else {
                return Ok(None);
            };
            if tensor.dtype() != Dtype::F32 {
                return Err(fail(format!("tensor `{name}` is not f32")));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            let values: Vec<f32> = values
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(Some((values, tensor.shape().to_vec()))),
                false => Err(fail(format!(
                    "tensor `{name}` holds a value that is no number"
                ))),
            }
        };
        let mut layers: Vec<Dense> = Vec::new();
        while let Some((weight, shape)) = read(&format!("layers.{}.weight", layers.len()))? {
            let n = layers.len();
            let [outputs, inputs] = shape[..] else {
                return Err(fail(format!("`layers.{n}.weight` is no matrix")));
            };
            let fits = layers.last().is_none_or(|before| before.outputs == inputs);
            if !fits || outputs == 0 || inputs == 0 || n == MAX_LAYERS {
                return Err(fail(format!(
                    "`layers.{n}.weight` does not fit the layer before"
                )));
            }
            let bias = read(&format!("layers.{n}.bias"))?.map(|(bias, _)| bias);
            if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
                return Err(fail(format!("`layers.{n}.bias` does not fit its layer")));
            }
            layers.push(Dense {
                weight,
                outputs,
                inputs,
                bias,
            });
        }
        match layers.is_empty() {
            true => Err(fail("it has no `layers.0.weight`".to_owned())),
            false => Ok(KinModel(Kind::Mlp(layers))),
        }
    }

    /// Returns the number of layers with hidden units.
    pub fn hidden_layers(&self) -> usize {
        match &self.0 {
            Kind::Mlp(layers) => layers.len() - 1,
            Kind::Lm(open) => open.config().layers,
        }
    }

    /// Reads the hidden units of a layer.
    ///
    /// # Errors
    /// If a weight is no number.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn hidden_layer(&self, index: usize) -> Result<HiddenLayer, LoadKinError> {
        match &self.0 {
            Kind::Mlp(layers) => Ok(mlp_layer(layers, index)),
            Kind::Lm(open) => lm_layer(open, index),
        }
    }

    /// Returns the names of its matrices.
    pub(super) fn matrices(&self) -> Vec<String> {
        match &self.0 {
            Kind::Mlp(layers) => (0..layers.len())
                .map(|n| format!("layers.{n}.weight"))
                .collect(),
            Kind::Lm(open) => lm_matrices(open.config())
                .into_iter()
                .map(|tensor| format!("{tensor:?}"))
                .collect(),
        }
    }

    /// Reads the matrix of a name; `None` if there is none.
    pub(super) fn matrix(&self, name: &str) -> Result<Option<Vec<f32>>, LoadKinError> {
        match &self.0 {
            Kind::Mlp(layers) => {
                let number = name
                    .strip_prefix("layers.")
                    .and_then(|rest| rest.strip_suffix(".weight"));
                let number = number.and_then(|number| number.parse::<usize>().ok());
                Ok(number
                    .and_then(|n| layers.get(n))
                    .map(|layer| layer.weight.clone()))
            }
            Kind::Lm(open) => {
                let tensors = lm_matrices(open.config());
                let tensor = tensors
                    .into_iter()
                    .find(|tensor| format!("{tensor:?}") == name);
                Ok(tensor
                    .map(|tensor| open.checkpoint().read(tensor))
                    .transpose()?)
            }
        }
    }
}

fn mlp_layer(layers: &[Dense], index: usize) -> HiddenLayer {
    let (layer, next) = (&layers[index], &layers[index + 1]);
    let width = layer.inputs + usize::from(layer.bias.is_some());
    let mut into = Vec::with_capacity(layer.outputs * width);
    for unit in 0..layer.outputs {
        into.extend(&layer.weight[unit * layer.inputs..][..layer.inputs]);
        into.extend(layer.bias.as_ref().map(|bias| bias[unit]));
    }
    let out = transposed(&next.weight, next.outputs, next.inputs);
    HiddenLayer {
        name: format!("layers.{index}"),
        units: layer.outputs,
        into: Half {
            values: into,
            width,
        },
        out: Half {
            values: out,
            width: next.outputs,
        },
        follows: index > 0,
        leads: index + 2 < layers.len(),
    }
}

fn lm_layer(open: &OpenModel, index: usize) -> Result<HiddenLayer, LoadKinError> {
    let checkpoint = open.checkpoint();
    let config = open.config();
    let tensor = |part| Tensor::Layer(index, part);
    let (units, width) = config.shape(tensor(Part::Gate));
    let gate = checkpoint.read(tensor(Part::Gate))?;
    let up = checkpoint.read(tensor(Part::Up))?;
    let down = transposed(&checkpoint.read(tensor(Part::Down))?, width, units);
    let mut out = Vec::with_capacity(2 * units * width);
    for unit in 0..units {
        out.extend(&up[unit * width..][..width]);
        out.extend(&down[unit * width..][..width]);
    }
    Ok(HiddenLayer {
        name: format!("block {index}"),
        units,
        into: Half {
            values: gate,
            width,
        },
        out: Half {
            values: out,
            width: 2 * width,
        },
        follows: false,
        leads: false,
    })
}

fn lm_matrices(config: &ModelConfig) -> Vec<Tensor> {
    let parts = [
        Part::Query,
        Part::Key,
        Part::Value,
        Part::Output,
        Part::Gate,
        Part::Up,
        Part::Down,
    ];
    let blocks = (0..config.layers).flat_map(|layer| parts.map(|part| Tensor::Layer(layer, part)));
    std::iter::once(Tensor::Embedding).chain(blocks).collect()
}

/// Returns `[columns, rows]` of `[rows, columns]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for row in 0..rows {
        for column in 0..columns {
            out[column * rows + row] = values[row * columns + column];
        }
    }
    out
}
