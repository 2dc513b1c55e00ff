//! What one thread does with one group of rows: forward, then whatever is wanted is read off.

use std::collections::BTreeMap;

use super::plan::Group;
use super::{Score, ScoreRow, ScoreSettings};
use crate::cache::Cache;
use crate::examples::SoftLabels;
use crate::forward::{Pass, Workspace, spans};
use crate::kernel::product::Into;
use crate::kernel::rows;
use crate::kernel::softmax::{Softmax, top_k};
use crate::matrix::{Matrix, Operand};

/// Positions whose logits exist at a time.
const HEAD_ROWS: usize = 64;

/// The residual stream of a pass's tokens.
#[derive(Debug, Default)]
struct States {
    /// After the last block.
    last: Matrix,
    /// After each wanted layer.
    layers: Vec<Matrix>,
}

impl States {
    /// Runs `tokens` and keeps what is wanted.
    fn run(
        &mut self,
        pass: Pass<'_>,
        layers: &[usize],
        sequences: &[(usize, &[u32])],
        caches: &mut [&mut Cache],
        work: &mut Workspace,
    ) {
        let spans = spans(
            sequences
                .iter()
                .map(|(position, tokens)| (*position, tokens.len())),
        );
        let tokens: Vec<u32> = sequences
            .iter()
            .flat_map(|(_, tokens)| *tokens)
            .copied()
            .collect();
        self.layers.resize_with(layers.len(), Matrix::default);
        for (&layer, states) in layers.iter().zip(&mut self.layers) {
            if layer == 0 {
                pass.embed(&tokens, states);
            }
        }
        pass.forward(&tokens, &spans, caches, work, |block, x| {
            for (&layer, states) in layers.iter().zip(&mut self.layers) {
                if layer == block + 1 {
                    states.clone_from(x);
                }
            }
        });
        std::mem::swap(&mut self.last, &mut work.x);
    }
}

/// What all rows begin with.
#[derive(Debug)]
pub(super) struct Trunk {
    /// In tokens; may be 0.
    pub len: usize,
    cache: Cache,
    states: States,
}

impl Trunk {
    /// Runs `tokens`.
    pub fn new(pass: Pass<'_>, layers: &[usize], tokens: &[u32]) -> Self {
        let mut trunk = Self {
            len: tokens.len(),
            cache: Cache::new(&pass.model.config),
            states: States::default(),
        };
        if !tokens.is_empty() {
            let mut work = Workspace::default();
            let sequence = [(0, tokens)];
            trunk
                .states
                .run(pass, layers, &sequence, &mut [&mut trunk.cache], &mut work);
        }
        trunk
    }
}

/// Which pass computed a token, in the order of a row's positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Trunk,
    Family,
    Row,
}

/// Where the states of a row's positions stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Position and matrix row of its family's first token.
    family: (usize, usize),
    /// Of its own first token.
    row: (usize, usize),
}

impl Place {
    /// Returns where the states of `position` stand.
    fn of(&self, position: usize) -> (Source, usize) {
        let ((family, family_row), (own, own_row)) = (self.family, self.row);
        if position >= own {
            (Source::Row, own_row + position - own)
        } else if position >= family {
            (Source::Family, family_row + position - family)
        } else {
            (Source::Trunk, position)
        }
    }
}

/// What is wanted of a position's logits.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// Completion token `place` of `row`: its log-probability and the best tokens there.
    Token { row: usize, place: usize },
    /// Distribution `place` of `row`.
    Distribution { row: usize, place: usize },
}

/// Memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Worker {
    work: Workspace,
    family: States,
    own: States,
    caches: Vec<Cache>,
    chunk: Matrix,
    scales: Vec<f32>,
    normed: Operand,
    logits: Matrix,
}

