//! Everything of a step that is not a product: epilogues, the loss, bias gradients, updates, bf16 copies.

use undertone_simd::Isa;
use undertone_simd::math::{exp, gelu, sigmoid};

use super::super::architecture::Activation;
use super::super::lane::{LANE, Lane};
use super::super::loss::LossKind;
use super::super::optimiser::Update;
use super::gemm::{Epilogue, PanelSink};

/// Adds the bias and applies ReLU.
pub(crate) struct BiasRelu {
    pub bias: *const f32,
}

impl<I: Isa> Epilogue<I> for BiasRelu {
    #[inline(always)]
    unsafe fn apply(&self, panel: usize, _row: usize, value: I::V) -> I::V {
        // SAFETY: one bias lane a panel.
        unsafe {
            I::max(
                I::add(value, I::load(self.bias.add(panel * LANE))),
                I::zero(),
            )
        }
    }
}

/// Adds the bias and nothing else: the output layer.
pub(crate) struct BiasOnly {
    pub bias: *const f32,
}

impl<I: Isa> Epilogue<I> for BiasOnly {
    #[inline(always)]
    unsafe fn apply(&self, panel: usize, _row: usize, value: I::V) -> I::V {
        // SAFETY: one bias lane a panel.
        unsafe { I::add(value, I::load(self.bias.add(panel * LANE))) }
    }
}

/// Adds the bias, applies a smooth activation, and keeps its derivative for the backward pass.
pub(crate) struct BiasSmooth {
    pub bias: *const f32,
    pub activation: Activation,
    /// Columns that are no padding.
    pub columns: usize,
    pub slopes: *mut f32,
    pub stride: usize,
}

impl<I: Isa> Epilogue<I> for BiasSmooth {
    #[inline(always)]
    unsafe fn apply(&self, panel: usize, row: usize, value: I::V) -> I::V {
        // SAFETY: one bias lane a panel; slopes have the shape of the activations.
        unsafe {
            let mut z = [0.0; LANE];
            I::store(
                z.as_mut_ptr(),
                I::add(value, I::load(self.bias.add(panel * LANE))),
            );
            let (mut activated, slope) = match self.activation {
                Activation::Gelu => gelu(z),
                Activation::Sigmoid => {
                    let s = sigmoid(z);
                    (s, s.map(|s| s * (1.0 - s)))
                }
                Activation::Relu => (z.map(|z| z.max(0.0)), z.map(|z| f32::from(z > 0.0))),
            };
            // sigmoid(0) is not 0: left alone, padding columns would train the weights above them.
            let live = (self.columns - panel * LANE).min(LANE);
            activated[live..].fill(0.0);
            I::store(
                self.slopes.add(panel * self.stride + row * LANE),
                I::load(slope.as_ptr()),
            );
            I::load(activated.as_ptr())
        }
    }
}

/// Backward through ReLU: quotes `h = max(0, z)`, so the gradient passes where `h > 0`.
pub(crate) struct GateRelu {
    pub activations: *const f32,
    pub stride: usize,
}

impl<I: Isa> Epilogue<I> for GateRelu {
    #[inline(always)]
    unsafe fn apply(&self, panel: usize, row: usize, value: I::V) -> I::V {
        // SAFETY: activations have the shape of C.
        unsafe {
            I::where_positive(
                I::load(self.activations.add(panel * self.stride + row * LANE)),
                value,
            )
        }
    }
}

/// Backward through a smooth activation: multiplies with the kept derivative.
pub(crate) struct GateSlope {
    pub slopes: *const f32,
    pub stride: usize,
}

impl<I: Isa> Epilogue<I> for GateSlope {
    #[inline(always)]
    unsafe fn apply(&self, panel: usize, row: usize, value: I::V) -> I::V {
        // SAFETY: slopes have the shape of C.
        unsafe {
            I::mul(
                I::load(self.slopes.add(panel * self.stride + row * LANE)),
                value,
            )
        }
    }
}

/// Consumes gradient panels by updating the weights on the spot.
pub(crate) struct UpdateSink {
    pub weights: *mut f32,
    pub first: *mut f32,
    pub second: *mut f32,
    /// Values in a panel.
    pub stride: usize,
    pub update: Update,
}

