//! Everything of a block that is neither a product nor attention: norms, rotary embedding, gates, rounding.
//!
//! Rows are padded to whole lanes with zeros, so loops run over lanes and sums need no tails. A sum over a row goes into 16
//! partial sums, one a lane, added in a fixed order at the end.

use undertone_simd::{InstructionSet, Isa, LANE, Pass, Plain, math, run};

use crate::config::GateActivation;
use crate::matrix::{Matrix, Operand};

type Lanes = [f32; LANE];

#[inline(always)]
fn lanes(row: &[f32]) -> &[Lanes] {
    row.as_chunks().0
}

#[inline(always)]
fn lanes_mut(row: &mut [f32]) -> &mut [Lanes] {
    row.as_chunks_mut().0
}

/// Adds the lanes of a sum, in `f64`, ascending.
#[inline(always)]
fn total(sums: Lanes) -> f64 {
    sums.into_iter().map(f64::from).sum()
}

/// Writes a lane of an operand's row.
///
/// # Safety
/// The processor has `I`; `row` is valid for the lane.
#[inline(always)]
unsafe fn store_lane<I: Isa>(row: *mut f32, lane: usize, values: &Lanes) {
    // SAFETY: forwarded.
    unsafe {
        let values = I::load(values.as_ptr());
        if I::PAIRS {
            I::store_row(row.cast::<u16>().add(lane * LANE), values);
        } else {
            I::store(row.add(lane * LANE), values);
        }
    }
}

/// Makes an operand row by row: `$lane(row, lane index) -> [f32; 16]`.
struct Fill<'a, F> {
    out: &'a mut Operand,
    lane: F,
}

impl<F: FnMut(usize, usize) -> Lanes> Pass for Fill<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(mut self) {
        let lanes = self.out.columns.div_ceil(LANE);
        for row in 0..self.out.rows {
            // SAFETY: rows and lanes of the operand, reserved by `reshape`; `fill` checked the format.
            unsafe {
                let to = self.out.as_mut_ptr().add(row * self.out.stride);
                for lane in 0..lanes {
                    let values = (self.lane)(row, lane);
                    store_lane::<I>(to, lane, &values);
                }
            }
        }
    }
}

/// Gives `out` the shape and its lanes the values `lane(row, lane)`.
#[inline(always)]
fn fill(
    set: InstructionSet,
    out: &mut Operand,
    rows: usize,
    columns: usize,
    lane: impl FnMut(usize, usize) -> Lanes,
) {
    out.reshape(rows, columns, set.pairs());
    run(set, Fill { out, lane });
}

/// Makes the left operand of a product from plain rows.
pub(crate) fn to_operand(set: InstructionSet, x: &Matrix, out: &mut Operand) {
    fill(set, out, x.rows, x.columns, |row, lane| {
        lanes(&x.padded()[row * x.stride..][..x.stride])[lane]
    });
}

/// Writes `x · scale · weight` to `out` and the scales `1 / sqrt(mean(x²) + epsilon)` to `scales`, a row each.
///
/// # Shapes
/// - `x`: `[R, width]`; `weight`: `[width]`, padded; `scales`: `[R]`
pub(crate) fn norm(
    set: InstructionSet,
    x: &Matrix,
    weight: &[f32],
    epsilon: f64,
    scales: &mut Vec<f32>,
    out: &mut Operand,
) {
    scales.clear();
    run(set, Plain(|| norm_scales(x, epsilon, scales)));
    let weight = lanes(weight);
    fill(set, out, x.rows, x.columns, |row, lane| {
        let x = &lanes(&x.padded()[row * x.stride..][..x.stride])[lane];
        std::array::from_fn(|i| x[i] * scales[row] * weight[lane][i])
    });
}

