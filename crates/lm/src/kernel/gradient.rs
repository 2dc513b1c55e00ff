//! Products over rows: what gradients of weights are, and the skinny products of LoRA.
//!
//! ```text
//! G[M, N] += Xᵀ · Y,   X[R, M], Y[R, N], f32, the sum over R in ascending order
//! ```

use undertone_simd::{InstructionSet, Isa, LANE, Pass, run};

use super::tile::{Strides, over_tiles, read, tile_f32, write};
use crate::matrix::Matrix;

/// Rows that are done before the next tile: two strips then fit the first-level cache.
const CHUNK_ROWS: usize = 128;

/// Adds Xᵀ · Y to rows `rows` of G.
///
/// # Shapes
/// - `x`: `[R, M]`
/// - `y`: `[R, N]`
/// - `g`: `[M, N]`
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn add_gradient(set: InstructionSet, x: &Matrix, y: &Matrix, g: &mut Matrix) {
    assert_eq!(x.rows, y.rows, "X and Y have the same rows");
    assert!(g.rows == x.columns && g.columns == y.columns, "G is [M, N]");
    run(set, GradientPass { x, y, g });
}

struct GradientPass<'a> {
    x: &'a Matrix,
    y: &'a Matrix,
    g: &'a mut Matrix,
}

impl Pass for GradientPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let (x, y, stride) = (self.x, self.y, self.g.stride);
        let c = self.g.as_mut_ptr();
        let mut from = 0;
        while from < x.rows {
            let rows = CHUNK_ROWS.min(x.rows - from);
            macro_rules! call {
                ($mr:literal, $nv:literal, $row:expr, $lane:expr) => {{
                    // SAFETY: rows of G are columns of X, lanes of G lanes of Y; shapes were checked.
                    unsafe {
                        let c = c.add($row * stride + $lane * LANE);
                        let mut acc = read::<I, $mr, $nv>(c, stride);
                        let at = Strides {
                            a_row: 1,
                            a_word: x.stride,
                            b_word: y.stride,
                            b_lane: LANE,
                        };
                        let a = x.as_ptr().add(from * x.stride + $row);
                        let b = y.as_ptr().add(from * y.stride + $lane * LANE);
                        tile_f32::<I, $mr, $nv>(a, b, at, rows, &mut acc);
                        write::<I, $mr, $nv>(&acc, c, stride);
                    }
                }};
            }
            over_tiles!(I, x.columns, 0..y.stride / LANE, call);
            from += rows;
        }
    }
}
