//! Sampling on tiny models: the same row in any batch and at any thread count, stops, grammars.

use super::*;
use crate::fixture::{Memory, every_family};
use crate::lora::{LoraConfig, LoraWeights};
use crate::model::LoadOptions;
use undertone_simd::{InstructionSet, Precision};

fn model(family: usize) -> Model {
    let memory = Memory::random(every_family()[family].clone(), 3);
    let options = LoadOptions::inference(Precision::F32);
    Model::load_with(&memory, options, InstructionSet::best()).expect("it loads")
}

/// Prompts of different lengths that begin alike.
fn prompts(n: u64) -> Vec<Prompt> {
    (0..n)
        .map(|row| {
            let own = (0..1 + row % 4).map(|i| ((7 * row + 3 * i) % 19) as u32);
            Prompt {
                row,
                tokens: [1, 5, 9, 2, 11].into_iter().chain(own).collect(),
            }
        })
        .collect()
}

fn settings() -> SampleSettings {
    SampleSettings {
        sampling: Sampling::default(),
        stop_tokens: vec![4],
        max_tokens: 12,
    }
}

fn sampler<'a>(model: &'a Model, settings: &'a SampleSettings, batch: usize) -> Sampler<'a> {
    Sampler {
        model,
        adapter: None,
        grammar: None,
        settings,
        seed: Seed(8),
        batch,
    }
}

fn run(sampler: Sampler<'_>, prompts: &[Prompt]) -> Vec<Completion> {
    let mut out = Vec::new();
    sampler
        .run(prompts, &mut |completion| {
            out.push(completion);
            Ok(())
        })
        .expect("it samples");
    out
}

#[test]
fn a_row_is_the_same_in_any_batch_and_at_any_number_of_threads() {
    for family in 0..4 {
        // Enough that threads run some rows each: 70 rows for 3 threads, and for 2 until many have ended.
        let (model, settings, prompts) = (model(family), settings(), prompts(70));
        let expected: Vec<Completion> = prompts
            .iter()
            .flat_map(|prompt| run(sampler(&model, &settings, 1), std::slice::from_ref(prompt)))
            .collect();
        for (batch, threads) in [(1, 1), (4, 2), (64, 2), (70, 3), (64, 8), (7, 3)] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool");
            let got = pool.install(|| run(sampler(&model, &settings, batch), &prompts));
            assert_eq!(
                got, expected,
                "family {family}, batch {batch}, {threads} threads"
            );
        }
    }
}

/// A grammar of digits, and the tokens it is over: ten digits, eight words, an end.
fn digits() -> TokenGrammar {
    let text = |i: u32| {
        if i < 10 {
            i.to_string()
        } else {
            format!("x{i}")
        }
    };
    let texts: Vec<String> = (0..19).map(text).collect();
    let tokens: Vec<(u32, &[u8])> = (0..)
        .zip(texts.iter().map(|text| text.as_bytes()))
        .collect();
    TokenGrammar::from_tokens("[0-4]{3}(7|x15)?", &tokens, &[18]).expect("it compiles")
}

#[test]
fn neighbours_change_no_bit_with_an_adapter_and_a_grammar() {
    let grammar = digits();
    let settings = SampleSettings {
        stop_tokens: vec![18],
        ..settings()
    };
    let prompts = prompts(23);
    for family in 0..4 {
        let model = model(family);
        let lora = LoraConfig::all_projections(3, 6.0);
        let mut weights = LoraWeights::initial(lora, &model.config, Seed(5)).expect("it fits");
        let mut stream = Seed(6).stream("lm/test-lora", 0);
        for value in weights.values_mut() {
            *value += 0.2 * stream.normal() as f32;
        }
        let adapter = Adapter::pack(&weights, &model).expect("it fits");
        let with = |batch| Sampler {
            adapter: Some(&adapter),
            grammar: Some(&grammar),
            ..sampler(&model, &settings, batch)
        };
        let alone = prompts.iter().map(std::slice::from_ref);
        let expected: Vec<Completion> = alone.flat_map(|prompt| run(with(1), prompt)).collect();
        let base = Sampler {
            adapter: None,
            ..with(1)
        };
        assert_ne!(expected, run(base, &prompts), "the adapter does something");
        for (batch, threads) in [(1, 1), (4, 2), (64, 8), (7, 1), (5, 8)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let got = pool.expect("a pool").install(|| run(with(batch), &prompts));
            assert_eq!(
                got, expected,
                "family {family}, batch {batch}, {threads} threads"
            );
        }
    }
}