impl<I: Isa> PanelSink<I> for UpdateSink {
    #[inline(always)]
    unsafe fn take(&mut self, panel: usize, lanes: *const f32) {
        let at = panel * self.stride;
        // SAFETY: weights and moments have the shape of the gradient, save moments the rule does not have: those are
        // never read, but must not be offset out of their empty allocation either.
        unsafe {
            update::<I>(
                self.weights.add(at),
                self.first.wrapping_add(at),
                self.second.wrapping_add(at),
                lanes,
                self.stride / LANE,
                &self.update,
            );
        }
    }
}

/// Keeps gradient panels.
pub(crate) struct CopySink {
    pub to: *mut f32,
    pub stride: usize,
}

impl<I: Isa> PanelSink<I> for CopySink {
    #[inline(always)]
    unsafe fn take(&mut self, panel: usize, lanes: *const f32) {
        // SAFETY: `to` has the shape of the gradient.
        unsafe {
            std::ptr::copy_nonoverlapping(lanes, self.to.add(panel * self.stride), self.stride)
        }
    }
}

/// Applies one optimiser step to `lanes` lanes.
///
/// # Safety
/// The processor has `I`; pointers are valid for `lanes` lanes (`second` only for Adam, `first` not for plain SGD).
#[inline(always)]
pub(crate) unsafe fn update<I: Isa>(
    weights: *mut f32,
    first: *mut f32,
    second: *mut f32,
    gradient: *const f32,
    lanes: usize,
    update: &Update,
) {
    // SAFETY: offsets below `lanes * 16`.
    unsafe {
        match *update {
            Update::Adam {
                c1,
                b2,
                c2,
                rate,
                root,
                eps,
            } => {
                let (c1, b2, c2) = (I::splat(c1), I::splat(b2), I::splat(c2));
                let (rate, root, eps) = (I::splat(-rate), I::splat(root), I::splat(eps));
                for at in (0..lanes * LANE).step_by(LANE) {
                    let g = I::load(gradient.add(at));
                    let m = I::load(first.add(at));
                    let m = I::fma(c1, I::sub(g, m), m);
                    let v = I::fma(I::mul(c2, g), g, I::mul(b2, I::load(second.add(at))));
                    let scale = I::div(m, I::fma(I::sqrt(v), root, eps));
                    I::store(first.add(at), m);
                    I::store(second.add(at), v);
                    I::store(
                        weights.add(at),
                        I::fma(rate, scale, I::load(weights.add(at))),
                    );
                }
            }
            Update::Momentum { rate, momentum } => {
                let (rate, momentum) = (I::splat(-rate), I::splat(momentum));
                for at in (0..lanes * LANE).step_by(LANE) {
                    let u = I::fma(momentum, I::load(first.add(at)), I::load(gradient.add(at)));
                    I::store(first.add(at), u);
                    I::store(weights.add(at), I::fma(rate, u, I::load(weights.add(at))));
                }
            }
            Update::Plain { rate } => {
                let rate = I::splat(-rate);
                for at in (0..lanes * LANE).step_by(LANE) {
                    let g = I::load(gradient.add(at));
                    I::store(weights.add(at), I::fma(rate, g, I::load(weights.add(at))));
                }
            }
        }
    }
}

/// Sums each panel of a batch over its rows, in four interleaved partial sums added in fixed order.
///
/// # Safety
/// The processor has `I`; `rows` (a multiple of 8) lanes a panel, one lane a panel in `to`.
#[inline(always)]
pub(crate) unsafe fn column_sums<I: Isa>(
    from: *const f32,
    stride: usize,
    panels: usize,
    rows: usize,
    to: *mut f32,
) {
    // SAFETY: rows and panels as promised.
    unsafe {
        for panel in 0..panels {
            let lanes = from.add(panel * stride);
            let mut sums = [I::zero(); 4];
            for row in (0..rows).step_by(4) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = I::add(*sum, I::load(lanes.add((row + i) * LANE)));
                }
            }
            I::store(
                to.add(panel * LANE),
                I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3])),
            );
        }
    }
}

/// Writes bf16 copies of `lanes` consecutive lanes: row by row, and as pairs of rows; either may be left out.
///
/// # Safety
/// The processor has `I`; `lanes` is even; targets are null or hold as many values.
#[inline(always)]
pub(crate) unsafe fn to_bf16<I: Isa>(
    from: *const f32,
    lanes: usize,
    rows: *mut u16,
    pairs: *mut u32,
) {
    // SAFETY: as promised.
    unsafe {
        for lane in (0..lanes).step_by(2) {
            let (a, b) = (
                I::load(from.add(lane * LANE)),
                I::load(from.add((lane + 1) * LANE)),
            );
            if !rows.is_null() {
                I::store_row(rows.add(lane * LANE), a);
                I::store_row(rows.add((lane + 1) * LANE), b);
            }
            if !pairs.is_null() {
                I::store_pairs(pairs.add(lane / 2 * LANE), a, b);
            }
        }
    }
}

