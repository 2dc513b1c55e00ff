//! What the engine sees of a batch: pixels, noise, numbers; read back through a network that passes its inputs on.

use undertone_core::Seed;
use undertone_mlp::{
    Activation, Biases, Inputs, InstructionSet, Model, NoiseLaw, Optimiser, Weights,
};

use super::support::{bits, engine, f32_sets, network};

/// Returns the input rows as the engine packs them: the logits of a linear network whose weights are the identity.
fn seen(set: InstructionSet, inputs: &Inputs<'_>, rows: &[u32]) -> Vec<f32> {
    let n = inputs.features();
    let mut weights = Weights {
        architecture: network(n, &[], n, Activation::Relu, Biases::Without),
        values: vec![0.0; n * n],
    };
    for at in 0..n {
        weights.values[at * n + at] = 1.0;
    }
    let mut trainer = engine(set);
    trainer.load(inputs, rows);
    let mut logits = vec![0.0; rows.len() * n];
    trainer.logits(&Model::new(&weights, Optimiser::adam(1e-3)), &mut logits);
    logits
}

fn noise(law: NoiseLaw, features: usize) -> Inputs<'static> {
    Inputs::Noise {
        seed: Seed(7),
        index: 2,
        features,
        law,
    }
}

#[test]
fn the_smallest_and_largest_byte_become_exactly_minus_one_and_one() {
    for set in f32_sets() {
        for max in 1..=255 {
            let pixels = [0, max];
            let inputs = Inputs::Bytes {
                pixels: &pixels,
                features: 2,
                max,
            };
            assert_eq!(seen(set, &inputs, &[0]), [-1.0, 1.0], "{set:?}, max {max}");
        }
    }
}

#[test]
fn bytes_in_between_are_mapped_linearly_and_alike_everywhere() {
    let pixels: Vec<u8> = (0..=254).collect();
    let inputs = Inputs::Bytes {
        pixels: &pixels,
        features: 17,
        max: 255,
    };
    let rows: Vec<u32> = (0..15).rev().collect();
    let portable = seen(InstructionSet::Portable, &inputs, &rows);
    for (row, values) in rows.iter().zip(portable.chunks(17)) {
        for (column, &value) in values.iter().enumerate() {
            let byte = f64::from(row * 17 + column as u32);
            // Absolute: the factor and the product are rounded once each, 6e-8 of at most 2.
            assert!((f64::from(value) - (byte / 127.5 - 1.0)).abs() < 2.5e-7);
        }
    }
    for set in f32_sets() {
        assert_eq!(bits(&seen(set, &inputs, &rows)), bits(&portable), "{set:?}");
    }
}

#[test]
fn dense_rows_arrive_as_they_are_and_in_the_order_asked_for() {
    let values: Vec<f32> = (0..40 * 33).map(|i| (i as f32).sin()).collect();
    let inputs = Inputs::Dense {
        values: &values,
        features: 33,
    };
    let rows = [39, 0, 7, 7, 38, 1, 2, 3, 4];
    let expected: Vec<f32> = rows
        .iter()
        .flat_map(|&row| &values[row as usize * 33..][..33])
        .copied()
        .collect();
    for set in f32_sets() {
        assert_eq!(seen(set, &inputs, &rows), expected, "{set:?}");
    }
}

