//! What the tests share: problems with random numbers in them, their true answers in f64, and comparisons.

use undertone_core::{Seed, Stream};
use undertone_mlp::reference::{Network, Selection};
use undertone_mlp::{
    Activation, Architecture, Biases, Inputs, InstructionSet, Loss, LossKind, Model, Optimiser,
    Reduction, Target, Trainer, Weights,
};

pub const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Gelu, Activation::Sigmoid];
pub const KINDS: [LossKind; 3] = [LossKind::CrossEntropy, LossKind::Kl, LossKind::Mse];

/// No sum before a ReLU may be closer to 0 than this: `f32` and f64 must agree on which side of the kink it lies.
/// The sums are of order 1, so `f32` places them to about 1e-6.
const KINK: f64 = 1e-5;

/// The instruction sets of this processor that multiply in `f32`.
pub fn f32_sets() -> Vec<InstructionSet> {
    available([
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
    ])
}

/// The instruction sets of this processor that multiply bf16.
pub fn bf16_sets() -> Vec<InstructionSet> {
    available([InstructionSet::EmulatedBf16, InstructionSet::Avx512Bf16])
}

/// Every instruction set of this processor.
pub fn every_set() -> Vec<InstructionSet> {
    let mut sets = f32_sets();
    sets.extend(bf16_sets());
    sets
}

fn available<const N: usize>(sets: [InstructionSet; N]) -> Vec<InstructionSet> {
    sets.into_iter().filter(|set| set.is_available()).collect()
}

pub fn engine(set: InstructionSet) -> Trainer {
    Trainer::with_instructions(set).expect("only available sets are asked for")
}

pub fn network(
    inputs: usize,
    hidden: &[usize],
    outputs: usize,
    activation: Activation,
    biases: Biases,
) -> Architecture {
    Architecture {
        inputs,
        hidden: hidden.to_vec(),
        outputs,
        activation,
        biases,
    }
}

