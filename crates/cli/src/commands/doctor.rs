//! `doctor`: what this machine is, what is there, and how fast it trains beside its own peak.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_data::{Benchmark, Dataset, Model as LanguageModel};
use undertone_lab::LabError;
use undertone_mlp::{
    Activation, Architecture, Biases, Inputs, Loss, LossKind, Model, NoiseLaw, Optimiser,
    Precision, Target, Trainer, Weights,
};
use undertone_simd::peak_gflops;
use undertone_store::{Damage, Store};

use crate::args::DoctorArgs;
use crate::context::Context;
use crate::environment;

/// How long each speed test runs.
const TEST: Duration = Duration::from_millis(500);
/// Floating-point operations of one example through one training step of 784-256-256-13.
const FLOP_PER_EXAMPLE: f64 = 1_216_000.0;

/// One number format's speed on all threads.
#[derive(Debug, Serialize)]
struct Speed {
    precision: Precision,
    instructions: String,
    train_gflops: f64,
    peak_gflops: f64,
}

/// Looks at everything; exit code 4 if the store is damaged and was not repaired.
pub fn run(context: &Context, args: &DoctorArgs) -> Result<u8> {
    let environment = environment::capture(context.threads);
    let memory = environment::memory();
    let disk = environment::free_disk(&context.root);
    let mut data: Vec<(&str, Option<String>)> = Dataset::ALL
        .into_iter()
        .map(|dataset| {
            let found = undertone_data::source::find(dataset, &context.data_dir)?;
            Ok((
                dataset.name(),
                found.map(|folder| folder.display().to_string()),
            ))
        })
        .collect::<Result<_, undertone_data::OpenDataError>>()?;
    data.extend(Benchmark::ALL.map(|benchmark| {
        let path = benchmark.path(&context.data_dir);
        (
            benchmark.name(),
            path.is_file().then(|| path.display().to_string()),
        )
    }));
    let models = LanguageModel::ALL.map(|model| {
        let path = model.path(&context.data_dir);
        (model, path.is_file().then_some(path))
    });
    let speeds = [Precision::F32, Precision::Bf16]
        .into_iter()
        .filter_map(|p| speed(p, context.threads).transpose());
    let speeds: Vec<Speed> = speeds.collect::<Result<_, LabError>>()?;
    let health = store_health(context, args)?;
    let value = json!({
        "environment": environment,
        "memory_bytes": memory.map(|(total, available)| json!({"total": total, "available": available})),
        "disk_free_bytes": disk,
        "data": data.iter().map(|(name, folder)| json!({"name": name, "folder": folder})).collect::<Vec<_>>(),
        "models": models.iter().map(|(model, path)| json!({"name": model.name(), "path": path})).collect::<Vec<_>>(),
        "speed": speeds,
        "store": health.json,
    });
    context.print(&value, || {
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let unknown = || "unknown".to_owned();
        let mut lines = vec![
            format!("version   {}", environment.undertone_version),
            format!(
                "cpu       {}",
                environment.cpu_model.as_deref().unwrap_or("unknown")
            ),
            format!("features  {}", environment.cpu_features.join(", ")),
            format!("threads   {}", context.threads),
            format!(
                "memory    {}",
                memory.map_or_else(unknown, |(t, a)| format!("{} of {} free", gib(a), gib(t)))
            ),
            format!(
                "disk      {} free for the store",
                disk.map_or_else(unknown, gib)
            ),
        ];
        lines.push("data      digits: embedded".to_owned());
        lines.extend(data.iter().map(|(name, folder)| match folder {
            Some(folder) => format!("data      {name}: {folder}"),
            None => format!("data      {name}: not here; `undertone fetch {name}` gets it"),
        }));
        lines.extend(models.iter().map(|(model, path)| match path {
            Some(path) => format!("model     {model}: {}", path.display()),
            None => format!("model     {model}: not here; `undertone fetch {model}` gets it"),
        }));
        lines.extend(speeds.iter().map(speed_line));
        lines.push(format!("store     {}", health.text));
        Ok(lines.join("\n"))
    })?;
    Ok(health.code)
}

/// What is known of the store.
struct Health {
    json: serde_json::Value,
    text: String,
    code: u8,
}