/// As [`norm`], to a matrix.
pub(crate) fn norm_to_matrix(
    set: InstructionSet,
    x: &Matrix,
    weight: &[f32],
    epsilon: f64,
    scales: &mut Vec<f32>,
    out: &mut Matrix,
) {
    scales.clear();
    out.reshape(x.rows, x.columns);
    run(
        set,
        Plain(|| {
            norm_scales(x, epsilon, scales);
            for (row, &scale) in scales.iter().enumerate() {
                let to = &mut out.padded_mut()[row * x.stride..][..x.stride];
                let from = lanes(&x.padded()[row * x.stride..][..x.stride]);
                for ((to, from), weight) in lanes_mut(to).iter_mut().zip(from).zip(lanes(weight)) {
                    *to = std::array::from_fn(|i| from[i] * scale * weight[i]);
                }
            }
        }),
    );
}

#[inline(always)]
fn norm_scales(x: &Matrix, epsilon: f64, scales: &mut Vec<f32>) {
    for row in 0..x.rows {
        let mut sums = [0.0f32; LANE];
        for x in lanes(&x.padded()[row * x.stride..][..x.stride]) {
            for i in 0..LANE {
                sums[i] += x[i] * x[i];
            }
        }
        let mean = total(sums) / x.columns as f64;
        scales.push((1.0 / (mean + epsilon).sqrt()) as f32);
    }
}

/// Adds the gradient of a norm's input to `dx`, and that of its weight to `dw`.
///
/// With y = x s w and g = dy w:  dx = s (g - x s · mean(g x s)),  dw = Σ_rows dy x s.
///
/// # Shapes
/// - `x`, `dy`, `dx`: `[R, width]`; `weight`, `dw`: `[width]`, padded; `scales`: `[R]`
pub(crate) fn norm_backward(
    set: InstructionSet,
    x: &Matrix,
    weight: &[f32],
    scales: &[f32],
    dy: &Matrix,
    dx: &mut Matrix,
    dw: Option<&mut [f32]>,
) {
    let stride = x.stride;
    run(
        set,
        Plain(|| {
            for (row, &scale) in scales.iter().enumerate() {
                let x = lanes(&x.padded()[row * stride..][..stride]);
                let dy = lanes(&dy.padded()[row * stride..][..stride]);
                let mut sums = [0.0f32; LANE];
                for ((x, dy), w) in x.iter().zip(dy).zip(lanes(weight)) {
                    for i in 0..LANE {
                        sums[i] += dy[i] * w[i] * x[i];
                    }
                }
                let mean = (total(sums) * f64::from(scale) / columns(dx) as f64) as f32;
                let dx = lanes_mut(&mut dx.padded_mut()[row * stride..][..stride]);
                for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(lanes(weight)) {
                    for i in 0..LANE {
                        dx[i] += scale * (dy[i] * w[i] - x[i] * scale * mean);
                    }
                }
            }
            if let Some(dw) = dw {
                for (row, &scale) in scales.iter().enumerate() {
                    let x = lanes(&x.padded()[row * stride..][..stride]);
                    let dy = lanes(&dy.padded()[row * stride..][..stride]);
                    for ((dw, x), dy) in lanes_mut(dw).iter_mut().zip(x).zip(dy) {
                        for i in 0..LANE {
                            dw[i] += dy[i] * x[i] * scale;
                        }
                    }
                }
            }
        }),
    );
}

#[inline(always)]
fn columns(x: &Matrix) -> usize {
    x.columns
}

/// Adds a bias to every row.
pub(crate) fn add_bias(set: InstructionSet, y: &mut Matrix, bias: &[f32]) {
    let stride = y.stride;
    run(
        set,
        Plain(|| {
            for row in y.padded_mut().chunks_exact_mut(stride) {
                for (y, bias) in lanes_mut(row).iter_mut().zip(lanes(bias)) {
                    for i in 0..LANE {
                        y[i] += bias[i];
                    }
                }
            }
        }),
    );
}

/// Adds the sum of all rows of `dy` to `sums`: the gradient of a bias.
pub(crate) fn add_column_sums(set: InstructionSet, dy: &Matrix, sums: &mut [f32]) {
    run(
        set,
        Plain(|| {
            for row in dy.padded().chunks_exact(dy.stride) {
                for (sum, dy) in lanes_mut(sums).iter_mut().zip(lanes(row)) {
                    for i in 0..LANE {
                        sum[i] += dy[i];
                    }
                }
            }
        }),
    );
}

