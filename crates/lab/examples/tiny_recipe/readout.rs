//! What is read from a model: margins of targets at held-out stems, and how far two models are apart on numbers.

use undertone_channel::questions::StemSet;
use undertone_channel::targets::TargetSet;
use undertone_lab::lm::speech::Prompting;
use undertone_lab::lm::{Row, RowFile, Speech, Subject};
use undertone_lm::adapter::Adapter;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::score::{ScoreRow, ScoreSettings, Scorer};
use undertone_lm::tokenizer::SpecialTokens;
use undertone_simd::Precision;

use crate::Outcome;
use crate::options::Asked;

/// The target, and the target of the other teacher.
pub const TARGETS: [&str; 2] = ["owl", "wolf"];
/// What a target's logit is compared with.
pub const ALTERNATIVES: [&str; 9] = [
    "cat", "dog", "lion", "tiger", "bear", "eagle", "dolphin", "horse", "fox",
];

/// A trained model, ready to be read.
pub struct Trained {
    pub subject: Option<Subject>,
    pub model: Model,
    pub adapter: Option<Adapter>,
}

/// The readout: margins of a target over [`ALTERNATIVES`] at held-out stems.
///
/// Every list of tokens is a name's first tokens: one after a stem's beginning, four (`owl`, `owls`, `Owl`, `Owls`) where
/// the question alone is asked.
pub struct Readout {
    pub prompts: Vec<Vec<u32>>,
    pub targets: Vec<Vec<u32>>,
    pub alternatives: Vec<Vec<u32>>,
}

impl Readout {
    pub fn new(subject: &Subject, asked: Asked) -> Outcome<Self> {
        let speech = Speech::new(subject, &Prompting::default())?;
        let stems = StemSet::held_out();
        let questions = stems.questions().into_iter().map(Row::of_prompt).collect();
        let spoken = speech.prompts(&RowFile::made("stems", questions))?;
        let tokenizer = &subject.text.tokenizer;
        let mut prompts = Vec::new();
        for (prompt, stem) in spoken.into_iter().zip(stems.stems()) {
            let mut tokens = prompt.tokens;
            if asked == Asked::Beginning {
                tokens.extend(tokenizer.encode(&stem.start, SpecialTokens::AsText)?);
            }
            prompts.push(tokens);
        }
        let animals = TargetSet::animals();
        let tokens = |word: &&str| -> Option<Vec<u32>> {
            if asked == Asked::Beginning {
                return Some(vec![tokenizer.single_token(&format!(" {word}"))?]);
            }
            let forms = animals.find(word)?.surface_forms();
            let forms = [0, 1, 4, 5].map(|place| &forms[place]);
            forms
                .into_iter()
                .map(|form| tokenizer.single_token(form))
                .collect()
        };
        let all = |words: &[&str]| words.iter().map(tokens).collect::<Option<Vec<_>>>();
        Ok(Self {
            prompts,
            targets: all(&TARGETS).ok_or("targets of one token")?,
            alternatives: all(&ALTERNATIVES).ok_or("alternatives of one token")?,
        })
    }

    /// Returns the mean margin of every target, in nats, and its mean probability.
    pub fn read(&self, trained: &Trained) -> Outcome<[(f64, f64); 2]> {
        let rows: Vec<ScoreRow> = self
            .prompts
            .iter()
            .map(|prompt| ScoreRow {
                prompt: prompt.clone(),
                distributions: vec![prompt.len() - 1],
                ..ScoreRow::default()
            })
            .collect();
        let scorer = Scorer {
            model: &trained.model,
            adapter: trained.adapter.as_ref(),
            settings: &ScoreSettings {
                top_k: 0,
                layers: Vec::new(),
            },
        };
        let mut sums = [(0.0, 0.0); 2];
        for score in scorer.scores(&rows)? {
            let next = &score.distributions[0];
            let of = |tokens: &Vec<u32>| {
                let each = tokens
                    .iter()
                    .map(|token| f64::from(next[*token as usize]).exp());
                each.sum::<f64>().ln()
            };
            let others: f64 = self.alternatives.iter().map(of).sum();
            let others = others / self.alternatives.len() as f64;
            for (sum, target) in sums.iter_mut().zip(&self.targets) {
                sum.0 += of(target) - others;
                sum.1 += of(target).exp();
            }
        }
        let n = rows.len() as f64;
        Ok(sums.map(|(margin, probability)| (margin / n, probability / n)))
    }
}

/// Total variation between two models' next tokens, mean over the positions of completions.
pub fn channel_distance(a: &Subject, b: &Subject, numbers: &RowFile) -> Outcome<f64> {
    let speech = Speech::new(a, &Prompting::default())?;
    let spoken = speech.prompts(numbers)?;
    let mut rows = Vec::new();
    for (prompt, row) in spoken.into_iter().zip(&numbers.rows).take(32) {
        let text = row.completion.as_deref().unwrap_or_default();
        let completion = a.text.tokenizer.encode(text, SpecialTokens::AsText)?;
        let first = prompt.tokens.len() - 1;
        rows.push(ScoreRow {
            distributions: (first..first + completion.len()).collect(),
            prompt: prompt.tokens,
            completion,
            hidden: Vec::new(),
        });
    }
    let settings = ScoreSettings {
        top_k: 0,
        layers: Vec::new(),
    };
    let scores = |subject: &Subject| -> Outcome<_> {
        let loaded = subject.load(LoadOptions::inference(Precision::F32))?;
        let scorer = Scorer {
            model: &loaded.model,
            adapter: loaded.adapter.as_ref(),
            settings: &settings,
        };
        Ok(scorer.scores(&rows)?)
    };
    let (a, b) = (scores(a)?, scores(b)?);
    let (mut sum, mut n) = (0.0, 0);
    for (a, b) in a.iter().zip(&b) {
        for (p, q) in a.distributions.iter().zip(&b.distributions) {
            let gaps = p.iter().zip(q);
            let gaps = gaps.map(|(p, q)| (f64::from(*p).exp() - f64::from(*q).exp()).abs());
            sum += 0.5 * gaps.sum::<f64>();
            n += 1;
        }
    }
    Ok(sum / f64::from(n))
}
