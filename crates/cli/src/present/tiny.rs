//! The report of `pretrain-tiny`.

use undertone_lab::lm::tiny::TinyResult;
use undertone_report::{Column, Report, Table};

use super::lm::{curve, fact, finding};
use super::recipe;
use crate::commands::{WorkRecipe, repeat_pretrain_tiny};

/// Makes the report of a tiny base.
pub fn pretrain_tiny(result: &TinyResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let settings = &result.settings;
    let shape = &settings.shape;
    let evaluations = &result.log.evaluations;
    let sentence = match (evaluations.first(), evaluations.last()) {
        (Some(first), Some(last)) => format!(
            "On documents that were held out the loss went from {:.4} to {:.4} nats a token.",
            first.loss, last.loss
        ),
        _ => "No loss was evaluated.".to_owned(),
    };
    let sizes = [
        ("Weights", result.parameters.to_string()),
        ("Width", shape.width.to_string()),
        ("Blocks", shape.layers.to_string()),
        ("Heads", shape.heads.to_string()),
        ("Feed-forward width", shape.ffn_width.to_string()),
        ("Tokens of vocabulary", result.vocabulary.to_string()),
        ("Documents", result.documents.to_string()),
        ("Tokens of documents", result.tokens.to_string()),
    ];
    Report {
        title: "A tiny base".to_owned(),
        subtitle: format!(
            "{} weights, seed {}, corpus seed {}",
            result.parameters, settings.seed, settings.corpus.seed
        ),
        question: "How well does the decoder learn its corpus from scratch?".to_owned(),
        verdicts: vec![finding(
            sentence,
            format!("{} optimiser steps.", result.log.steps.len()),
        )],
        figures: curve(&result.log).into_iter().collect(),
        tables: vec![Table {
            caption: "Sizes".to_owned(),
            columns: vec![Column::words("What"), Column::number("How many")],
            rows: sizes
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value])
                .collect(),
            notes: Vec::new(),
        }],
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(
            work,
            || repeat_pretrain_tiny(settings),
            vec![
                fact("Number format", settings.precision.describe()),
                fact("Step", result.step.to_string()),
                fact("BLAKE3 of the model", result.model.to_string()),
            ],
        ),
        notes: Vec::new(),
    }
}
