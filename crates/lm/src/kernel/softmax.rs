//! From a row of logits to probabilities, the best tokens, losses and the gradients of losses.
//!
//! Legend: `z` a row of logits, `q = softmax(z)`, `p` what it is compared with. What a loss is, is defined in
//! [`crate::loss`]. Exponentials are `f32`, their sums `f64`, 16 of them over places with the same remainder: a
//! log-probability is good to 1e-6.

use undertone_simd::{InstructionSet, LANE, Plain, math, run};

use crate::loss::{log_softmax, reverse_kl};

/// Sixteen neighbouring numbers.
pub(crate) type Lanes = [f32; LANE];

/// Returns the largest of `x`; -∞ if it is empty.
#[inline(always)]
pub(crate) fn largest(x: &[Lanes]) -> f32 {
    let mut max: Lanes = [f32::NEG_INFINITY; LANE];
    for lane in x {
        max = std::array::from_fn(|i| if lane[i] > max[i] { lane[i] } else { max[i] });
    }
    max.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Returns exp(x - offset), exactly 0 where x is -∞.
#[inline(always)]
pub(crate) fn exp_from(x: &Lanes, offset: f32) -> Lanes {
    let values = math::exp(x.map(|x| x - offset));
    std::array::from_fn(|i| {
        if x[i] == f32::NEG_INFINITY {
            0.0
        } else {
            values[i]
        }
    })
}

/// Adds the lanes of a sum, in `f64`, ascending.
#[inline(always)]
pub(crate) fn total(sums: Lanes) -> f64 {
    sums.into_iter().map(f64::from).sum()
}

/// A row in lanes: whole ones, and the rest filled up with -∞.
#[derive(Clone, Copy)]
struct Row<'a> {
    whole: &'a [Lanes],
    rest: Lanes,
    /// Numbers in `rest`.
    tail: usize,
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn of(x: &'a [f32]) -> Self {
        let (whole, tail) = x.as_chunks();
        let mut rest = [f32::NEG_INFINITY; LANE];
        rest[..tail.len()].copy_from_slice(tail);
        Self {
            whole,
            rest,
            tail: tail.len(),
        }
    }

    /// Returns the number of lanes, the rest included.
    #[inline(always)]
    fn len(&self) -> usize {
        self.whole.len() + 1
    }

    #[inline(always)]
    fn lane(&self, at: usize) -> &Lanes {
        self.whole.get(at).unwrap_or(&self.rest)
    }
}

/// What turns logits into probabilities: q = exp(z - max) / sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Softmax {
    max: f32,
    sum: f64,
}

impl Softmax {
    /// Computes the softmax of a row.
    pub fn of(set: InstructionSet, z: &[f32]) -> Self {
        let mut softmax = Self { max: 0.0, sum: 0.0 };
        run(set, Plain(|| softmax = Self::compute(z)));
        softmax
    }

    #[inline(always)]
    fn compute(z: &[f32]) -> Self {
        let row = Row::of(z);
        let max = largest(row.whole).max(largest(&[row.rest]));
        let mut sums = [0.0f64; LANE];
        for at in 0..row.len() {
            let e = exp_from(row.lane(at), max);
            for i in 0..LANE {
                sums[i] += f64::from(e[i]);
            }
        }
        Self {
            max,
            sum: sums.into_iter().sum(),
        }
    }

    /// Returns log Σ exp(z).
    pub fn log_sum(&self) -> f64 {
        f64::from(self.max) + self.sum.ln()
    }

    /// Returns log q of a token with logit `z`.
    pub fn log_probability(&self, z: f32) -> f64 {
        f64::from(z) - self.log_sum()
    }

    #[inline(always)]
    fn probabilities(&self, z: &Lanes) -> Lanes {
        let factor = (1.0 / self.sum) as f32;
        exp_from(z, self.max).map(|e| e * factor)
    }
}