/// Transposes parameter panels `[n][k lanes]` into `[k][n lanes]`, 16 × 16 values at a time.
///
/// # Safety
/// `from` holds `n_panels` × `k_panels * 16` lanes and `to` as many.
#[inline(always)]
pub(crate) unsafe fn transpose(from: *const f32, k_panels: usize, n_panels: usize, to: *mut f32) {
    // SAFETY: as promised.
    unsafe {
        for n in 0..n_panels {
            for k in 0..k_panels {
                let block = &*from
                    .add((n * k_panels + k) * LANE * LANE)
                    .cast::<[[f32; LANE]; LANE]>();
                let out = &mut *to
                    .add((k * n_panels + n) * LANE * LANE)
                    .cast::<[[f32; LANE]; LANE]>();
                for (j, lane) in out.iter_mut().enumerate() {
                    for (i, value) in lane.iter_mut().enumerate() {
                        *value = block[i][j];
                    }
                }
            }
        }
    }
}

/// A batch's targets.
#[derive(Clone, Copy)]
pub(crate) enum Goal<'a> {
    /// A class for each row.
    Labels(&'a [u8]),
    /// Teacher logits, `width` a row.
    Logits { values: &'a [f32], width: usize },
}

/// Where the loss reads and writes.
pub(crate) struct LossTask<'a> {
    pub logits: *const f32,
    pub gradient: *mut f32,
    /// Lanes from panel to panel, in both.
    pub stride: usize,
    pub panels: usize,
    pub rows: usize,
    pub padded_rows: usize,
    pub kind: LossKind,
    /// Selected logits, start and end.
    pub from: usize,
    pub to: usize,
    /// Factor of the per-example gradient, before temperature.
    pub scale: f32,
    /// 1 / temperature.
    pub sharpness: f32,
    pub goal: Goal<'a>,
    /// Room for three rows of logits: 3 × `panels` lanes.
    pub scratch: &'a mut [Lane],
}

/// Computes the sum over rows of the loss, and the scaled gradient with respect to every logit.
///
/// Unselected logits and padding rows get a gradient of 0.
///
/// # Safety
/// The processor has the set this is inlined into; the task's pointers hold what it says; labels lie in the range.
#[inline(always)]
pub(crate) unsafe fn loss(task: LossTask<'_>) -> f64 {
    let LossTask {
        logits,
        gradient,
        stride,
        panels,
        rows,
        padded_rows,
        kind,
        from,
        to,
        scale,
        sharpness,
        goal,
        scratch,
    } = task;
    // loss(z / T) has the gradient loss'(z / T) / T; the squared error takes raw logits.
    let sharpness = if kind == LossKind::Mse {
        1.0
    } else {
        sharpness
    };
    let scale = scale * sharpness;
    let (student, rest) = scratch.split_at_mut(panels);
    let (teacher, gaps) = rest.split_at_mut(panels);
    let mut total = 0.0f64;
    // SAFETY: every lane (panel, row) lies inside `logits` and `gradient`.
    unsafe {
        let lane_of = |panel: usize, row: usize| (panel * stride + row) * LANE;
        for row in 0..rows {
            for (panel, lane) in student.iter_mut().enumerate() {
                *lane = Lane(
                    (*logits.add(lane_of(panel, row)).cast::<Lane>())
                        .0
                        .map(|z| z * sharpness),
                );
            }
            match goal {
                Goal::Labels(labels) => {
                    total += cross_entropy(student, from, to, usize::from(labels[row]))
                }
                Goal::Logits { values, width } => {
                    let values = &values[row * width..][..width];
                    for (panel, lane) in teacher.iter_mut().enumerate() {
                        let part =
                            &values[(panel * LANE).min(width)..(panel * LANE + LANE).min(width)];
                        lane.0 = [0.0; LANE];
                        lane.0[..part.len()].copy_from_slice(part);
                        lane.0 = lane.0.map(|z| z * sharpness);
                    }
                    total += match kind {
                        LossKind::Mse => mse(student, teacher, from, to),
                        LossKind::Kl | LossKind::CrossEntropy => {
                            kl(student, teacher, gaps, from, to)
                        }
                    };
                }
            }
            for (panel, lane) in student.iter().enumerate() {
                *gradient.add(lane_of(panel, row)).cast::<Lane>() = Lane(lane.0.map(|g| g * scale));
            }
        }
        for row in rows..padded_rows {
            for panel in 0..panels {
                *gradient.add(lane_of(panel, row)).cast::<Lane>() = Lane::default();
            }
        }
    }
    total
}

