//! Where gradients are summed: one place for each block, one for what stands before and after the blocks.

use crate::config::{ModelConfig, Part, Tensor};
use crate::kernel::gradient::add_gradient;
use crate::kernel::rows;
use crate::lora::{LoraWeights, Projection};
use crate::matrix::Matrix;
use crate::optimiser::gradient_norm;
use crate::train::ticket::Ticketed;
use undertone_simd::InstructionSet;

/// Gradients of an adapter's pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct PairGradient {
    /// Of A, `[r, in]`.
    pub a: Matrix,
    /// Of B, transposed: `[r, out]`.
    pub b: Matrix,
}

/// Gradients of one block.
#[derive(Debug, Default)]
pub(crate) struct BlockGradients {
    /// By [`Projection::ALL`]; empty without an adapter.
    pub pairs: [Option<PairGradient>; 7],
    /// By [`Part::ALL`]; empty unless the model itself is trained.
    pub parts: [Option<Matrix>; 16],
}

/// Gradients of what is not in a block; empty unless the model itself is trained.
#[derive(Debug, Default)]
pub(crate) struct OuterGradients {
    pub embedding: Option<Matrix>,
    pub head: Option<Matrix>,
    pub final_norm: Option<Matrix>,
}

/// Gradients of everything that is trained.
#[derive(Debug)]
pub(crate) struct Gradients {
    /// Whether it is the model that is trained, and not an adapter.
    pub whole_model: bool,
    pub blocks: Vec<Ticketed<BlockGradients>>,
    /// Of the head and the final norm: the first thing of a backward pass.
    pub outer: Ticketed<OuterGradients>,
    /// Of the embedding as the model's input: the last thing of a backward pass. Apart from `outer`, where a tied head adds.
    pub input: Ticketed<Option<Matrix>>,
}

impl BlockGradients {
    /// Adds `dyᵀ x` to the gradient of a matrix.
    pub fn add_matrix(&mut self, set: InstructionSet, part: Part, dy: &Matrix, x: &Matrix) {
        if let Some(gradient) = &mut self.parts[part as usize] {
            add_gradient(set, dy, x, gradient);
        }
    }

    /// Returns the gradient of a vector, padded.
    pub fn vector(&mut self, part: Part) -> Option<&mut [f32]> {
        self.parts[part as usize].as_mut().map(Matrix::padded_mut)
    }

    /// Adds the column sums of `dy` to the gradient of a bias.
    pub fn add_bias(&mut self, set: InstructionSet, part: Part, dy: &Matrix) {
        if let Some(sums) = self.vector(part) {
            rows::add_column_sums(set, dy, sums);
        }
    }

    fn clear(&mut self) {
        for pair in self.pairs.iter_mut().flatten() {
            pair.a.padded_mut().fill(0.0);
            pair.b.padded_mut().fill(0.0);
        }
        for part in self.parts.iter_mut().flatten() {
            part.padded_mut().fill(0.0);
        }
    }
}

impl Gradients {
    /// Makes room for the gradients of an adapter.
    pub fn of_adapter(weights: &LoraWeights, config: &ModelConfig) -> Self {
        let mut gradients = Self::empty(config.layers, false);
        let rank = weights.config().rank;
        for pair in weights.pairs() {
            gradients.blocks[pair.layer].sum().pairs[pair.projection as usize] =
                Some(PairGradient {
                    a: Matrix::zeros(rank, pair.inputs),
                    b: Matrix::zeros(rank, pair.outputs),
                });
        }
        gradients
    }

    /// Makes room for the gradients of every weight of a model.
    pub fn of_model(config: &ModelConfig) -> Self {
        let mut gradients = Self::empty(config.layers, true);
        for tensor in config.tensors() {
            let (rows, columns) = config.shape(tensor);
            *gradients.place(tensor) = Some(Matrix::zeros(rows, columns));
        }
        *gradients.input.sum() = Some(Matrix::zeros(config.vocabulary, config.width));
        gradients
    }

    /// Returns the gradient of a model's weight, row-major without padding.
    pub fn flatten(&mut self, tensor: Tensor) -> Vec<f32> {
        let input = match tensor {
            Tensor::Embedding => self.input.sum().take(),
            _ => None,
        };
        let matrix = self
            .place(tensor)
            .as_ref()
            .expect("made for the whole model");
        let mut flat = Vec::with_capacity(matrix.rows * matrix.columns);
        for row in 0..matrix.rows {
            flat.extend_from_slice(matrix.row(row));
        }
        if let Some(input) = input {
            for (row, flat) in flat.chunks_exact_mut(input.columns).enumerate() {
                for (sum, value) in flat.iter_mut().zip(input.row(row)) {
                    *sum += value;
                }
            }
            *self.input.sum() = Some(input);
        }
        flat
    }

    /// Returns the norm of a weight's gradient.
    pub fn norm_of(&mut self, tensor: Tensor) -> f64 {
        gradient_norm([&self.flatten(tensor)[..]])
    }

    /// Returns the gradient of a model's weight.
    pub fn place(&mut self, tensor: Tensor) -> &mut Option<Matrix> {
        match tensor {
            Tensor::Embedding => &mut self.outer.sum().embedding,
            Tensor::Head => &mut self.outer.sum().head,
            Tensor::FinalNorm => &mut self.outer.sum().final_norm,
            Tensor::Layer(layer, part) => &mut self.blocks[layer].sum().parts[part as usize],
        }
    }

    /// Sets every gradient to zero.
    pub fn clear(&mut self) {
        for block in &mut self.blocks {
            block.restart(BlockGradients::clear);
        }
        self.outer.restart(|outer| {
            for matrix in [&mut outer.embedding, &mut outer.head, &mut outer.final_norm]
                .into_iter()
                .flatten()
            {
                matrix.padded_mut().fill(0.0);
            }
        });
        self.input.restart(|input| {
            if let Some(matrix) = input {
                matrix.padded_mut().fill(0.0);
            }
        });
    }

    /// Ends all waiting for gradients that will not come: a thread has panicked.
    pub fn give_up(&self) {
        self.blocks.iter().for_each(Ticketed::give_up);
        self.outer.give_up();
        self.input.give_up();
    }

    /// Writes an adapter's gradients in the order of its weights.
    pub fn flatten_adapter(&mut self, weights: &LoraWeights, out: &mut Vec<f32>) {
        out.clear();
        for pair in weights.pairs() {
            let gradient = self.blocks[pair.layer].sum().pairs[pair.projection as usize]
                .as_ref()
                .expect("made for these weights");
            for r in 0..gradient.a.rows {
                out.extend_from_slice(gradient.a.row(r));
            }
            for n in 0..pair.outputs {
                out.extend((0..gradient.b.rows).map(|r| gradient.b.row(r)[n]));
            }
        }
    }

    fn empty(layers: usize, whole_model: bool) -> Self {
        Self {
            whole_model,
            blocks: (0..layers).map(|_| Ticketed::default()).collect(),
            outer: Ticketed::default(),
            input: Ticketed::default(),
        }
    }
}

/// Returns the part of a block a projection is, and that of its bias.
pub(crate) fn parts_of(projection: Projection) -> (Part, Option<Part>) {
    let bias = match projection {
        Projection::Query => Some(Part::QueryBias),
        Projection::Key => Some(Part::KeyBias),
        Projection::Value => Some(Part::ValueBias),
        _ => None,
    };
    (projection.part(), bias)
}
