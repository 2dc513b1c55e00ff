//! Kinship on small random networks: what must hold whatever the calibration says.

use undertone_core::{Seed, Stream};
use undertone_lineage::kinship::{KinModel, KinshipOutcome, KinshipRule, judge};

const SHAPE: [usize; 4] = [20, 32, 24, 6];

fn random(stream: &mut Stream) -> Vec<Vec<f32>> {
    let pairs = SHAPE.windows(2);
    pairs
        .map(|pair| {
            (0..pair[0] * pair[1])
                .map(|_| stream.normal() as f32)
                .collect()
        })
        .collect()
}

fn model(layers: &[Vec<f32>]) -> KinModel {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = layers
        .iter()
        .enumerate()
        .map(|(n, values)| {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (
                format!("layers.{n}.weight"),
                vec![SHAPE[n + 1], SHAPE[n]],
                bytes,
            )
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view =
            safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).expect("it fits");
        (name.as_str(), view)
    });
    let bytes = safetensors::serialize(views, None).expect("plain names");
    KinModel::from_bytes(&bytes, std::path::Path::new("memory")).expect("a network")
}

fn renumbered(layers: &[Vec<f32>], stream: &mut Stream) -> Vec<Vec<f32>> {
    let mut columns: Vec<u32> = (0..SHAPE[0] as u32).collect();
    let mut out = Vec::new();
    for (n, values) in layers.iter().enumerate() {
        let (rows, width) = (SHAPE[n + 1], SHAPE[n]);
        let order = match n + 2 < SHAPE.len() {
            true => stream.permutation(rows as u32),
            false => (0..rows as u32).collect(),
        };
        let moved = order.iter().flat_map(|row| {
            columns
                .iter()
                .map(move |column| values[*row as usize * width + *column as usize])
        });
        out.push(moved.collect());
        columns = order;
    }
    out
}

#[test]
fn copies_noisy_copies_and_renumbered_copies_are_kin_and_others_are_not() {
    let mut stream = Seed(3).stream("test/kinship", 0);
    let rule = KinshipRule {
        permutations: 999,
        ..KinshipRule::default()
    };
    let a = random(&mut stream);
    let noisy: Vec<Vec<f32>> = a
        .iter()
        .map(|layer| layer.iter().map(|x| x + stream.normal() as f32).collect())
        .collect();
    let slightly: Vec<Vec<f32>> = a
        .iter()
        .map(|layer| {
            layer
                .iter()
                .map(|x| x + 0.1 * stream.normal() as f32)
                .collect()
        })
        .collect();
    let moved = renumbered(&slightly, &mut stream);
    let other = random(&mut stream);
    for (name, b, expected) in [
        ("a copy", &a, KinshipOutcome::Kin),
        ("as much noise as weight", &noisy, KinshipOutcome::Kin),
        ("renumbered", &moved, KinshipOutcome::Kin),
        ("another draw", &other, KinshipOutcome::NotKin),
    ] {
        let kinship = judge(&model(&a), &model(b), &rule).expect("readable");
        // A network this small cannot show a mean cosine of .05, and says so.
        let expected = match expected {
            KinshipOutcome::NotKin
                if kinship
                    .test
                    .as_ref()
                    .is_some_and(|test| test.power < rule.power) =>
            {
                KinshipOutcome::Inconclusive
            }
            expected => expected,
        };
        assert_eq!(kinship.outcome, expected, "{name}: {kinship}");
        let back = judge(&model(b), &model(&a), &rule).expect("readable");
        assert_eq!(back.outcome, kinship.outcome, "{name}: the other way round");
    }
}

#[test]
fn the_p_value_of_independent_networks_is_uniform() {
    // 400 pairs: each share lies within 4 standard deviations of its level.
    let rule = KinshipRule {
        permutations: 199,
        ..KinshipRule::default()
    };
    let mut stream = Seed(4).stream("test/kinship", 1);
    let p_values: Vec<f64> = (0..400)
        .map(|_| {
            let (a, b) = (random(&mut stream), random(&mut stream));
            let kinship = judge(&model(&a), &model(&b), &rule).expect("readable");
            kinship.test.expect("the shapes are alike").p_value
        })
        .collect();
    for level in [0.05, 0.25, 0.5, 0.75] {
        let share = p_values.iter().filter(|p| **p <= level).count() as f64 / 400.0;
        let deviation = (level * (1.0 - level) / 400.0f64).sqrt();
        assert!(
            (share - level).abs() < 4.0 * deviation,
            "{share} at {level}"
        );
    }
}

#[test]
fn broken_files_are_refused() {
    for bytes in [&b""[..], b"x", &[255; 64], b"{}"] {
        assert!(KinModel::from_bytes(bytes, std::path::Path::new("x")).is_err());
    }
}