/// Adds `x` to `y`.
pub(crate) fn add(set: InstructionSet, x: &Matrix, y: &mut Matrix) {
    run(
        set,
        Plain(|| {
            for (y, x) in lanes_mut(y.padded_mut()).iter_mut().zip(lanes(x.padded())) {
                for i in 0..LANE {
                    y[i] += x[i];
                }
            }
        }),
    );
}

/// Multiplies by a constant.
pub(crate) fn scale(set: InstructionSet, x: &mut Matrix, factor: f32) {
    run(
        set,
        Plain(|| {
            for x in x.padded_mut() {
                *x *= factor;
            }
        }),
    );
}

/// Cosines and sines of a rotary embedding by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct RopeTable {
    /// `[position][half]`
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// Computes the table of `positions` positions; `frequencies` are radians a token, one for each pair of a head.
    ///
    /// Frequencies and angles are rounded to `f32`, as where the models were trained.
    pub fn new(frequencies: &[f64], positions: usize) -> Self {
        let angles = (0..positions).flat_map(|position| {
            frequencies
                .iter()
                .map(move |&frequency| f64::from(position as f32 * frequency as f32))
        });
        let (cosines, sines) = angles
            .map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32))
            .unzip();
        Self {
            cosines,
            sines,
            half: frequencies.len(),
        }
    }
}

/// Which way heads turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Forward,
    /// Back: the transposed rotation, for gradients.
    Back,
}

/// Turns every head of row r by position `positions[r]`.
///
/// # Shapes
/// - `x`: `[R, heads · head_width]`
///
/// # Panics
/// If a position is beyond the table.
pub(crate) fn rope(
    set: InstructionSet,
    table: &RopeTable,
    positions: &[u32],
    turn: Turn,
    x: &mut Matrix,
) {
    let half = table.half;
    let (stride, width) = (x.stride, x.columns);
    run(
        set,
        Plain(|| {
            for (row, &position) in positions.iter().enumerate() {
                let cosines = &table.cosines[position as usize * half..][..half];
                let sines = &table.sines[position as usize * half..][..half];
                let row = &mut x.padded_mut()[row * stride..][..width];
                for head in row.chunks_exact_mut(2 * half) {
                    let (first, second) = head.split_at_mut(half);
                    for i in 0..half {
                        let (a, b, cos) = (first[i], second[i], cosines[i]);
                        let sin = if turn == Turn::Forward {
                            sines[i]
                        } else {
                            -sines[i]
                        };
                        first[i] = a * cos - b * sin;
                        second[i] = b * cos + a * sin;
                    }
                }
            }
        }),
    );
}

/// Norms every head of every row in place: x · scale · weight; the scales go to `scales`, `[R · heads]`.
///
/// # Shapes
/// - `x`: `[R, heads · head_width]`; `weight`: `[head_width]`
pub(crate) fn norm_heads(
    set: InstructionSet,
    x: &mut Matrix,
    weight: &[f32],
    epsilon: f64,
    scales: &mut Vec<f32>,
) {
    scales.clear();
    let (stride, width, rows) = (x.stride, x.columns, x.rows);
    run(
        set,
        Plain(|| {
            for row in 0..rows {
                let row = &mut x.padded_mut()[row * stride..][..width];
                for head in row.chunks_exact_mut(weight.len()) {
                    let mut sum = 0.0;
                    for &x in &*head {
                        sum += f64::from(x) * f64::from(x);
                    }
                    let scale = (1.0 / (sum / weight.len() as f64 + epsilon).sqrt()) as f32;
                    scales.push(scale);
                    for (x, weight) in head.iter_mut().zip(weight) {
                        *x *= scale * weight;
                    }
                }
            }
        }),
    );
}

