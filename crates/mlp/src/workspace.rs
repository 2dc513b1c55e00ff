//! The memory one thread trains in: made once, grown when a larger model or batch comes, never shrunk.

use super::lane::{LANE, Lane, Panels, ROW_BLOCK};
use super::model::Model;

/// A matrix with a row for each example, and its bf16 copies when they are wanted.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub values: Panels,
    /// bf16, 16 values a row: half a lane.
    pub rows: Vec<Lane>,
    /// bf16 pairs of neighbouring rows: a lane for two rows.
    pub pairs: Vec<Lane>,
}

impl Batch {
    pub fn reserve(&mut self, rows: usize, columns: usize, bf16: bool) {
        self.values.reserve_batch(rows, columns);
        if bf16 {
            let half = self.values.lanes.len() / 2;
            if self.rows.len() < half {
                self.rows.resize(half, Lane::default());
                self.pairs.resize(half, Lane::default());
            }
        }
    }
}

/// What a step keeps for one layer.
#[derive(Debug, Default)]
pub(crate) struct LayerBuffers {
    /// Activations, or logits for the last layer.
    pub out: Batch,
    /// Derivatives of a smooth activation.
    pub slopes: Panels,
    /// Gradient with respect to the layer's sums before activation.
    pub grad: Batch,
}

/// All buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub input: Batch,
    pub layers: Vec<LayerBuffers>,
    pub weight_pairs: Vec<Lane>,
    pub transposed: Panels,
    pub transposed_pairs: Vec<Lane>,
    pub strip: Vec<Lane>,
    pub loss_scratch: Vec<Lane>,
    pub bias_gradient: Vec<Lane>,
    /// Rows of the batch in `input`.
    pub n_rows: usize,
    /// Features of the batch in `input`.
    pub n_features: usize,
    pub padded_rows: usize,
    /// Whether bf16 copies are kept.
    pub bf16: bool,
}

impl Workspace {
    /// Sizes the input for `rows` rows of `features` and clears the padding rows.
    pub fn prepare_input(&mut self, rows: usize, features: usize) {
        self.n_rows = rows;
        self.n_features = features;
        self.padded_rows = rows.next_multiple_of(ROW_BLOCK);
        self.input.reserve(rows, features, self.bf16);
        let Panels {
            lanes,
            stride,
            panels,
        } = &mut self.input.values;
        for panel in 0..*panels {
            lanes[panel * *stride + rows..][..self.padded_rows - rows].fill(Lane::default());
        }
    }

    /// Sizes everything else for `model` and the batch at hand.
    pub fn prepare(&mut self, model: &Model) {
        let n_layers = model.layers.len();
        if self.layers.len() < n_layers {
            self.layers.resize_with(n_layers, LayerBuffers::default);
        }
        let mut strip = 0;
        let mut widest = 0;
        for (buffers, layer) in self.layers.iter_mut().zip(&model.layers) {
            let outputs = layer.shape.outputs;
            buffers.out.reserve(self.n_rows, outputs, self.bf16);
            buffers.slopes.reserve_batch(self.n_rows, outputs);
            buffers.grad.reserve(self.n_rows, outputs, self.bf16);
            strip = strip.max(2 * layer.k_lanes());
            widest = widest.max(layer.n_panels());
        }
        let logits = model.outputs().div_ceil(LANE);
        grow(&mut self.strip, strip);
        grow(&mut self.loss_scratch, 3 * logits);
        grow(&mut self.bias_gradient, widest);
    }
}

fn grow(lanes: &mut Vec<Lane>, needed: usize) {
    if lanes.len() < needed {
        lanes.resize(needed, Lane::default());
    }
}
