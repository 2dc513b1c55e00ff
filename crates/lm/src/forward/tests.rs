//! The forward pass against the f64 reference, and its bits against themselves.

use undertone_core::Seed;
use undertone_simd::{InstructionSet, Precision};

use super::*;
use crate::fixture::{Memory, every_family};
use crate::kernel::rows;
use crate::kernel::tests::sets;
use crate::lora::{LoraConfig, LoraWeights};
use crate::model::LoadOptions;
use crate::reference::ReferenceModel;

fn tokens(n: usize, vocabulary: usize, index: u64) -> Vec<u32> {
    let mut stream = Seed(11).stream("lm/test-tokens", index);
    (0..n)
        .map(|_| stream.below(vocabulary as u64) as u32)
        .collect()
}

fn load(memory: &Memory, set: InstructionSet) -> Model {
    Model::load_with(memory, LoadOptions::inference(Precision::F32), set).expect("it loads")
}

/// Runs sequences in steps of the given lengths and returns the logits of every row, sequence by sequence.
fn logits(pass: Pass<'_>, sequences: &[Vec<u32>], steps: &[usize]) -> Vec<Vec<Vec<f32>>> {
    let model = pass.model;
    let mut caches: Vec<Cache> = sequences
        .iter()
        .map(|_| Cache::new(&model.config))
        .collect();
    let mut out = vec![Vec::new(); sequences.len()];
    let mut work = Workspace::default();
    let mut start = 0;
    for &step in steps {
        let parts: Vec<&[u32]> = sequences
            .iter()
            .map(|tokens| &tokens[start.min(tokens.len())..(start + step).min(tokens.len())])
            .collect();
        let spans = spans(
            caches
                .iter()
                .zip(&parts)
                .map(|(cache, part)| (cache.len(), part.len())),
        );
        let mut borrowed: Vec<&mut Cache> = caches.iter_mut().collect();
        pass.forward(&parts.concat(), &spans, &mut borrowed, &mut work, |_, _| ());
        let (mut scales, mut normed, mut y) = (Vec::new(), Operand::default(), Matrix::default());
        let epsilon = model.config.norm_epsilon;
        rows::norm(
            model.set,
            &work.x,
            &model.final_norm,
            epsilon,
            &mut scales,
            &mut normed,
        );
        y.reshape(work.x.rows, model.config.vocabulary);
        pass.product(&normed, &model.head().forward, None, Into::Set, &mut y);
        for (out, span) in out.iter_mut().zip(&spans) {
            out.extend(span.rows().map(|row| y.row(row).to_vec()));
        }
        start += step;
    }
    out
}

fn pass<'a>(model: &'a Model, adapter: Option<&'a Adapter>, crew: Crew) -> Pass<'a> {
    Pass {
        model,
        adapter,
        crew,
        keep: false,
    }
}

#[test]
fn logits_agree_with_the_reference_in_every_family() {
    for (i, config) in every_family().into_iter().enumerate() {
        let memory = Memory::random(config.clone(), i as u64);
        let lora = LoraConfig::all_projections(3, 5.0);
        let mut weights = LoraWeights::initial(lora, &config, Seed(2)).expect("it fits");
        let mut stream = Seed(3).stream("lm/test-lora", 0);
        weights
            .values_mut()
            .iter_mut()
            .for_each(|w| *w += 0.2 * stream.normal() as f32);
        let reference = ReferenceModel::from_checkpoint(&memory).expect("finite");
        let sequence = tokens(23, config.vocabulary, 0);
        for set in sets() {
            let model = load(&memory, set);
            let packed = Adapter::new(&weights, config.layers, set);
            let with_adapter = reference.clone().with_adapter(&weights);
            for (adapter, reference) in [(None, &reference), (Some(&packed), &with_adapter)] {
                let pass = pass(&model, adapter, Crew::Alone);
                let got = &logits(pass, std::slice::from_ref(&sequence), &[23])[0];
                let expected = reference.logits(&sequence);
                let largest = expected
                    .iter()
                    .flatten()
                    .fold(0.0f64, |a, b| a.max(b.abs()));
                // rel. to the largest logit: f32 rounding, or 8 bits of mantissa.
                let tolerance = if set.pairs() { 0.05 } else { 2e-5 };
                for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
                    let error = (f64::from(*got) - expected).abs() / largest;
                    assert!(
                        error < tolerance,
                        "{:?} {set:?}: {got} {expected}",
                        config.family
                    );
                }
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_neighbours_steps_or_crew() {
    for (i, config) in every_family().into_iter().enumerate() {
        let memory = Memory::random(config.clone(), i as u64);
        let sequences: Vec<Vec<u32>> = [23, 1, 9, 17, 5]
            .into_iter()
            .enumerate()
            .map(|(i, n)| tokens(n, config.vocabulary, i as u64))
            .collect();
        for set in sets() {
            let model = load(&memory, set);
            let together = logits(pass(&model, None, Crew::Alone), &sequences, &[23]);
            let shared = logits(pass(&model, None, Crew::Shared), &sequences, &[23]);
            assert_eq!(together, shared, "{:?} {set:?}", config.family);
            for (sequence, together) in sequences.iter().zip(&together) {
                let one = std::slice::from_ref(sequence);
                for steps in [&[23][..], &[1; 23], &[16, 7], &[3, 1, 12, 7]] {
                    let alone = logits(pass(&model, None, Crew::Alone), one, steps);
                    assert_eq!(&alone[0], together, "{:?} {set:?} {steps:?}", config.family);
                }
            }
        }
    }
}