/// Returns the `k` largest logits with their tokens, the largest first, of equal ones that of the smaller token.
pub(crate) fn top_k(set: InstructionSet, z: &[f32], k: usize) -> Vec<(u32, f32)> {
    let k = k.min(z.len());
    if k == 0 {
        return Vec::new();
    }
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let room = 2 * k + LANE;
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(room + LANE);
    let mut least = f32::NEG_INFINITY;
    run(
        set,
        Plain(|| {
            for (chunk, values) in z.chunks(LANE).enumerate() {
                if !values.iter().any(|&z| z > least || z.is_nan()) {
                    continue;
                }
                for (token, &z) in (chunk * LANE..).zip(values) {
                    if z > least || z.is_nan() {
                        // -0 becomes 0: the two are equal, and only the token decides.
                        best.push((token as u32, z + 0.0));
                    }
                }
                if best.len() >= room {
                    best.select_nth_unstable_by(k - 1, order);
                    best.truncate(k);
                    least = best[k - 1].1;
                }
            }
        }),
    );
    best.sort_unstable_by(order);
    best.truncate(k);
    best
}

/// What is known about a token: what q is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PositionTarget<'a> {
    /// It is this one.
    Token(u32),
    /// A teacher's best tokens; ids distinct.
    TopK {
        ids: &'a [u32],
        log_probabilities: &'a [f32],
    },
    /// A teacher's logits, of the whole vocabulary.
    Distribution(&'a [f32]),
}

/// A loss at a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LossKind<'a> {
    pub target: PositionTarget<'a>,
    /// Whether it is KL(q ‖ p) instead of KL(p ‖ q); nothing to a token.
    pub reverse: bool,
}

/// A row that is compared as a whole.
#[derive(Clone, Copy)]
struct Dense<'a> {
    row: Row<'a>,
    softmax: Softmax,
}

impl<'a> Dense<'a> {
    fn of(set: InstructionSet, row: &'a [f32]) -> Self {
        Self {
            row: Row::of(row),
            softmax: Softmax::of(set, row),
        }
    }
}

/// Returns the loss at a position, in nats, and replaces the logits by `weight` times its gradient.
///
/// `base` are the logits of the frozen base and the factor c of c · KL(base ‖ q), which is added.
///
/// # Shapes
/// - `z`, and all logits: `[V]`
///
/// # Panics
/// If the shapes do not fit, or an id is not below V.
pub(crate) fn position_loss(
    set: InstructionSet,
    z: &mut [f32],
    kind: LossKind<'_>,
    base: Option<(&[f32], f32)>,
    weight: f32,
) -> f64 {
    let own = Dense::of(set, z);
    let softmax = own.softmax;
    let base = base.map(|(row, factor)| (Dense::of(set, row), factor));
    let mut loss = 0.0;
    // Gradient: of_q · q + what single tokens, the teacher's distribution and the base add.
    let (mut of_q, mut teacher, mut tokens) = (1.0, Teacher::None, Vec::new());
    match kind.target {
        PositionTarget::Token(token) => {
            loss -= softmax.log_probability(z[token as usize]);
            tokens.push((token, -1.0));
        }
        PositionTarget::TopK {
            ids,
            log_probabilities,
        } if kind.reverse => {
            let chosen: Vec<f64> = ids.iter().map(|&id| f64::from(z[id as usize])).collect();
            let places: Vec<u32> = (0..ids.len() as u32).collect();
            let among_them = reverse_kl(&chosen, &places, log_probabilities);
            loss += among_them.value;
            of_q = 0.0;
            tokens.extend(ids.iter().copied().zip(among_them.gradient));
        }
        PositionTarget::TopK {
            ids,
            log_probabilities,
        } => {
            assert_eq!(ids.len(), log_probabilities.len(), "a probability an id");
            let wide: Vec<f64> = log_probabilities.iter().copied().map(f64::from).collect();
            for (&id, log_p) in ids.iter().zip(log_softmax(&wide)) {
                let p = libm::exp(log_p);
                loss += p * (log_p - softmax.log_probability(z[id as usize]));
                tokens.push((id, -p));
            }
        }
        PositionTarget::Distribution(row) if kind.reverse => {
            let p = Dense::of(set, row);
            let value = divergence(set, own, p);
            loss += value;
            of_q = 0.0;
            // log q - log p - KL = (z - z_p) - shift
            let shift = softmax.log_sum() - p.softmax.log_sum() + value;
            teacher = Teacher::Reverse {
                p,
                shift: shift as f32,
            };
        }
        PositionTarget::Distribution(row) => {
            let p = Dense::of(set, row);
            loss += divergence(set, p, own);
            teacher = Teacher::Forward(p);
        }
    }
    if let Some((base, factor)) = base {
        loss += f64::from(factor) * divergence(set, base, own);
        of_q += factor;
    }
    let gradient = Gradient {
        softmax,
        of_q,
        teacher,
        base,
        weight,
    };
    run(set, Plain(|| gradient.replace(z)));
    for (id, change) in tokens {
        z[id as usize] += weight * change as f32;
    }
    loss
}