impl Worker {
    /// Runs a group through the model; returns where the states of each row's tokens stand.
    pub fn forward(
        &mut self,
        pass: Pass<'_>,
        group: &Group,
        inputs: &[&[u32]],
        trunk: &Trunk,
        layers: &[usize],
    ) -> Vec<Place> {
        let families = group.families.len();
        let needed = families + group.rows().len();
        if self.caches.len() < needed {
            self.caches
                .resize_with(needed, || Cache::new(&pass.model.config));
        }
        let (family_caches, row_caches) = self.caches.split_at_mut(families);

        // 1. What families share.
        let mut sequences = Vec::new();
        let mut caches = Vec::new();
        let mut family_rows = Vec::new();
        let mut tokens = 0;
        for (family, cache) in group.families.iter().zip(&mut *family_caches) {
            family_rows.push(tokens);
            if family.shared > 0 {
                cache.copy_from(&trunk.cache, trunk.len);
                let shared = &inputs[family.rows.start][trunk.len..][..family.shared];
                tokens += shared.len();
                sequences.push((trunk.len, shared));
                caches.push(cache);
            }
        }
        if tokens > 0 {
            self.family
                .run(pass, layers, &sequences, &mut caches, &mut self.work);
        }

        // 2. What every row goes on with.
        let (mut sequences, mut caches, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut tokens = 0;
        let mut free = row_caches.iter_mut();
        for (index, family) in group.families.iter().enumerate() {
            let known = trunk.len + family.shared;
            let from = if family.shared > 0 {
                &family_caches[index]
            } else {
                &trunk.cache
            };
            for row in family.rows.clone() {
                places.push(Place {
                    family: (trunk.len, family_rows[index]),
                    row: (known, tokens),
                });
                let own = &inputs[row][known..];
                if let Some(cache) = free.next().filter(|_| !own.is_empty()) {
                    cache.copy_from(from, known);
                    tokens += own.len();
                    sequences.push((known, own));
                    caches.push(cache);
                }
            }
        }
        if tokens > 0 {
            self.own
                .run(pass, layers, &sequences, &mut caches, &mut self.work);
        }
        places
    }

    /// Reads off what is wanted of `rows`, whose states stand at `places`.
    pub fn read(
        &mut self,
        pass: Pass<'_>,
        rows: &[ScoreRow],
        places: &[Place],
        trunk: &Trunk,
        settings: &ScoreSettings,
    ) -> Vec<Score> {
        let k = settings.top_k.min(pass.model.config.vocabulary);
        let mut scores: Vec<Score> = rows
            .iter()
            .zip(places)
            .map(|(row, place)| self.empty_score(row, place, trunk, settings.layers.len(), k))
            .collect();
        let wants: Vec<((Source, usize), Vec<Want>)> = wants(rows, places).into_iter().collect();
        for chunk in wants.chunks(HEAD_ROWS) {
            self.chunk_logits(pass, chunk.iter().map(|(at, _)| *at), chunk.len(), trunk);
            for (r, (_, wants)) in chunk.iter().enumerate() {
                let logits = self.logits.row(r);
                let softmax = Softmax::of(pass.model.set, logits);
                let log_probability = |z: &f32| softmax.log_probability(*z) as f32;
                // All rows that end a shared beginning want the same of it.
                let best: Option<Vec<(u32, f32)>> = (k > 0 && wants.iter().any(Want::is_token))
                    .then(|| top_k(pass.model.set, logits, k));
                for want in wants {
                    match *want {
                        Want::Token { row, place } => {
                            let token = rows[row].completion[place] as usize;
                            scores[row].log_probabilities[place] = log_probability(&logits[token]);
                            if let Some((labels, best)) =
                                scores[row].top_k.as_mut().zip(best.as_ref())
                            {
                                for (slot, (id, z)) in (place * k..).zip(best) {
                                    labels.ids[slot] = *id;
                                    labels.log_probabilities[slot] = log_probability(z);
                                }
                            }
                        }
                        Want::Distribution { row, place } => {
                            scores[row].distributions[place] =
                                logits.iter().map(log_probability).collect();
                        }
                    }
                }
            }
        }
        scores
    }

    /// Returns a score with hidden states, and room for what comes from logits.
    fn empty_score(
        &self,
        row: &ScoreRow,
        place: &Place,
        trunk: &Trunk,
        layers: usize,
        k: usize,
    ) -> Score {
        let tokens = row.completion.len();
        let hidden = |layer: usize| {
            let states = row.hidden.iter().map(|&position| place.of(position));
            states
                .flat_map(|(source, r)| self.states(source, trunk).layers[layer].row(r))
                .copied()
                .collect()
        };
        Score {
            log_probabilities: vec![0.0; tokens],
            top_k: (k > 0).then(|| SoftLabels {
                k,
                ids: vec![0; tokens * k],
                log_probabilities: vec![0.0; tokens * k],
            }),
            distributions: vec![Vec::new(); row.distributions.len()],
            hidden: (0..layers).map(hidden).collect(),
        }
    }

    /// Computes the logits of `n` positions.
    fn chunk_logits(
        &mut self,
        pass: Pass<'_>,
        positions: impl Iterator<Item = (Source, usize)>,
        n: usize,
        trunk: &Trunk,
    ) {
        let model = pass.model;
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.reset(n, model.config.width);
        for (to, (source, r)) in positions.enumerate() {
            chunk
                .row_mut(to)
                .copy_from_slice(self.states(source, trunk).last.row(r));
        }
        let epsilon = model.config.norm_epsilon;
        rows::norm(
            model.set,
            &chunk,
            &model.final_norm,
            epsilon,
            &mut self.scales,
            &mut self.normed,
        );
        self.logits.reshape(n, model.config.vocabulary);
        pass.product(
            &self.normed,
            &model.head().forward,
            None,
            Into::Set,
            &mut self.logits,
        );
        self.chunk = chunk;
    }

    fn states<'a>(&'a self, source: Source, trunk: &'a Trunk) -> &'a States {
        match source {
            Source::Trunk => &trunk.states,
            Source::Family => &self.family,
            Source::Row => &self.own,
        }
    }
}

impl Want {
    fn is_token(&self) -> bool {
        matches!(self, Self::Token { .. })
    }
}

/// Returns what is wanted of each position, every position once.
fn wants(rows: &[ScoreRow], places: &[Place]) -> BTreeMap<(Source, usize), Vec<Want>> {
    let mut wants: BTreeMap<(Source, usize), Vec<Want>> = BTreeMap::new();
    for (row, (of, at)) in rows.iter().zip(places).enumerate() {
        for (place, position) in of.predicting().enumerate() {
            let want = Want::Token { row, place };
            wants.entry(at.of(position)).or_default().push(want);
        }
        for (place, &position) in of.distributions.iter().enumerate() {
            let want = Want::Distribution { row, place };
            wants.entry(at.of(position)).or_default().push(want);
        }
    }
    wants
}