#[test]
fn a_noise_row_is_the_same_in_every_batch_and_on_every_set() {
    for law in [NoiseLaw::Uniform, NoiseLaw::Gaussian] {
        for features in [1, 5, 16, 33, 40] {
            let inputs = noise(law, features);
            let order = Seed(1).stream("test/order", 0).permutation(50);
            let all: Vec<u32> = (0..50).collect();
            let expected = seen(InstructionSet::Portable, &inputs, &all);
            for set in f32_sets() {
                for rows in order.chunks(9).chain([&[1_000_000, 3][..], &[3]]) {
                    let got = seen(set, &inputs, rows);
                    for (&row, got) in rows.iter().zip(got.chunks(features)) {
                        if let Some(expected) = expected.chunks(features).nth(row as usize) {
                            assert_eq!(bits(got), bits(expected), "{set:?} {law:?}, row {row}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn noise_differs_between_rows_seeds_and_indices() {
    for law in [NoiseLaw::Uniform, NoiseLaw::Gaussian] {
        let row = |seed: u64, index: u64, row: u32| {
            let inputs = Inputs::Noise {
                seed: Seed(seed),
                index,
                features: 40,
                law,
            };
            seen(InstructionSet::Portable, &inputs, &[row])
        };
        let rows = [row(7, 2, 0), row(7, 2, 1), row(7, 3, 0), row(8, 2, 0)];
        for (at, a) in rows.iter().enumerate() {
            for b in &rows[..at] {
                let shared = a.iter().zip(b).filter(|(a, b)| a == b).count();
                assert!(shared < 3, "{law:?}: {shared} of 40 values agree");
            }
        }
    }
}

#[test]
fn uniform_noise_keeps_its_recorded_values() {
    // Recorded once; they follow from the word stream, `(2 w + 1) / 65,536 - 1`. A change here changes every result.
    let scaled: Vec<f32> = seen(
        InstructionSet::Portable,
        &noise(NoiseLaw::Uniform, 4),
        &[0, 1, 59_999],
    )
    .into_iter()
    .map(|value| value * 65_536.0)
    .collect();
    assert_eq!(
        scaled,
        [
            49_727.0, -33_767.0, 13_007.0, 48_073.0, // row 0
            -63_279.0, -55_511.0, 60_543.0, 29_871.0, // row 1
            35_859.0, 43_675.0, -30_289.0, 15_569.0, // row 59,999
        ]
    );
}

#[test]
fn uniform_noise_is_made_of_the_streams_words() {
    let mut stream = Seed(7).stream("mlp/noise", 2);
    // A row of 40 values takes 20 words and starts on a block of 16: row 3 at word 96.
    stream.seek_words(96);
    let mut bytes = [0; 80];
    stream.fill_bytes(&mut bytes);
    let expected: Vec<f32> = bytes
        .chunks(2)
        .map(|pair| {
            let word = u16::from_le_bytes([pair[0], pair[1]]);
            ((2.0 * f64::from(word) + 1.0) / 65_536.0 - 1.0) as f32
        })
        .collect();
    for set in f32_sets() {
        assert_eq!(
            seen(set, &noise(NoiseLaw::Uniform, 40), &[3]),
            expected,
            "{set:?}"
        );
    }
}

#[test]
fn noise_has_the_moments_of_its_law() {
    const ROWS: u32 = 4_000;
    let rows: Vec<u32> = (0..ROWS).collect();
    let n = f64::from(ROWS) * 40.0;
    // Variance and fourth moment of each law; four standard errors leave one chance in sixteen thousand, and the seed
    // is fixed.
    for (law, variance, fourth) in [
        (NoiseLaw::Uniform, 1.0 / 3.0, 1.0 / 5.0),
        (NoiseLaw::Gaussian, 1.0, 3.0),
    ] {
        let values = seen(InstructionSet::best(), &noise(law, 40), &rows);
        let moment = |power: i32| {
            values
                .iter()
                .map(|&v| f64::from(v).powi(power))
                .sum::<f64>()
                / n
        };
        assert!(
            moment(1).abs() < 4.0 * (variance / n).sqrt(),
            "{law:?}: mean"
        );
        let spread = ((fourth - variance * variance) / n).sqrt();
        assert!(
            (moment(2) - variance).abs() < 4.0 * spread,
            "{law:?}: variance"
        );
        let neighbours: f64 = values
            .windows(2)
            .map(|pair| f64::from(pair[0]) * f64::from(pair[1]))
            .sum::<f64>()
            / n;
        assert!(
            neighbours.abs() < 4.0 * variance / n.sqrt(),
            "{law:?}: correlation"
        );
        if law == NoiseLaw::Uniform {
            assert!(values.iter().all(|value| value.abs() < 1.0));
        }
    }
}