/// Replaces dy of [`norm_heads`] by dx; `x` is its input. Adds the weight's gradient to `dw`.
///
/// # Shapes
/// - `x`, `dy`: `[R, heads · head_width]`; `weight`, `dw`: `[head_width]`; `scales`: `[R · heads]`
pub(crate) fn norm_heads_backward(
    set: InstructionSet,
    x: &Matrix,
    weight: &[f32],
    scales: &[f32],
    dy: &mut Matrix,
    mut dw: Option<&mut [f32]>,
) {
    let (stride, width, rows) = (x.stride, x.columns, x.rows);
    run(
        set,
        Plain(|| {
            let mut scales = scales.iter();
            for row in 0..rows {
                let x = &x.padded()[row * stride..][..width];
                let dy = &mut dy.padded_mut()[row * stride..][..width];
                let heads = x
                    .chunks_exact(weight.len())
                    .zip(dy.chunks_exact_mut(weight.len()));
                for ((x, dy), &scale) in heads.zip(&mut scales) {
                    let mut sum = 0.0;
                    for ((&x, &dy), &w) in x.iter().zip(&*dy).zip(weight) {
                        sum += f64::from(dy) * f64::from(w) * f64::from(x);
                    }
                    let mean = (sum * f64::from(scale) / weight.len() as f64) as f32;
                    if let Some(dw) = &mut dw {
                        for ((dw, &x), &dy) in dw.iter_mut().zip(x).zip(&*dy) {
                            *dw += dy * x * scale;
                        }
                    }
                    for ((dy, &x), &w) in dy.iter_mut().zip(x).zip(weight) {
                        *dy = scale * (*dy * w - x * scale * mean);
                    }
                }
            }
        }),
    );
}

/// The gate's function and its derivative.
#[inline(always)]
fn activation(kind: GateActivation, x: &Lanes) -> (Lanes, Lanes) {
    match kind {
        GateActivation::Silu => {
            let s = math::sigmoid(*x);
            (
                std::array::from_fn(|i| x[i] * s[i]),
                std::array::from_fn(|i| s[i] * (1.0 + x[i] * (1.0 - s[i]))),
            )
        }
        GateActivation::GeluTanh => {
            // GELU(x) ≈ x σ(2u), u = √(2/π) (x + 0.044715 x³), since (1 + tanh u) / 2 = σ(2u).
            const ROOT: f32 = 0.797_884_6;
            const CUBE: f32 = 0.044_715;
            let s = math::sigmoid(std::array::from_fn(|i| {
                2.0 * ROOT * (x[i] + CUBE * x[i] * x[i] * x[i])
            }));
            (
                std::array::from_fn(|i| x[i] * s[i]),
                std::array::from_fn(|i| {
                    let slope = 2.0 * ROOT * (1.0 + 3.0 * CUBE * x[i] * x[i]);
                    s[i] + x[i] * s[i] * (1.0 - s[i]) * slope
                }),
            )
        }
    }
}

/// Writes activation(gate) · up to `out`.
///
/// # Shapes
/// - `gate`, `up`: `[R, ffn_width]`
pub(crate) fn gated(
    set: InstructionSet,
    kind: GateActivation,
    gate: &Matrix,
    up: &Matrix,
    out: &mut Operand,
) {
    let stride = gate.stride;
    fill(set, out, gate.rows, gate.columns, |row, lane| {
        let gate = &lanes(&gate.padded()[row * stride..][..stride])[lane];
        let up = &lanes(&up.padded()[row * stride..][..stride])[lane];
        let (value, _) = activation(kind, gate);
        std::array::from_fn(|i| value[i] * up[i])
    });
}

/// Replaces gate and up by their gradients, given that of their gated product.
pub(crate) fn gated_backward(
    set: InstructionSet,
    kind: GateActivation,
    d_out: &Matrix,
    gate: &mut Matrix,
    up: &mut Matrix,
) {
    run(
        set,
        Plain(|| {
            let gates = lanes_mut(gate.padded_mut()).iter_mut();
            let ups = lanes_mut(up.padded_mut()).iter_mut();
            for ((gate, up), d) in gates.zip(ups).zip(lanes(d_out.padded())) {
                let (value, slope) = activation(kind, gate);
                for i in 0..LANE {
                    let d_gate = d[i] * up[i] * slope[i];
                    up[i] = d[i] * value[i];
                    gate[i] = d_gate;
                }
            }
        }),
    );
}