/// Returns KL(p ‖ q) = Σ p (log p - log q), in nats.
fn divergence(set: InstructionSet, p: Dense<'_>, q: Dense<'_>) -> f64 {
    assert!(
        p.row.whole.len() == q.row.whole.len() && p.row.tail == q.row.tail,
        "logits of one vocabulary"
    );
    let mut sums = [0.0f64; LANE];
    run(
        set,
        Plain(|| {
            for at in 0..p.row.len() {
                let (zp, zq) = (p.row.lane(at), q.row.lane(at));
                let e = exp_from(zp, p.softmax.max);
                for i in 0..LANE {
                    let difference = f64::from(zp[i]) - f64::from(zq[i]);
                    sums[i] += if e[i] == 0.0 {
                        0.0
                    } else {
                        f64::from(e[i]) * difference
                    };
                }
            }
        }),
    );
    sums.into_iter().sum::<f64>() / p.softmax.sum - p.softmax.log_sum() + q.softmax.log_sum()
}

/// What a teacher's distribution adds to the gradient.
#[derive(Clone, Copy)]
enum Teacher<'a> {
    None,
    /// -p
    Forward(Dense<'a>),
    /// q (z - z_p - shift)
    Reverse {
        p: Dense<'a>,
        shift: f32,
    },
}

/// The gradient of a loss but for single tokens, with everything that is needed to compute it from the logits.
struct Gradient<'a> {
    softmax: Softmax,
    of_q: f32,
    teacher: Teacher<'a>,
    /// The base, and the factor of -b.
    base: Option<(Dense<'a>, f32)>,
    weight: f32,
}

impl Gradient<'_> {
    #[inline(always)]
    fn replace(&self, z: &mut [f32]) {
        let (whole, rest) = z.as_chunks_mut();
        for (at, lane) in whole.iter_mut().enumerate() {
            *lane = self.lane(at, lane);
        }
        let mut lane = [f32::NEG_INFINITY; LANE];
        lane[..rest.len()].copy_from_slice(rest);
        rest.copy_from_slice(&self.lane(whole.len(), &lane)[..rest.len()]);
    }

    #[inline(always)]
    fn lane(&self, at: usize, z: &Lanes) -> Lanes {
        let q = self.softmax.probabilities(z);
        let mut g = q.map(|q| self.of_q * q);
        match &self.teacher {
            Teacher::None => {}
            Teacher::Forward(teacher) => {
                let p = teacher.softmax.probabilities(teacher.row.lane(at));
                g = std::array::from_fn(|i| g[i] - p[i]);
            }
            Teacher::Reverse { p, shift } => {
                let zp = p.row.lane(at);
                g = std::array::from_fn(|i| g[i] + q[i] * (z[i] - zp[i] - shift));
            }
        }
        if let Some((base, factor)) = &self.base {
            let b = base.softmax.probabilities(base.row.lane(at));
            g = std::array::from_fn(|i| g[i] - factor * b[i]);
        }
        g.map(|g| self.weight * g)
    }
}

#[cfg(test)]
mod tests;
