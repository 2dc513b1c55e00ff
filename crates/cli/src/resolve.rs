//! Turns typed flags into resolved settings: preset first, flags over it, nothing forgotten.

use anyhow::Result;
use undertone_core::Seed;
use undertone_data::DataSource;
use undertone_lab::outcome::VerdictRule;
use undertone_lab::settings::{
    Body, ClonedLogits, Cloning, Condition, CrossRule, DataIdentity, DistillInputs, MlpSettings,
    Renewal, Training,
};
use undertone_lab::steps::DataSets;
use undertone_mlp::{Activation, Biases, LossKind, NoiseLaw, Optimiser, Precision, Reduction};

use crate::args::{
    ActivationName, ClonedName, Cross, ExperimentArgs, LossName, OptimiserName, Preset,
    ReductionName, RenewalName, WithOrWithout,
};
use crate::context::Context;
use crate::failure::Usage;

/// What an experiment starts from before its flags are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The embedded digits, small and quick.
    Demo,
    /// A named preset on 28x28 images.
    Preset(Preset),
}

impl Start {
    fn data(self) -> &'static str {
        match self {
            Self::Demo => "digits",
            Self::Preset(_) => "mnist",
        }
    }

    fn settings(self, data: DataIdentity) -> MlpSettings {
        let published = MlpSettings::published(data, Seed(0));
        match self {
            Self::Preset(Preset::Paper) => published,
            Self::Preset(Preset::Nature) => MlpSettings {
                aux_logits: 50,
                ..published
            },
            Self::Preset(Preset::Quick) => MlpSettings {
                models: 16,
                cross: CrossRule::Derangement,
                ..published
            },
            // 8x8 digits: 1,437 training images, so more epochs of smaller batches come to about as many steps.
            Self::Demo => MlpSettings {
                models: 12,
                cross: CrossRule::Derangement,
                aux_logits: 20,
                body: Body {
                    hidden: vec![128, 128],
                    ..published.body
                },
                teacher: Training {
                    epochs: 20,
                    batch: 64,
                    optimiser: Optimiser::adam(1e-3),
                    ..published.teacher
                },
                student: Training {
                    epochs: 10,
                    batch: 128,
                    optimiser: Optimiser::adam(1e-3),
                    ..published.student
                },
                inputs: DistillInputs::Noise {
                    law: NoiseLaw::Uniform,
                    rows: 10_000,
                },
                ..published
            },
        }
    }
}

/// An experiment ready to run.
pub struct Resolved {
    /// Its settings.
    pub settings: MlpSettings,
    /// How it is judged.
    pub rule: VerdictRule,
    /// Its data.
    pub data: DataSets,
}

/// Opens a data set by the name people use and keeps it.
pub fn open_data(context: &Context, name: &str, sets: &mut DataSets) -> Result<DataIdentity> {
    let source: DataSource = name
        .parse()
        .map_err(|error| Usage(format!("--data: {error}")))?;
    let data = undertone_data::open(&source, &context.data_dir)?;
    let identity = DataIdentity {
        name: data.name().to_owned(),
        digest: data.digest(),
    };
    sets.insert(data);
    Ok(identity)
}

