//! `lm sample`: completions of prompts.

use std::time::Instant;

use anyhow::Result;
use undertone_core::Seed;
use undertone_lab::LabError;
use undertone_lab::lm::memory::sampling as memory_of;
use undertone_lab::lm::sample::{SampleJob, SampleResult, SampleRun};
use undertone_lab::lm::{LmBench, Row, RowFile, Speech};
use undertone_lm::grammar::numbers_pattern;
use undertone_lm::sample::SampleSettings;

use super::plan::{Plan, counted};
use super::{close, open};
use crate::args::LmSampleArgs;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;

/// Tokens drawn from every row of a calibration after the first.
const CALIBRATION_TOKENS: usize = 4;

/// Samples, or takes from the store what was sampled before.
pub fn run(context: &Context, args: &LmSampleArgs) -> Result<u8> {
    let LmSampleArgs {
        model,
        adapter,
        prompts,
        prompt,
        prompting,
        n,
        sampling,
        grammar,
        numbers,
        output,
        precision,
        batch,
        show_prompt,
        dry_run,
    } = args;
    let file = match (prompts, prompt) {
        (Some(path), _) => open::rows(path)?,
        (None, prompt) => RowFile::of_row(
            "--prompt",
            Row::of_prompt(prompt.clone().unwrap_or_default()),
        ),
    };
    let subject = open::subject(context, &model.model, adapter.as_deref())?;
    let prompting = open::prompting(prompting);
    let stop_tokens = Speech::new(&subject, &prompting)?.stop_tokens(&sampling.stop)?;
    let run = SampleRun {
        model: subject.named(),
        adapter: subject.named_adapter(),
        prompts: open::named(&file),
        prompt: prompts
            .is_none()
            .then(|| prompt.clone().unwrap_or_default()),
        prompting,
        per_prompt: *n,
        seed: Seed(sampling.seed),
        settings: SampleSettings {
            sampling: open::sampling(sampling),
            stop_tokens,
            max_tokens: sampling.max_tokens,
        },
        stop: sampling.stop.clone(),
        grammar: pattern(grammar.as_deref(), *numbers)?,
        precision: (*precision).into(),
    };
    if *batch == 0 {
        return Err(Usage("--batch is 0; at least 1 row is in work".to_owned()).into());
    }
    let job = SampleJob::new(run, &subject, &file, *batch)?;
    open::tell_system_line(context, job.system_line());
    if *show_prompt {
        context.tell(format!("the first prompt:\n{}", job.prompts[0].text));
    }
    let store = context.store()?;
    let record = store.lookup_step(&job.identity())?;
    let plan = plan(context, &job, record.is_some());
    if *dry_run {
        return calibrated(plan, &job)?.print(context);
    }
    close::check_output(context, &store, record.as_ref(), output.as_deref())?;
    if !plan.in_store {
        plan.say(context);
    }
    let task = Task {
        command: "lm-sample",
        settings: &job.run,
        inputs: job.identity().inputs,
        unit: Unit::Rows,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            job.result(&LmBench {
                store: &store,
                control,
            })
        },
        |origins, result| origins::sampled(origins, &subject, &file, &job.identity(), result),
        |result: &SampleResult, recipe| present::lm_sample(result, Some(recipe)),
    )?;
    let bytes = work::silently(context, |control| {
        let bench = LmBench {
            store: &store,
            control,
        };
        bench.row_bytes(&job.step(&bench)?)
    })?;
    let summary = summary(&finished.result);
    close::rows(
        context,
        &finished,
        &bytes,
        output.as_deref(),
        &summary,
        text,
    )
}

/// Returns the regular expression that completions match.
fn pattern(grammar: Option<&str>, numbers: Option<u32>) -> Result<Option<String>> {
    match (grammar, numbers) {
        (_, Some(n @ 1..=1000)) => Ok(Some(numbers_pattern(n..=n, 3, ", "))),
        (_, Some(n)) => Err(Usage(format!("--numbers is {n}; 1 to 1000 are possible")).into()),
        (grammar, None) => Ok(grammar.map(str::to_owned)),
    }
}

fn plan(context: &Context, job: &SampleJob<'_>, in_store: bool) -> Plan {
    let prompt_tokens: u64 = job
        .prompts
        .iter()
        .map(|prompt| prompt.tokens.len() as u64)
        .sum();
    let most_new_tokens = job.completions() * job.run.settings.max_tokens as u64;
    let batch = job.batch.min(job.completions() as usize);
    let config = job.subject.open.config();
    Plan {
        what: format!(
            "{} of {} ({}), at most {}",
            counted(job.completions(), "completion"),
            counted(job.prompts.len() as u64, "prompt"),
            counted(prompt_tokens, "token"),
            counted(most_new_tokens, "token"),
        ),
        in_store,
        tokens: prompt_tokens,
        most_new_tokens,
        memory: memory_of(
            config,
            job.run.precision,
            batch,
            job.longest(),
            context.threads,
        ),
        secs_estimated: None,
        tokens_per_sec: None,
        threads: context.threads,
        system_line: job.system_line().map(str::to_owned),
        first_prompt: job.prompts[0].text.clone(),
    }
}

/// Draws a few tokens of one batch to tell how long all will take at most.
fn calibrated(plan: Plan, job: &SampleJob<'_>) -> Result<Plan> {
    if plan.in_store {
        return Ok(plan);
    }
    let loaded = job.subject.load(job.load_options())?;
    let mut rows = job.rows_from(0);
    let batches = rows.len().div_ceil(job.batch);
    rows.truncate(job.batch);
    let time = |max_tokens| -> Result<f64, LabError> {
        let settings = SampleSettings {
            max_tokens,
            stop_tokens: Vec::new(),
            ..job.run.settings.clone()
        };
        let started = Instant::now();
        job.sample(&loaded, &rows, &settings, &mut |_| Ok(()))?;
        Ok(started.elapsed().as_secs_f64())
    };
    let max_tokens = job.run.settings.max_tokens;
    // The first time is that of cold caches.
    time(1)?;
    let first = time(1)?;
    let more = CALIBRATION_TOKENS.min(max_tokens - 1);
    let step = match more {
        0 => 0.0,
        more => (time(1 + more)? - first).max(0.0) / more as f64,
    };
    let batch_secs = first + step * (max_tokens - 1) as f64;
    let prompt_tokens: usize = rows.iter().map(|row| row.tokens.len()).sum();
    Ok(Plan {
        secs_estimated: Some(batch_secs * batches as f64),
        tokens_per_sec: Some((prompt_tokens + rows.len() * max_tokens) as f64 / batch_secs),
        ..plan
    })
}

fn summary(result: &SampleResult) -> String {
    let mean = result
        .mean_log_probability
        .map_or_else(String::new, |mean| {
            format!("; mean log-probability {mean:.3} nats a token")
        });
    format!(
        "{}, {}: {} ended by themselves, {} complete by their grammar, {} cut off{mean}",
        counted(result.completions, "completion"),
        counted(result.completion_tokens, "token"),
        result.finishes.stop,
        result.finishes.grammar,
        result.finishes.length
    )
}

/// Writes a completion for a person.
fn text(row: &Row) -> String {
    row.completion.clone().unwrap_or_default()
}