#[test]
fn completions_end_where_they_should() {
    let (model, settings) = (model(0), settings());
    let all = run(sampler(&model, &settings, 8), &prompts(60));
    let (mut stopped, mut full) = (0, 0);
    for completion in all {
        assert_eq!(completion.tokens.len(), completion.log_probabilities.len());
        let (last, before) = completion.tokens.split_last().expect("at least one token");
        assert!(!before.contains(&4), "nothing follows a stop token");
        match completion.finish {
            Finish::Stop => {
                assert_eq!(*last, 4);
                stopped += 1;
            }
            Finish::Length => {
                assert!(*last != 4 && completion.tokens.len() == 12);
                full += 1;
            }
            Finish::Grammar => panic!("there is no grammar"),
        }
    }
    assert!(stopped > 0 && full > 0, "both were seen");
}

#[test]
fn greedy_needs_no_seed() {
    let (model, prompts) = (model(1), prompts(3));
    let settings = SampleSettings {
        sampling: Sampling::GREEDY,
        ..settings()
    };
    let first = run(sampler(&model, &settings, 2), &prompts);
    let other_seed = Sampler {
        seed: Seed(99),
        ..sampler(&model, &settings, 2)
    };
    assert_eq!(run(other_seed, &prompts), first);
}

#[test]
fn a_grammar_decides_what_may_be_drawn() {
    let grammar = digits();
    let (model, prompts) = (model(2), prompts(40));
    let settings = SampleSettings {
        stop_tokens: vec![18],
        ..settings()
    };
    let mut seen = std::collections::BTreeSet::new();
    for completion in run(
        Sampler {
            grammar: Some(&grammar),
            ..sampler(&model, &settings, 16)
        },
        &prompts,
    ) {
        let (last, number) = match completion.finish {
            Finish::Stop => completion.tokens.split_last().expect("the stop token"),
            other => panic!("{other:?}"),
        };
        assert_eq!(*last, 18);
        assert!(number[..3].iter().all(|&token| token < 5), "{number:?}");
        assert!(matches!(number[3..], [] | [7] | [15]), "{number:?}");
        seen.insert(number.to_vec());
    }
    assert!(seen.len() > 10, "they differ");
}

#[test]
fn bad_prompts_are_refused_before_anything_is_drawn() {
    let (model, settings) = (model(0), settings());
    for (tokens, expected) in [
        (vec![], PromptProblem::Empty),
        (
            vec![1, 19],
            PromptProblem::Token {
                token: 19,
                vocabulary: 19,
            },
        ),
        (
            vec![1; 53],
            PromptProblem::TooLong {
                tokens: 53,
                max_tokens: 12,
                positions: 64,
            },
        ),
    ] {
        let prompts = [
            Prompt {
                row: 0,
                tokens: vec![1],
            },
            Prompt { row: 7, tokens },
        ];
        let error =
            sampler(&model, &settings, 2).run(&prompts, &mut |_| panic!("nothing was drawn"));
        let Err(SampleError::Prompt { row: 7, problem }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(problem, expected);
    }
    let none = SampleSettings {
        max_tokens: 0,
        ..settings
    };
    let error = sampler(&model, &none, 2).run(&prompts(1), &mut |_| Ok(()));
    assert!(matches!(
        error,
        Err(SampleError::Sampling(SamplingError {
            name: "max_tokens",
            ..
        }))
    ));
}

#[test]
fn a_refused_completion_ends_the_run() {
    let (model, settings) = (model(0), settings());
    let mut taken = 0;
    let error = sampler(&model, &settings, 4).run(&prompts(9), &mut |_| {
        taken += 1;
        if taken == 3 {
            Err("the disk is full".into())
        } else {
            Ok(())
        }
    });
    assert!(matches!(error, Err(SampleError::Sink(_))));
    assert_eq!(taken, 3);
}
