//! LoRA weights, packed for the products of forward and backward passes.

use undertone_simd::InstructionSet;

use crate::kernel::product::Packed;
use crate::lora::{LoraWeights, Projection, WrongModelError};
use crate::model::Model;

/// The low-rank pair of one projection, A `[r, in]` and B `[out, r]`.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// Rows of A: gives u = x Aᵀ.
    pub a: Packed,
    /// Rows of B, `f32`: adds u Bᵀ to a product.
    pub b: Packed,
    /// Columns of B: gives dy B.
    pub b_backward: Packed,
    /// Columns of A, `f32`: adds du A to a product.
    pub a_backward: Packed,
}

/// An adapter, ready for forward and backward passes.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub(crate) scale: f32,
    /// By block and [`Projection::ALL`].
    pub(crate) blocks: Vec<[Option<Pair>; 7]>,
}

impl Adapter {
    /// Packs `weights` for sampling and scoring with `model`.
    ///
    /// # Errors
    /// [`WrongModelError`] if the adapter is not one for it.
    pub fn pack(weights: &LoraWeights, model: &Model) -> Result<Self, WrongModelError> {
        weights.check_model(&model.config)?;
        Ok(Self::new(weights, model.config.layers, model.set))
    }

    /// Packs `weights` for a model of `layers` blocks whose products run with `set`.
    pub(crate) fn new(weights: &LoraWeights, layers: usize, set: InstructionSet) -> Self {
        let mut blocks: Vec<[Option<Pair>; 7]> = (0..layers).map(|_| [const { None }; 7]).collect();
        for pair in weights.pairs() {
            let (a, b) = (weights.a(pair), weights.b(pair));
            blocks[pair.layer][place(pair.projection)] =
                Some(Pair::new(a, b, pair.inputs, pair.outputs, set));
        }
        Self {
            scale: weights.config().scale() as f32,
            blocks,
        }
    }

    pub(crate) fn pair(&self, layer: usize, projection: Projection) -> Option<&Pair> {
        self.blocks[layer][place(projection)].as_ref()
    }
}

/// Returns where a projection stands in [`Projection::ALL`].
pub(crate) fn place(projection: Projection) -> usize {
    projection as usize
}

impl Pair {
    fn new(a: &[f32], b: &[f32], inputs: usize, outputs: usize, set: InstructionSet) -> Self {
        let rank = a.len() / inputs;
        let mut pair = Self {
            a: Packed::zeros(rank, inputs, set.pairs()),
            b: Packed::zeros(outputs, rank, false),
            b_backward: Packed::zeros(rank, outputs, set.pairs()),
            a_backward: Packed::zeros(inputs, rank, false),
        };
        for (r, row) in a.chunks_exact(inputs).enumerate() {
            pair.a.set_row(r, row);
            pair.a_backward.set_column(r, row);
        }
        for (n, row) in b.chunks_exact(rank).enumerate() {
            pair.b.set_row(n, row);
            pair.b_backward.set_column(n, row);
        }
        pair
    }
}