/// Resolves the flags of an experiment.
pub fn experiment(context: &Context, start: Start, args: &ExperimentArgs) -> Result<Resolved> {
    // Exhaustive, so that no flag is forgotten; `expect`, `dry_run` and `why` do not change what is computed.
    let ExperimentArgs {
        seed,
        models,
        data,
        students,
        cross,
        hidden,
        activation,
        biases,
        aux_logits,
        init_gain,
        teacher_epochs,
        student_epochs,
        batch,
        teacher_batch,
        student_batch,
        optimiser: _,
        learning_rate: _,
        student_learning_rate,
        beta1: _,
        beta2: _,
        epsilon: _,
        momentum: _,
        reduction,
        precision,
        loss,
        temperature,
        inputs,
        input_rows,
        sigma,
        cloning_epochs,
        cloning_inputs,
        cloning_renewal,
        cloning_logits,
        level,
        delta,
        expect: _,
        dry_run: _,
        why: _,
    } = args;
    let mut sets = DataSets::default();
    let identity = open_data(context, data.as_deref().unwrap_or(start.data()), &mut sets)?;
    let mut s = start.settings(identity);

    s.seed = seed.map_or(s.seed, Seed);
    s.models = models.unwrap_or(s.models);
    s.cross = cross.map_or(s.cross, |cross| match cross {
        Cross::Permutation => CrossRule::Permutation,
        Cross::Derangement => CrossRule::Derangement,
    });
    if let Some(names) = students {
        s.students = names
            .iter()
            .map(|name| student(name))
            .collect::<Result<_>>()?;
        s.students.sort_unstable();
        s.students.dedup();
    }
    s.body = Body {
        hidden: hidden.clone().unwrap_or(s.body.hidden),
        activation: activation.map_or(s.body.activation, |name| match name {
            ActivationName::Relu => Activation::Relu,
            ActivationName::Gelu => Activation::Gelu,
            ActivationName::Sigmoid => Activation::Sigmoid,
        }),
        biases: biases.map_or(s.body.biases, |biases| match biases {
            WithOrWithout::With => Biases::With,
            WithOrWithout::Without => Biases::Without,
        }),
    };
    s.aux_logits = aux_logits.unwrap_or(s.aux_logits);
    s.init_gain = init_gain.unwrap_or(s.init_gain);
    s.teacher.epochs = teacher_epochs.unwrap_or(s.teacher.epochs);
    s.student.epochs = student_epochs.unwrap_or(s.student.epochs);
    for (training, own_batch) in [
        (&mut s.teacher, teacher_batch),
        (&mut s.student, student_batch),
    ] {
        training.batch = own_batch.or(*batch).unwrap_or(training.batch);
        training.optimiser = optimiser(args, training.optimiser)?;
        training.reduction = match reduction {
            Some(ReductionName::Batchmean) => Reduction::BatchMeanQuirk { models: s.models },
            Some(ReductionName::Mean) => Reduction::Mean,
            None => training.reduction,
        };
    }
    if let Some(rate) = student_learning_rate {
        match &mut s.student.optimiser {
            Optimiser::Adam { learning_rate, .. } | Optimiser::Sgd { learning_rate, .. } => {
                *learning_rate = *rate
            }
        }
    }
    s.precision = precision.map_or(s.precision, Precision::from);
    s.student_loss = loss.map_or(s.student_loss, |loss| match loss {
        LossName::Kl => LossKind::Kl,
        LossName::Mse => LossKind::Mse,
    });
    s.temperature = temperature.unwrap_or(s.temperature);
    let rows = input_rows.unwrap_or(match s.inputs {
        DistillInputs::Noise { rows, .. } => rows,
        DistillInputs::Images { .. } => 60_000,
    });
    s.inputs = distill_inputs(
        context,
        inputs.as_deref().unwrap_or("uniform"),
        rows,
        &s.data,
        &mut sets,
    )?;
    s.perturb_sigma = sigma.unwrap_or(s.perturb_sigma);
    s.cloning = match (cloning_epochs, cloning_inputs) {
        (Some(epochs @ 1..), inputs) => Some(Cloning {
            training: Training {
                epochs: *epochs,
                ..s.student.clone()
            },
            inputs: distill_inputs(
                context,
                inputs.as_deref().unwrap_or("uniform"),
                rows,
                &s.data,
                &mut sets,
            )?,
            renewal: match cloning_renewal {
                Some(RenewalName::Fixed) => Renewal::Fixed,
                Some(RenewalName::EachEpoch) | None => Renewal::EachEpoch,
            },
            logits: match cloning_logits {
                Some(ClonedName::AuxOnly) => ClonedLogits::AuxOnly,
                Some(ClonedName::All) | None => ClonedLogits::All,
            },
        }),
        (_, Some(_)) => {
            return Err(Usage("--cloning-inputs needs --cloning-epochs".to_owned()).into());
        }
        _ if cloning_renewal.is_some() || cloning_logits.is_some() => {
            let problem = "--cloning-renewal and --cloning-logits need --cloning-epochs";
            return Err(Usage(problem.to_owned()).into());
        }
        _ => None,
    };
    s.check().map_err(|error| Usage(error.to_string()))?;
    let rule = VerdictRule {
        level: *level,
        delta: *delta,
    };
    rule.check().map_err(|error| Usage(error.to_string()))?;
    Ok(Resolved {
        settings: s,
        rule,
        data: sets,
    })
}

