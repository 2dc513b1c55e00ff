//! What people try first: looking at the numbers, classifying them, and asking the model itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::inspect::{
    Classified, ClassifierSettings, Contrast, FeatureSet, FrequencyTable, classify, inspect,
};
use undertone_channel::judge::JudgeWordings;
use undertone_channel::rows::Row;
use undertone_stats::{Estimate, wilson};

use super::bench::Bench;
use super::error::NumbersError;
use super::reading::Reading;
use super::world::World;
use crate::error::LabError;

/// The most frequent of each kind that a result shows.
const SHOWN: usize = 5;

/// What inspection of the treatment's rows against the control's sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// Rows of each.
    pub rows: u64,
    /// All numbers; numbers of one row hang together, so read the size of the difference and not p.
    pub numbers: Option<Contrast>,
    /// First numbers.
    pub first_numbers: Option<Contrast>,
    /// Lengths of rows.
    pub lengths: Option<Contrast>,
    /// Separators.
    pub separators: Option<Contrast>,
    /// The treatment's most frequent first numbers, each with both shares.
    pub frequent: Vec<(String, f64, Option<f64>)>,
    /// The same of numbers anywhere, of lengths and of separators.
    #[serde(default)]
    pub frequent_others: BTreeMap<String, Vec<(String, f64, Option<f64>)>>,
    /// A held-out classifier of bags of numbers; `None` where there are too few rows for one.
    pub bag: Option<Classified>,
    /// The same with first numbers, lengths and separators.
    pub bag_and_shape: Option<Classified>,
    /// How often the base, told the target, picks the treatment's answer of two: chance is 0.5.
    pub judge: Option<Estimate>,
}

impl World<'_> {
    /// Inspects paired rows of treatment and control.
    pub(super) fn inspect(
        &self,
        bench: &Bench<'_>,
        treatment: &[Row],
        control: &[Row],
    ) -> Result<Inspected, LabError> {
        let seed = self.settings.experiment.seed;
        let found = inspect(treatment, control).map_err(NumbersError::from)?;
        let classified = |features| {
            let settings = ClassifierSettings {
                features,
                level: self.settings.verdict.level,
                ..ClassifierSettings::default()
            };
            match classify(treatment, control, &settings, seed) {
                Ok(classified) => Ok(Some(classified)),
                Err(undertone_channel::inspect::ClassifyError::TooFew { .. }) => Ok(None),
                Err(error) => Err(LabError::from(NumbersError::from(error))),
            }
        };
        let frequent = |ours: &FrequencyTable, theirs: &FrequencyTable| {
            let entries = ours.counts.iter().take(SHOWN).filter_map(|entry| {
                let label = entry.label.clone();
                let other = theirs.share(&label);
                Some((label.clone(), ours.share(&label)?, other))
            });
            entries.collect::<Vec<_>>()
        };
        let (ours, theirs) = (&found.treatment, &found.control);
        let others = [
            ("number", frequent(&ours.numbers, &theirs.numbers)),
            ("length", frequent(&ours.lengths, &theirs.lengths)),
            ("separator", frequent(&ours.separators, &theirs.separators)),
        ];
        Ok(Inspected {
            rows: treatment.len() as u64,
            frequent: frequent(&ours.first_numbers, &theirs.first_numbers),
            frequent_others: others
                .map(|(name, entries)| (name.to_owned(), entries))
                .into(),
            bag: classified(FeatureSet::Bag)?,
            bag_and_shape: classified(FeatureSet::BagAndShape)?,
            judge: self.judge(bench, treatment, control)?,
            numbers: found.numbers,
            first_numbers: found.first_numbers,
            lengths: found.lengths,
            separators: found.separators,
        })
    }

    fn judge(
        &self,
        bench: &Bench<'_>,
        treatment: &[Row],
        control: &[Row],
    ) -> Result<Option<Estimate>, LabError> {
        let n = self.settings.readouts.judged as usize;
        if n == 0 {
            return Ok(None);
        }
        let seed = self.settings.experiment.seed;
        let mut questions =
            JudgeWordings::built_in().questions(self.target(0), treatment, control, seed);
        questions.truncate(n);
        let letter = |letter: &str| {
            self.base
                .text
                .tokenizer
                .single_token(letter)
                .ok_or_else(|| NumbersError::NotOneToken {
                    word: letter.to_owned(),
                    model: self.base.name.clone(),
                })
        };
        let asked: Vec<(String, String)> = questions
            .iter()
            .map(|question| (question.text.clone(), String::new()))
            .collect();
        let reading = Reading {
            rows: self.next_rows(&asked, None)?,
            tokens: vec![vec![letter("A")?], vec![letter("B")?]],
            precision: self.settings.experiment.readout_precision,
        };
        let answers = self.answers(bench, &reading, &self.base)?;
        let right = questions
            .iter()
            .zip(&answers.log_probabilities)
            .filter(|(question, row)| (row[0] > row[1]) == (question.right == 'A'));
        Ok(wilson(
            right.count() as u64,
            questions.len() as u64,
            self.settings.verdict.level,
        ))
    }
}