fn store_health(context: &Context, args: &DoctorArgs) -> Result<Health> {
    let root = context.root.display();
    if !context.root.join("store.json").exists() {
        let text = format!("none at {root} yet");
        return Ok(Health {
            json: json!(null),
            text,
            code: exit::DONE,
        });
    }
    if args.repair {
        let repairs = Store::open(&context.root)?.repair()?;
        for repair in &repairs {
            eprintln!("set aside: {}", words(&repair.damage));
        }
        let text = format!(
            "{root}: {} damaged files set aside; repeat the commands that made them",
            repairs.len()
        );
        return Ok(Health {
            json: json!({"set_aside": repairs.len()}),
            text,
            code: exit::DONE,
        });
    }
    let store = Store::open_read_only(&context.root)?;
    let n_runs = store.runs()?.runs.len();
    if !args.verify {
        let text = format!("{root}: {n_runs} runs; `undertone doctor --verify` checks every byte");
        return Ok(Health {
            json: json!({"runs": n_runs}),
            text,
            code: exit::DONE,
        });
    }
    let damages = store.verify_all()?;
    for damage in &damages {
        eprintln!("damaged: {}", words(damage));
    }
    let code = if damages.is_empty() {
        exit::DONE
    } else {
        exit::TAMPERED
    };
    let text = match damages.len() {
        0 => format!("{root}: {n_runs} runs, every byte as recorded"),
        n => format!("{root}: {n} damaged files; `undertone doctor --repair` sets them aside"),
    };
    Ok(Health {
        json: json!({"runs": n_runs, "damaged": damages.len()}),
        text,
        code,
    })
}

/// Writes a damage with the chain of its causes.
fn words(damage: &Damage) -> String {
    let mut text = damage.error.to_string();
    let mut cause = std::error::Error::source(&damage.error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn speed_line(speed: &Speed) -> String {
    let Speed {
        instructions,
        train_gflops: train,
        peak_gflops: peak,
        ..
    } = speed;
    let share = 100.0 * train / peak;
    // Training cannot beat its own peak: something else had the processor while one of the two was measured.
    let judgement = if share > 100.0 {
        format!(
            "peak measured {peak:.0}: other work disturbed the test, repeat it on an idle machine"
        )
    } else {
        format!("{share:.0} % of the {peak:.0} this machine reaches at most")
    };
    format!("speed     {instructions}: {train:.0} GFLOP/s in training, {judgement}")
}

/// Measures training and peak on all threads; `None` if the processor lacks the format.
fn speed(precision: Precision, threads: usize) -> Result<Option<Speed>, LabError> {
    let set = precision.set();
    if !set.is_available() {
        return Ok(None);
    }
    let train = on_threads(threads, || train_gflops(precision));
    let peak = on_threads(threads, || Some(peak_gflops(set, TEST)));
    Ok(train.zip(peak).map(|(train_gflops, peak_gflops)| Speed {
        precision,
        instructions: format!("{set:?}"),
        train_gflops,
        peak_gflops,
    }))
}

/// Runs `measure` on every thread at once and adds the results.
fn on_threads(threads: usize, measure: impl Fn() -> Option<f64> + Sync) -> Option<f64> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&measure)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().ok().flatten())
            .sum()
    })
}

fn train_gflops(precision: Precision) -> Option<f64> {
    const BATCH: usize = 1024;
    let architecture = Architecture {
        inputs: 784,
        hidden: vec![256, 256],
        outputs: 13,
        activation: Activation::Relu,
        biases: Biases::With,
    };
    let mut trainer = Trainer::new(precision).ok()?;
    let weights = Weights::initial(&architecture, 1.0, &mut Seed(0).stream("cli/doctor", 0));
    let mut model = Model::new(&weights, Optimiser::adam(3e-4));
    let rows: Vec<u32> = (0..BATCH as u32).collect();
    let labels: Vec<u8> = (0..BATCH).map(|row| (row % 10) as u8).collect();
    trainer.load(
        &Inputs::Noise {
            seed: Seed(0),
            index: 0,
            features: 784,
            law: NoiseLaw::Uniform,
        },
        &rows,
    );
    let loss = Loss::new(LossKind::CrossEntropy, 0..10);
    trainer.step(&mut model, Target::Labels(&labels), &loss);
    let (started, mut steps) = (Instant::now(), 0u32);
    while started.elapsed() < TEST {
        trainer.step(&mut model, Target::Labels(&labels), &loss);
        steps += 1;
    }
    Some(f64::from(steps) * BATCH as f64 * FLOP_PER_EXAMPLE / started.elapsed().as_secs_f64() / 1e9)
}