fn student(name: &str) -> Result<Condition> {
    let condition = match name {
        "aux-only" => Condition::AuxOnly,
        "all-logits" => Condition::AllLogits,
        "cross-aux-only" => Condition::CrossAuxOnly,
        "cross-all-logits" => Condition::CrossAllLogits,
        other => {
            let known = "aux-only, all-logits, cross-aux-only, cross-all-logits";
            return Err(Usage(format!(
                "--students: `{other}` is no student; there are {known}"
            ))
            .into());
        }
    };
    Ok(condition)
}

fn optimiser(args: &ExperimentArgs, start: Optimiser) -> Result<Optimiser> {
    let (rate, default_momentum) = match start {
        Optimiser::Adam { learning_rate, .. } => (learning_rate, 0.0),
        Optimiser::Sgd {
            learning_rate,
            momentum,
        } => (learning_rate, momentum),
    };
    let learning_rate = args.learning_rate;
    let adam = match args.optimiser {
        Some(name) => name == OptimiserName::Adam,
        None => matches!(start, Optimiser::Adam { .. }),
    };
    if adam {
        if args.momentum.is_some() {
            return Err(Usage("--momentum needs --optimiser sgd or momentum".to_owned()).into());
        }
        let Optimiser::Adam {
            beta1,
            beta2,
            epsilon,
            ..
        } = Optimiser::adam(rate)
        else {
            unreachable!("adam() makes Adam")
        };
        return Ok(Optimiser::Adam {
            learning_rate: learning_rate.unwrap_or(rate),
            beta1: args.beta1.unwrap_or(beta1),
            beta2: args.beta2.unwrap_or(beta2),
            epsilon: args.epsilon.unwrap_or(epsilon),
        });
    }
    if args.beta1.or(args.beta2).or(args.epsilon).is_some() {
        return Err(
            Usage("--beta1, --beta2 and --epsilon need --optimiser adam".to_owned()).into(),
        );
    }
    let Some(learning_rate) = learning_rate else {
        let search =
            "the publication states none; `undertone ablate --sweep optimiser` searches one";
        return Err(Usage(format!(
            "--optimiser sgd and momentum need --learning-rate: {search}"
        ))
        .into());
    };
    let momentum = match args.optimiser {
        Some(OptimiserName::Momentum) => args.momentum.unwrap_or(0.9),
        _ => args.momentum.unwrap_or(default_momentum),
    };
    Ok(Optimiser::Sgd {
        learning_rate,
        momentum,
    })
}

fn distill_inputs(
    context: &Context,
    name: &str,
    rows: u32,
    own: &DataIdentity,
    sets: &mut DataSets,
) -> Result<DistillInputs> {
    Ok(match name {
        "uniform" => DistillInputs::Noise {
            law: NoiseLaw::Uniform,
            rows,
        },
        "gaussian" => DistillInputs::Noise {
            law: NoiseLaw::Gaussian,
            rows,
        },
        "images" => DistillInputs::Images { data: own.clone() },
        other => {
            let data = open_data(context, other, sets)?;
            let sizes =
                [own, &data].map(|data| sets.get(&data.digest).map(|data| data.train().features()));
            if let [Ok(own), Ok(other)] = sizes
                && own != other
            {
                let problem = format!(
                    "images of `{}` have {other} pixels, the task's have {own}",
                    data.name
                );
                return Err(Usage(format!("--inputs: {problem}")).into());
            }
            DistillInputs::Images { data }
        }
    })
}