/// Whether column `panel * 16 + lane` is selected.
#[inline(always)]
fn selected(panel: usize, lane: usize, from: usize, to: usize) -> bool {
    let column = panel * LANE + lane;
    column >= from && column < to
}

/// Replaces logits by softmax over the selected ones (0 elsewhere) and returns the log of the normaliser.
#[inline(always)]
fn softmax(row: &mut [Lane], from: usize, to: usize) -> f32 {
    let mut top = [f32::NEG_INFINITY; LANE];
    for (panel, values) in row.iter().enumerate() {
        for (lane, top) in top.iter_mut().enumerate() {
            let value = if selected(panel, lane, from, to) {
                values.0[lane]
            } else {
                f32::NEG_INFINITY
            };
            *top = if value > *top { value } else { *top };
        }
    }
    let top = top
        .iter()
        .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut sums = [0.0f32; LANE];
    for (panel, values) in row.iter_mut().enumerate() {
        let e = exp(values.0.map(|z| z - top));
        for lane in 0..LANE {
            values.0[lane] = if selected(panel, lane, from, to) {
                e[lane]
            } else {
                0.0
            };
            sums[lane] += values.0[lane];
        }
    }
    let sum: f32 = sums.iter().sum();
    let inverse = 1.0 / sum;
    for values in row.iter_mut() {
        values.0 = values.0.map(|e| e * inverse);
    }
    top + sum.ln()
}

/// Loss -log p\[label\]; leaves p - onehot(label).
#[inline(always)]
fn cross_entropy(row: &mut [Lane], from: usize, to: usize, label: usize) -> f64 {
    let column = from + label;
    let logit = row[column / LANE].0[column % LANE];
    let normaliser = softmax(row, from, to);
    row[column / LANE].0[column % LANE] -= 1.0;
    f64::from(normaliser - logit)
}

/// Loss Σ p (log p - log q) = Σ p (t - s) - (log Z_t - log Z_s); leaves q - p.
#[inline(always)]
fn kl(
    student: &mut [Lane],
    teacher: &mut [Lane],
    gaps: &mut [Lane],
    from: usize,
    to: usize,
) -> f64 {
    for (panel, gap) in gaps.iter_mut().enumerate() {
        let (teacher, student) = (&teacher[panel].0, &student[panel].0);
        for (lane, gap) in gap.0.iter_mut().enumerate() {
            // Not merely weighted by 0 later: an infinite logit nobody asked for must not make the loss NaN.
            *gap = if selected(panel, lane, from, to) {
                teacher[lane] - student[lane]
            } else {
                0.0
            };
        }
    }
    let (student_norm, teacher_norm) = (softmax(student, from, to), softmax(teacher, from, to));
    let mut sums = [0.0f32; LANE];
    for ((gap, teacher), student) in gaps.iter().zip(teacher.iter()).zip(student.iter_mut()) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += teacher.0[lane] * gap.0[lane];
            student.0[lane] -= teacher.0[lane];
        }
    }
    f64::from(sums.iter().sum::<f32>()) - f64::from(teacher_norm - student_norm)
}

/// Loss mean over selected of (s - t)²; leaves 2 (s - t) / selected.
#[inline(always)]
fn mse(student: &mut [Lane], teacher: &[Lane], from: usize, to: usize) -> f64 {
    let inverse = 1.0 / (to - from) as f32;
    let mut total = 0.0f64;
    for (panel, values) in student.iter_mut().enumerate() {
        for lane in 0..LANE {
            let gap = values.0[lane] - teacher[panel].0[lane];
            let gap = if selected(panel, lane, from, to) {
                gap
            } else {
                0.0
            };
            total += f64::from(gap * gap);
            values.0[lane] = 2.0 * gap * inverse;
        }
    }
    total * f64::from(inverse)
}
