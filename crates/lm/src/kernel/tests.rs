//! The products against plain loops, over shapes that end inside tiles, chunks and lanes.

use undertone_core::{Seed, Stream};
use undertone_simd::{InstructionSet, to_bf16};

use super::gradient::add_gradient;
use super::product::{Into, LowRank, Packed, product};
use crate::matrix::{Matrix, Operand};

pub(crate) fn sets() -> Vec<InstructionSet> {
    let all = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
        InstructionSet::Avx512Bf16,
        InstructionSet::EmulatedBf16,
    ];
    all.into_iter().filter(|set| set.is_available()).collect()
}

fn draws(stream: &mut Stream, n: usize) -> Vec<f32> {
    (0..n).map(|_| stream.uniform() as f32 - 0.5).collect()
}

pub(crate) fn matrix(rows: usize, columns: usize, values: &[f32]) -> Matrix {
    let mut matrix = Matrix::zeros(rows, columns);
    for row in 0..rows {
        matrix
            .row_mut(row)
            .copy_from_slice(&values[row * columns..][..columns]);
    }
    matrix
}

fn operand(x: &Matrix, pairs: bool) -> Operand {
    let mut operand = Operand::default();
    operand.load(x, pairs);
    operand
}

fn rounded(value: f32, pairs: bool) -> f64 {
    if pairs {
        f64::from(f32::from_bits(u32::from(to_bf16(value)) << 16))
    } else {
        f64::from(value)
    }
}

struct Case {
    x: Matrix,
    rows_of_w: Vec<f32>,
    u: Matrix,
    rows_of_b: Vec<f32>,
    y: Matrix,
    outputs: usize,
}

fn case(rows: usize, inputs: usize, outputs: usize, rank: usize) -> Case {
    let mut stream = Seed(7).stream(
        "lm/test",
        (rows * 1_000_003 + inputs * 1009 + outputs) as u64,
    );
    Case {
        x: matrix(rows, inputs, &draws(&mut stream, rows * inputs)),
        rows_of_w: draws(&mut stream, outputs * inputs),
        u: matrix(rows, rank, &draws(&mut stream, rows * rank)),
        rows_of_b: draws(&mut stream, outputs * rank),
        y: matrix(rows, outputs, &draws(&mut stream, rows * outputs)),
        outputs,
    }
}

fn packed(values: &[f32], outputs: usize, pairs: bool) -> Packed {
    let inputs = values.len() / outputs;
    let mut packed = Packed::zeros(outputs, inputs, pairs);
    for output in 0..outputs {
        packed.set_row(output, &values[output * inputs..][..inputs]);
    }
    packed
}

#[track_caller]
fn check(set: InstructionSet, rows: usize, inputs: usize, outputs: usize, rank: usize) {
    let case = case(rows, inputs, outputs, rank);
    let pairs = set.pairs();
    let w = packed(&case.rows_of_w, case.outputs, pairs);
    let b = packed(&case.rows_of_b, case.outputs, false);
    let mut y = case.y.clone();
    let low_rank = (rank > 0).then_some(LowRank { u: &case.u, b: &b });
    let into = if rank.is_multiple_of(2) {
        Into::Set
    } else {
        Into::Add
    };
    product(
        set,
        &operand(&case.x, pairs),
        &w,
        0..w.panels(),
        low_rank,
        into,
        &mut y,
    );
    for row in 0..rows {
        for output in 0..outputs {
            let mut sum = if into == Into::Add {
                f64::from(case.y.row(row)[output])
            } else {
                0.0
            };
            for (k, &x) in case.x.row(row).iter().enumerate() {
                sum += rounded(x, pairs) * rounded(case.rows_of_w[output * inputs + k], pairs);
            }
            for (j, &u) in case.u.row(row).iter().enumerate() {
                sum += f64::from(u) * f64::from(case.rows_of_b[output * rank + j]);
            }
            let got = f64::from(y.row(row)[output]);
            // abs: f32 sums of up to 2,100 products below 1/4.
            assert!(
                (got - sum).abs() < 3e-5,
                "{set:?} {rows}x{inputs}x{outputs}: {got} {sum}"
            );
        }
    }
}

#[test]
fn products_agree_with_plain_sums() {
    for set in sets() {
        for rows in [1, 2, 3, 5, 8, 9, 23] {
            check(set, rows, 33, 50, 4);
        }
        check(set, 9, 16, 16, 0);
        check(set, 11, 2_100, 65, 3);
        check(set, 17, 7, 1, 0);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    for set in sets() {
        let case = case(29, 130, 70, 5);
        let pairs = set.pairs();
        let w = packed(&case.rows_of_w, case.outputs, pairs);
        let b = packed(&case.rows_of_b, case.outputs, false);
        let product_of = |x: &Matrix, u: &Matrix| {
            let mut y = Matrix::zeros(x.rows, case.outputs);
            let low_rank = Some(LowRank { u, b: &b });
            product(
                set,
                &operand(x, pairs),
                &w,
                0..w.panels(),
                low_rank,
                Into::Set,
                &mut y,
            );
            y
        };
        let all = product_of(&case.x, &case.u);
        for row in 0..29 {
            let alone = product_of(
                &matrix(1, 130, case.x.row(row)),
                &matrix(1, 5, case.u.row(row)),
            );
            assert_eq!(alone.row(0), all.row(row), "{set:?}, row {row}");
        }
    }
}

#[test]
fn columns_and_rows_pack_the_same_matrix() {
    for pairs in [false, true] {
        let (outputs, inputs) = (37, 21);
        let case = case(1, inputs, outputs, 0);
        let by_rows = packed(&case.rows_of_w, outputs, pairs);
        let mut by_columns = Packed::zeros(outputs, inputs, pairs);
        for k in 0..inputs {
            let column: Vec<f32> = (0..outputs)
                .map(|n| case.rows_of_w[n * inputs + k])
                .collect();
            by_columns.set_column(k, &column);
        }
        let (mut a, mut b) = (vec![0.0; inputs], vec![0.0; inputs]);
        for output in 0..outputs {
            by_rows.get_row(output, &mut a);
            by_columns.get_row(output, &mut b);
            assert_eq!(a, b);
            for (k, &value) in a.iter().enumerate() {
                let exact = case.rows_of_w[output * inputs + k];
                assert_eq!(f64::from(value), rounded(exact, pairs));
            }
        }
    }
}

#[test]
fn gradients_agree_with_plain_sums() {
    for set in sets() {
        for (rows, m, n) in [(1, 1, 1), (5, 8, 16), (300, 19, 37), (129, 4, 70)] {
            let mut stream = Seed(8).stream("lm/test", rows as u64);
            let x = matrix(rows, m, &draws(&mut stream, rows * m));
            let y = matrix(rows, n, &draws(&mut stream, rows * n));
            let mut g = matrix(m, n, &draws(&mut stream, m * n));
            let before = g.clone();
            add_gradient(set, &x, &y, &mut g);
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 = (0..rows)
                        .map(|r| f64::from(x.row(r)[i]) * f64::from(y.row(r)[j]))
                        .sum();
                    let got = f64::from(g.row(i)[j] - before.row(i)[j]);
                    assert!((got - sum).abs() < 1e-4, "{set:?} {rows} {m} {n}");
                }
            }
        }
    }
}