pub fn normals(stream: &mut Stream, n: usize) -> Vec<f32> {
    (0..n).map(|_| stream.normal() as f32).collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// A network, a batch and both kinds of target.
#[derive(Debug, Clone)]
pub struct Problem {
    pub weights: Weights,
    pub x: Vec<f32>,
    pub labels: Vec<u8>,
    pub teacher: Vec<f32>,
    pub loss: Loss,
}

/// What the engine should have computed.
pub struct Truth {
    pub logits: Vec<f64>,
    pub loss: f64,
    pub gradient: Vec<f64>,
}

impl Problem {
    /// Draws a network of `architecture` with biases away from 0, and `rows` rows away from the kinks of its ReLUs.
    pub fn draw(architecture: &Architecture, rows: usize, loss: Loss, index: u64) -> Self {
        let mut stream = Seed(5).stream("test/problem", index);
        let mut weights = Weights::initial(architecture, 1.0, &mut stream);
        for layer in architecture.layers() {
            if let Some(at) = layer.biases_at {
                weights.values[at..][..layer.outputs].fill_with(|| (0.3 * stream.normal()) as f32);
            }
        }
        let network = Network::new(architecture.clone(), wide(&weights.values));
        let mut x = Vec::new();
        while x.len() < rows * architecture.inputs {
            let row = normals(&mut stream, architecture.inputs);
            let clear = network
                .hidden_pre_activations(&wide(&row))
                .iter()
                .flatten()
                // All units below dead and no bias: exactly 0 in any precision.
                .all(|&z| z == 0.0 || z.abs() > KINK);
            if clear || architecture.activation != Activation::Relu {
                x.extend(row);
            }
        }
        let classes = loss.logits.len() as u64;
        Self {
            weights,
            x,
            labels: (0..rows).map(|_| stream.below(classes) as u8).collect(),
            teacher: normals(&mut stream, rows * architecture.outputs),
            loss,
        }
    }

    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    pub fn architecture(&self) -> &Architecture {
        &self.weights.architecture
    }

    pub fn target(&self) -> Target<'_> {
        match self.loss.kind {
            LossKind::CrossEntropy => Target::Labels(&self.labels),
            LossKind::Kl | LossKind::Mse => Target::Logits {
                values: &self.teacher,
                width: self.architecture().outputs,
            },
        }
    }

    pub fn inputs(&self) -> Inputs<'_> {
        Inputs::Dense {
            values: &self.x,
            features: self.architecture().inputs,
        }
    }

    pub fn model(&self, optimiser: Optimiser) -> Model {
        Model::new(&self.weights, optimiser)
    }

    pub fn load(&self, trainer: &mut Trainer) {
        let rows: Vec<u32> = (0..self.rows() as u32).collect();
        trainer.load(&self.inputs(), &rows);
    }

    /// Returns the answer of the f64 reference.
    pub fn truth(&self) -> Truth {
        let network = Network::new(self.architecture().clone(), wide(&self.weights.values));
        let x = wide(&self.x);
        let logits = network.forward(&x);
        let (loss, slope) = self.true_loss(&logits);
        Truth {
            gradient: network.gradient(&x, &slope),
            logits,
            loss,
        }
    }

    /// Returns the loss of `logits` and its gradient with respect to them, temperature and reduction included.
    pub fn true_loss(&self, logits: &[f64]) -> (f64, Vec<f64>) {
        let Loss {
            kind,
            logits: range,
            reduction,
            temperature,
        } = &self.loss;
        let select = Selection::new(self.architecture().outputs, range.clone());
        let cool =
            |values: &[f64]| -> Vec<f64> { values.iter().map(|z| z / temperature).collect() };
        let teacher = wide(&self.teacher);
        let labels: Vec<usize> = self.labels.iter().copied().map(usize::from).collect();
        let (loss, through_temperature) = match kind {
            LossKind::CrossEntropy => (
                select.cross_entropy(&cool(logits), &labels),
                1.0 / temperature,
            ),
            LossKind::Kl => (select.kl(&cool(logits), &cool(&teacher)), 1.0 / temperature),
            LossKind::Mse => (select.mean_squared_error(logits, &teacher), 1.0),
        };
        // What the published script's tensor [models, batch, logits] makes of a mean over the batch.
        let quirk = match (reduction, kind) {
            (Reduction::Mean, _) => 1.0,
            (Reduction::BatchMeanQuirk { models }, LossKind::Kl) => {
                self.rows() as f64 / f64::from(*models)
            }
            (Reduction::BatchMeanQuirk { models }, _) => 1.0 / f64::from(*models),
        };
        let factor = through_temperature * quirk;
        (
            loss.value,
            loss.gradient.iter().map(|g| g * factor).collect(),
        )
    }

    /// Returns what the engine makes of it: logits, loss, gradient.
    pub fn answer(&self, trainer: &mut Trainer) -> (Vec<f32>, f64, Vec<f32>) {
        let model = self.model(Optimiser::adam(1e-3));
        self.load(trainer);
        let mut logits = vec![0.0; self.rows() * self.architecture().outputs];
        trainer.logits(&model, &mut logits);
        let mut gradient = vec![0.0; self.weights.values.len()];
        let loss = trainer.gradient(&model, self.target(), &self.loss, &mut gradient);
        (logits, loss, gradient)
    }

    pub fn describe(&self) -> String {
        let Architecture {
            activation, biases, ..
        } = self.architecture();
        format!(
            "{} {activation:?} {biases:?} biases, {} rows, {:?}",
            self.architecture(),
            self.rows(),
            self.loss
        )
    }
}

/// Returns the largest absolute value, but at least `floor`.
pub fn largest(values: &[f64], floor: f64) -> f64 {
    values.iter().fold(floor, |top, value| top.max(value.abs()))
}

#[track_caller]
pub fn assert_close(label: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{label}");
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let off = (f64::from(got) - expected).abs();
        assert!(
            off <= tolerance,
            "{label}, entry {index}: expected {expected:e}, got {got:e}, off by {off:e} > {tolerance:e}"
        );
    }
}

/// Returns |got - expected| / |expected|, Euclidean; `floor` keeps a vanishing vector from dividing by 0.
pub fn distance(got: &[f32], expected: &[f64], floor: f64) -> f64 {
    let off: f64 = got
        .iter()
        .zip(expected)
        .map(|(&got, expected)| (f64::from(got) - expected).powi(2))
        .sum();
    let size: f64 = expected.iter().map(|value| value * value).sum();
    off.sqrt() / size.sqrt().max(floor)
}

/// Returns the parts of a flat parameter vector: weights of each layer, then its biases.
pub fn tensors(architecture: &Architecture) -> Vec<std::ops::Range<usize>> {
    architecture
        .layers()
        .into_iter()
        .flat_map(|layer| {
            let weights = layer.weights_at..layer.weights_at + layer.inputs * layer.outputs;
            let biases = layer.biases_at.map(|at| at..at + layer.outputs);
            std::iter::once(weights).chain(biases)
        })
        .collect()
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
