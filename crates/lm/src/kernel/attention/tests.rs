//! Attention against plain sums in f64, over sequences that end inside tiles, panels and windows.

use undertone_core::Seed;

use super::*;
use crate::kernel::tests::sets;

/// One sequence, in rows `FIRST..` of larger matrices whose other rows are no numbers.
struct Case {
    shape: HeadShape,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    d_out: Matrix,
    tokens: usize,
}

const FIRST: usize = 2;

/// heads, key heads, head width
const SHAPES: [(usize, usize, usize); 6] = [
    (1, 1, 16),
    (3, 1, 6),
    (4, 2, 8),
    (6, 3, 24),
    (2, 2, 18),
    (9, 3, 64),
];

fn case((heads, kv_heads, head_width): (usize, usize, usize), tokens: usize) -> Case {
    let mut stream = Seed(9).stream("lm/test", (heads * 1000 + tokens) as u64);
    let mut draw = |heads: usize| {
        let mut x = Matrix::zeros(FIRST + tokens + 1, heads * head_width);
        x.padded_mut().fill(f32::NAN);
        for row in FIRST..FIRST + tokens {
            for x in x.row_mut(row) {
                *x = 1.5 * stream.normal() as f32;
            }
        }
        x
    };
    Case {
        q: draw(heads),
        k: draw(kv_heads),
        v: draw(kv_heads),
        d_out: draw(heads),
        shape: HeadShape {
            heads,
            kv_heads,
            head_width,
            scale: 1.0 / (head_width as f32).sqrt(),
            window: None,
        },
        tokens,
    }
}

impl Case {
    fn windowed(mut self, window: Option<usize>) -> Self {
        self.shape.window = window;
        self
    }

    fn rows(&self) -> Range<usize> {
        FIRST..FIRST + self.tokens
    }

    fn cache(&self, tokens: usize) -> LayerKv {
        let mut kv = LayerKv::new(self.shape.kv_heads, self.shape.head_width);
        kv.append(&self.k, &self.v, FIRST..FIRST + tokens);
        kv
    }

    /// Attends in passes of `step` queries; returns out and log-sums.
    fn attend(&self, set: InstructionSet, step: usize) -> (Matrix, Matrix) {
        let mut out = Matrix::zeros(self.q.rows, self.q.columns);
        let mut log_sums = Matrix::zeros(self.q.rows, self.shape.heads);
        let mut scratch = AttentionScratch::default();
        for position in (0..self.tokens).step_by(step) {
            let tokens = step.min(self.tokens - position);
            let queries = Queries {
                shape: self.shape,
                q: &self.q,
                rows: FIRST + position..FIRST + position + tokens,
                position,
                kv: &self.cache(position + tokens),
            };
            // Key head by key head, the last first, as threads might.
            for head in (0..self.shape.kv_heads).rev() {
                let (out, log_sums) = (Output::of(&mut out), Output::of(&mut log_sums));
                attention(
                    set,
                    &queries,
                    head..head + 1,
                    &mut scratch,
                    out,
                    Some(log_sums),
                );
            }
        }
        (out, log_sums)
    }

    /// Returns the gradients of q, k and v.
    fn backward(&self, set: InstructionSet, scratch: &mut AttentionScratch) -> [Matrix; 3] {
        let (_, log_sums) = self.attend(set, self.tokens);
        let like = |x: &Matrix| Matrix::zeros(x.rows, x.columns);
        let (mut q, mut k, mut v) = (like(&self.q), like(&self.k), like(&self.v));
        let gradients = AttentionGradients {
            q: &mut q,
            k: &mut k,
            v: &mut v,
        };
        let queries = Queries {
            shape: self.shape,
            q: &self.q,
            rows: self.rows(),
            position: 0,
            kv: &self.cache(self.tokens),
        };
        attention_backward(set, &queries, &log_sums, &self.d_out, scratch, gradients);
        [q, k, v]
    }

