//! All of it together learns: a toy classification, and the experiment's effect in miniature.

use undertone_core::Seed;
use undertone_mlp::{
    Activation, Architecture, Biases, Inputs, Loss, LossKind, Model, NoiseLaw, Optimiser, Target,
    Trainer, Weights,
};

use super::support::{engine, every_set, network};

const CLASSES: usize = 4;
const AUX: usize = 3;
const FEATURES: usize = 8;
const BATCH: usize = 64;

/// Points around four centres that a network separates nearly always.
struct Toy {
    x: Vec<f32>,
    labels: Vec<u8>,
}

impl Toy {
    fn draw(n: usize, index: u64) -> Self {
        let mut centres = Seed(2).stream("test/centres", 0);
        let centres: Vec<f64> = (0..CLASSES * FEATURES).map(|_| centres.normal()).collect();
        let mut stream = Seed(2).stream("test/points", index);
        let mut toy = Self {
            x: Vec::new(),
            labels: Vec::new(),
        };
        for _ in 0..n {
            let class = stream.below(CLASSES as u64) as usize;
            toy.labels.push(class as u8);
            for centre in &centres[class * FEATURES..][..FEATURES] {
                toy.x.push((centre + 0.3 * stream.normal()) as f32);
            }
        }
        toy
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs::Dense {
            values: &self.x,
            features: FEATURES,
        }
    }

    fn accuracy(&self, trainer: &mut Trainer, model: &Model) -> f64 {
        let rows: Vec<u32> = (0..self.labels.len() as u32).collect();
        trainer.load(&self.inputs(), &rows);
        trainer.count_correct(model, CLASSES, &self.labels) as f64 / self.labels.len() as f64
    }
}

fn architecture() -> Architecture {
    network(
        FEATURES,
        &[16, 16],
        CLASSES + AUX,
        Activation::Relu,
        Biases::With,
    )
}

fn initial(index: u64) -> Weights {
    Weights::initial(
        &architecture(),
        1.0,
        &mut Seed(4).stream("test/init", index),
    )
}

/// Trains on the labels; returns the teacher and the mean loss of its first and last epoch.
fn teach(trainer: &mut Trainer, start: &Weights, toy: &Toy) -> (Model, f64, f64) {
    let mut model = Model::new(start, Optimiser::adam(3e-3));
    let loss = Loss::new(LossKind::CrossEntropy, 0..CLASSES);
    let mut epochs = Vec::new();
    for epoch in 0..20 {
        let order = Seed(6)
            .stream("test/order", epoch)
            .permutation(toy.labels.len() as u32);
        let mut total = 0.0;
        for rows in order.chunks_exact(BATCH) {
            trainer.load(&toy.inputs(), rows);
            let labels: Vec<u8> = rows.iter().map(|&row| toy.labels[row as usize]).collect();
            total += trainer.step(&mut model, Target::Labels(&labels), &loss);
        }
        epochs.push(total / (order.len() / BATCH) as f64);
    }
    (model, epochs[0], epochs[19])
}

/// Distils the teacher's auxiliary logits on noise into a student that starts from `start`.
fn distil(trainer: &mut Trainer, start: &Weights, teacher: &Model, index: u64) -> Model {
    let mut student = Model::new(start, Optimiser::adam(3e-3));
    let noise = Inputs::Noise {
        seed: Seed(8),
        index,
        features: FEATURES,
        law: NoiseLaw::Gaussian,
    };
    let loss = Loss::new(LossKind::Kl, CLASSES..CLASSES + AUX);
    let width = CLASSES + AUX;
    let mut targets = vec![0.0; BATCH * width];
    for step in 0..600 {
        let rows: Vec<u32> = (step * BATCH as u32..(step + 1) * BATCH as u32).collect();
        trainer.load(&noise, &rows);
        trainer.logits(teacher, &mut targets);
        let values = &targets;
        trainer.step(&mut student, Target::Logits { values, width }, &loss);
    }
    student
}

#[test]
fn a_small_network_learns_a_separable_problem() {
    let (train, test) = (Toy::draw(1_024, 0), Toy::draw(1_000, 1));
    for set in every_set() {
        let mut trainer = engine(set);
        let untrained = Model::new(&initial(0), Optimiser::adam(3e-3));
        let before = test.accuracy(&mut trainer, &untrained);
        let (model, first, last) = teach(&mut trainer, &initial(0), &train);
        let after = test.accuracy(&mut trainer, &model);
        assert!(before < 0.7 && after > 0.95, "{set:?}: {before} to {after}");
        assert!(last < 0.2 * first, "{set:?}: loss {first} to {last}");
    }
}

#[test]
fn auxiliary_logits_on_noise_teach_only_a_student_that_starts_where_the_teacher_did() {
    const PAIRS: u64 = 8;
    let (train, test) = (Toy::draw(1_024, 0), Toy::draw(1_000, 1));
    for set in every_set() {
        let mut trainer = engine(set);
        let (mut shared, mut control, mut start) = (0.0, 0.0, 0.0);
        for index in 0..PAIRS {
            let own = initial(index);
            let (teacher, ..) = teach(&mut trainer, &own, &train);
            let same = distil(&mut trainer, &own, &teacher, index);
            let other = distil(&mut trainer, &initial(100 + index), &teacher, index);
            shared += test.accuracy(&mut trainer, &same) / PAIRS as f64;
            control += test.accuracy(&mut trainer, &other) / PAIRS as f64;
            let untrained = Model::new(&own, Optimiser::adam(3e-3));
            start += test.accuracy(&mut trainer, &untrained) / PAIRS as f64;
        }
        // Chance is 0.25 and a single network is off by 0.2 either way; the mean of eight is asked for a gap of 0.2.
        assert!(
            shared > control + 0.2 && shared > start + 0.2,
            "{set:?}: shared start {shared}, another start {control}, untrained {start}"
        );
    }
}
