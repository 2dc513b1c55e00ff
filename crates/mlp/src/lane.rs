//! The panel layout every matrix of the engine lives in.
//!
//! A matrix of `rows` × `columns` is cut into panels of 16 columns; a panel is `rows` lanes of 16 neighbouring values,
//! one after another. The same bytes then serve as the left operand of a product (16 values of a row, broadcast one by
//! one) and as the right operand (one lane, loaded at once), so activations and weights are never repacked.
//! Columns are padded with zeros to a multiple of 16, rows of a batch to a multiple of 8.

pub(crate) use undertone_simd::LANE;

/// Rows of a batch are padded to a multiple of this: the height of the tallest tile.
pub(crate) const ROW_BLOCK: usize = 8;

/// Sixteen values in one cache line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub [f32; LANE]);

/// Lanes in memory, `panels` × `stride`, of which each panel uses its first `rows`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panels {
    pub lanes: Vec<Lane>,
    /// Lanes from one panel to the next.
    pub stride: usize,
    /// Number of panels.
    pub panels: usize,
}

impl Panels {
    /// Makes a matrix of zeros for parameters: `rows` lanes a panel, no gap.
    pub fn parameters(rows: usize, columns: usize) -> Self {
        let panels = columns.div_ceil(LANE);
        Self {
            lanes: vec![Lane::default(); panels * rows],
            stride: rows,
            panels,
        }
    }

    /// Sets the size for a batch of at most `rows` rows; allocates only if it has to grow.
    pub fn reserve_batch(&mut self, rows: usize, columns: usize) {
        self.panels = columns.div_ceil(LANE);
        // One block more than needed: a power of two here would put a row's panels into the same cache sets.
        self.stride = rows.next_multiple_of(ROW_BLOCK) + ROW_BLOCK;
        let needed = self.panels * self.stride;
        if self.lanes.len() < needed {
            self.lanes.resize(needed, Lane::default());
        }
    }

    /// Sets the size for parameters without clearing; allocates only if it has to grow.
    pub fn reserve_parameters(&mut self, rows: usize, columns: usize) {
        self.panels = columns.div_ceil(LANE);
        self.stride = rows;
        let needed = self.panels * self.stride;
        if self.lanes.len() < needed {
            self.lanes.resize(needed, Lane::default());
        }
    }

    /// Returns the value at `row`, `column`.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.lanes[column / LANE * self.stride + row].0[column % LANE]
    }

    /// Returns the place of `row`, `column` for writing.
    pub fn at_mut(&mut self, row: usize, column: usize) -> &mut f32 {
        &mut self.lanes[column / LANE * self.stride + row].0[column % LANE]
    }
}