    fn plain(&self) -> Plain {
        let wide = |x: &Matrix| {
            let rows = self
                .rows()
                .map(|row| x.row(row).iter().copied().map(f64::from).collect());
            rows.collect()
        };
        Plain {
            shape: self.shape,
            q: wide(&self.q),
            k: wide(&self.k),
            v: wide(&self.v),
        }
    }
}

/// The formulas in f64.
#[derive(Clone)]
struct Plain {
    shape: HeadShape,
    q: Vec<Vec<f64>>,
    k: Vec<Vec<f64>>,
    v: Vec<Vec<f64>>,
}

impl Plain {
    /// Returns out and log-sum of one head of one token.
    fn head(&self, token: usize, head: usize) -> (Vec<f64>, f64) {
        let HeadShape {
            head_width: width,
            scale,
            window,
            ..
        } = self.shape;
        let of_q = head * width..(head + 1) * width;
        let kv_head = head / self.shape.group();
        let of_kv = kv_head * width..(kv_head + 1) * width;
        let first = window.map_or(0, |window| (token + 1).saturating_sub(window));
        let weights: Vec<f64> = (first..=token)
            .map(|key| {
                let pairs = self.q[token][of_q.clone()]
                    .iter()
                    .zip(&self.k[key][of_kv.clone()]);
                (f64::from(scale) * pairs.map(|(q, k)| q * k).sum::<f64>()).exp()
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        let mut out = vec![0.0; width];
        for (key, weight) in (first..).zip(&weights) {
            for (out, v) in out.iter_mut().zip(&self.v[key][of_kv.clone()]) {
                *out += weight / sum * v;
            }
        }
        (out, sum.ln())
    }

    /// Returns Σ out · d_out.
    fn value(&self, d_out: &[Vec<f64>]) -> f64 {
        let mut sum = 0.0;
        for (token, d_out) in d_out.iter().enumerate() {
            for (head, d_out) in d_out.chunks_exact(self.shape.head_width).enumerate() {
                let (out, _) = self.head(token, head);
                sum += out.iter().zip(d_out).map(|(out, d)| out * d).sum::<f64>();
            }
        }
        sum
    }

    fn part(&mut self, part: usize) -> &mut Vec<Vec<f64>> {
        [&mut self.q, &mut self.k, &mut self.v]
            .into_iter()
            .nth(part)
            .expect("three parts")
    }
}

#[track_caller]
fn check(case: &Case, set: InstructionSet) {
    let (plain, (out, log_sums)) = (case.plain(), case.attend(set, case.tokens));
    for token in 0..case.tokens {
        for head in 0..case.shape.heads {
            let (expected, log_sum) = plain.head(token, head);
            let width = case.shape.head_width;
            let found = &out.row(FIRST + token)[head * width..][..width];
            for (&found, expected) in found.iter().zip(expected) {
                // abs: scores up to 20, rounded in f32, of values up to 6.
                assert!(
                    (f64::from(found) - expected).abs() < 2e-5,
                    "{set:?} {:?} token {token}: {found} for {expected}",
                    case.shape
                );
            }
            let found = f64::from(log_sums.row(FIRST + token)[head]);
            assert!((found - log_sum).abs() < 5e-6, "{found} for {log_sum}");
        }
    }
    for row in [0, 1, FIRST + case.tokens] {
        assert!(
            out.row(row).iter().all(|&x| x == 0.0),
            "other rows are left alone"
        );
    }
}

#[test]
fn attention_agrees_with_plain_sums_at_every_length() {
    for set in sets() {
        for tokens in 1..=70 {
            check(&case(SHAPES[tokens % SHAPES.len()], tokens), set);
        }
    }
}

#[test]
fn a_window_hides_what_is_before_it() {
    for set in sets() {
        for window in [1, 2, 15, 16, 17, 40, 90] {
            for (index, tokens) in [1, 16, 33, 70].into_iter().enumerate() {
                let shape = SHAPES[(window + index) % SHAPES.len()];
                check(&case(shape, tokens).windowed(Some(window)), set);
            }
        }
    }
}

#[test]
fn a_query_has_the_same_bits_alone_and_among_others() {
    for set in sets() {
        for shape in SHAPES {
            for window in [None, Some(1), Some(21)] {
                let case = case(shape, 53).windowed(window);
                let (whole, log_sums) = case.attend(set, 53);
                for step in [1, 2, 5, 19, 52] {
                    let (steps, log_sums_of_steps) = case.attend(set, step);
                    for row in case.rows() {
                        assert_eq!(whole.row(row), steps.row(row), "{set:?} {shape:?} {step}");
                        assert_eq!(log_sums.row(row), log_sums_of_steps.row(row));
                    }
                }
            }
        }
    }
}

/// Compares with five-point differences of the f64 formulas.
#[track_caller]
fn check_backward(case: &Case, set: InstructionSet) {
    const STEP: f64 = 1e-3;
    let gradients = case.backward(set, &mut AttentionScratch::default());
    let mut plain = case.plain();
    let d_out: Vec<Vec<f64>> = case
        .rows()
        .map(|row| case.d_out.row(row).iter().copied().map(f64::from).collect())
        .collect();
    let mut stream = Seed(10).stream("lm/test", case.tokens as u64);
    for (part, found) in gradients.iter().enumerate() {
        for _ in 0..6 {
            let row = stream.below(case.tokens as u64) as usize;
            let column = stream.below(found.columns as u64) as usize;
            let centre = plain.part(part)[row][column];
            let mut at = |steps: f64| {
                plain.part(part)[row][column] = centre + steps * STEP;
                plain.value(&d_out)
            };
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
            plain.part(part)[row][column] = centre;
            let found = f64::from(found.row(FIRST + row)[column]);
            // abs and rel: sums of up to 200 products in f32.
            assert!(
                (found - slope).abs() < 1e-4 + 1e-5 * slope.abs(),
                "{set:?} {:?} part {part} row {row} column {column}: {found} for {slope}",
                case.shape
            );
        }
    }
    for gradient in &gradients {
        for row in [0, 1, FIRST + case.tokens] {
            assert!(
                gradient.row(row).iter().all(|&x| x == 0.0),
                "other rows are left alone"
            );
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_formulas() {
    for set in sets() {
        for (index, tokens) in [1, 2, 7, 16, 17, 32, 33, 41, 64, 70]
            .into_iter()
            .enumerate()
        {
            let shape = SHAPES[index % SHAPES.len()];
            check_backward(&case(shape, tokens), set);
            check_backward(&case(shape, tokens).windowed(Some(1 + 3 * index)), set);
        }
    }
}

#[test]
fn all_sets_agree_on_every_gradient() {
    for shape in SHAPES {
        for window in [None, Some(20)] {
            let case = case(shape, 45).windowed(window);
            let plain = case.backward(InstructionSet::Portable, &mut AttentionScratch::default());
            for set in sets() {
                let found = case.backward(set, &mut AttentionScratch::default());
                for (plain, found) in plain.iter().zip(&found) {
                    for row in case.rows() {
                        for (a, b) in plain.row(row).iter().zip(found.row(row)) {
                            // abs and rel: fused or not.
                            assert!(
                                (a - b).abs() < 1e-4 + 1e-5 * a.abs(),
                                "{set:?}: {b} for {a}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn memory_of_earlier_calls_leaves_no_trace() {
    for set in sets() {
        let mut scratch = AttentionScratch::default();
        let mut poison = case((9, 3, 64), 67);
        for x in [
            &mut poison.q,
            &mut poison.k,
            &mut poison.v,
            &mut poison.d_out,
        ] {
            x.padded_mut().fill(f32::NAN);
        }
        poison.backward(set, &mut scratch);
        for shape in SHAPES {
            for window in [None, Some(9)] {
                let case = case(shape, 37).windowed(window);
                let fresh = case.backward(set, &mut AttentionScratch::default());
                let used = case.backward(set, &mut scratch);
                for (fresh, used) in fresh.iter().zip(&used) {
                    assert_eq!(fresh.padded(), used.padded(), "{set:?} {shape:?}");
                }
            }
        }
    }
}
