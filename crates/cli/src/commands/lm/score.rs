//! `lm score`: what a model thinks of completions.

use std::time::Instant;

use anyhow::Result;
use undertone_lab::lm::memory::scoring;
use undertone_lab::lm::score::{NextWanted, ScoreJob, ScoreResult, ScoreRun, TypedRow};
use undertone_lab::lm::speech::Ending;
use undertone_lab::lm::{LmBench, Row, RowFile};
use undertone_lm::score::ScoreSettings;

use super::plan::{Plan, counted};
use super::{close, open};
use crate::args::LmScoreArgs;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;

/// Tokens that a calibration scores.
const CALIBRATION_TOKENS: usize = 2048;

/// Scores, or takes from the store what was scored before.
pub fn run(context: &Context, args: &LmScoreArgs) -> Result<u8> {
    let LmScoreArgs {
        model,
        adapter,
        rows,
        prompt,
        completion,
        prompting,
        end,
        top,
        next,
        hidden,
        output,
        precision,
        show_prompt,
        dry_run,
    } = args;
    let typed = prompt.as_ref().map(|prompt| TypedRow {
        prompt: prompt.clone(),
        completion: completion.clone(),
    });
    let file = match (rows, &typed) {
        (Some(path), _) => open::rows(path)?,
        (None, typed) => RowFile::of_row("--prompt", typed_row(typed.as_ref())),
    };
    let subject = open::subject(context, &model.model, adapter.as_deref())?;
    let run = ScoreRun {
        model: subject.named(),
        adapter: subject.named_adapter(),
        rows: open::named(&file),
        typed,
        prompting: open::prompting(prompting),
        ending: match end {
            true => Ending::EndOfTurn,
            false => Ending::Open,
        },
        settings: ScoreSettings {
            top_k: *top,
            layers: hidden.clone(),
        },
        next: next_wanted(next.as_deref())?,
        precision: (*precision).into(),
    };
    let job = ScoreJob::new(run, &subject, &file)?;
    open::tell_system_line(context, job.system_line());
    if *show_prompt {
        context.tell(format!("the first prompt:\n{}", job.first_prompt()));
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
        command: "lm-score",
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
        |origins, result| origins::scored(origins, &subject, &file, result),
        |result: &ScoreResult, recipe| present::lm_score(result, Some(recipe)),
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

fn typed_row(typed: Option<&TypedRow>) -> Row {
    let typed = typed.cloned();
    let (prompt, completion) = typed.map_or_else(Default::default, |t| (t.prompt, t.completion));
    Row {
        completion,
        ..Row::of_prompt(prompt)
    }
}

fn next_wanted(next: Option<&str>) -> Result<NextWanted> {
    Ok(match next {
        None => NextWanted::None,
        Some("all") => NextWanted::All,
        Some(text) => match text.parse() {
            Ok(k @ 1..) => NextWanted::Top(k),
            _ => {
                let problem = format!("--next is `{text}`; a number of at least 1, or `all`");
                return Err(Usage(problem).into());
            }
        },
    })
}

fn tokens(job: &ScoreJob<'_>) -> u64 {
    let rows = job.rows().iter();
    rows.map(|row| (row.prompt.len() + row.completion.len()) as u64)
        .sum()
}

fn plan(context: &Context, job: &ScoreJob<'_>, in_store: bool) -> Plan {
    let tokens = tokens(job);
    let config = job.subject.open.config();
    Plan {
        what: format!(
            "{} of {} to score",
            counted(job.rows().len() as u64, "row"),
            counted(tokens, "token")
        ),
        in_store,
        tokens,
        most_new_tokens: 0,
        memory: scoring(config, job.run.precision, job.longest(), context.threads),
        secs_estimated: None,
        tokens_per_sec: None,
        threads: context.threads,
        system_line: job.system_line().map(str::to_owned),
        first_prompt: job.first_prompt().to_owned(),
    }
}

/// Scores the first rows to tell how long all will take.
fn calibrated(plan: Plan, job: &ScoreJob<'_>) -> Result<Plan> {
    if plan.in_store {
        return Ok(plan);
    }
    let loaded = job.subject.load(job.load_options())?;
    let mut n_tokens = 0;
    let fits = job.rows().iter().take_while(|row| {
        let before = n_tokens;
        n_tokens += row.prompt.len() + row.completion.len();
        before < CALIBRATION_TOKENS
    });
    let rows = &job.rows()[..fits.count()];
    let n_tokens: usize = rows
        .iter()
        .map(|row| row.prompt.len() + row.completion.len())
        .sum();
    job.score(&loaded, &rows[..1], &mut |_| Ok(()))?;
    let started = Instant::now();
    job.score(&loaded, rows, &mut |_| Ok(()))?;
    let rate = n_tokens as f64 / started.elapsed().as_secs_f64();
    Ok(Plan {
        secs_estimated: Some(plan.tokens as f64 / rate),
        tokens_per_sec: Some(rate),
        ..plan
    })
}

fn summary(result: &ScoreResult) -> String {
    let mean = result
        .mean_log_probability
        .map_or_else(String::new, |mean| {
            let perplexity = (-mean).exp();
            format!("; mean log-probability {mean:.4} nats a token, perplexity {perplexity:.3}")
        });
    format!(
        "{}, {}{mean}",
        counted(result.n, "row"),
        counted(result.completion_tokens, "completion token")
    )
}

/// Writes a score for a person.
fn text(row: &Row) -> String {
    let mut lines = Vec::new();
    if let (Some(sum), Some(tokens)) = (row.sum, &row.completion_tokens) {
        let completion = row.completion.as_deref().unwrap_or_default();
        lines.push(format!(
            "{sum:9.4}  {}  {completion:?}",
            counted(tokens.len() as u64, "token")
        ));
    }
    if let Some(next) = &row.next {
        let texts = next.texts.iter().flatten();
        let with_text = texts.zip(&next.log_probabilities);
        lines.extend(with_text.map(|(text, log_probability)| {
            format!("{:9.6}  {text:?}", f64::from(*log_probability).exp())
        }));
        if next.texts.is_none() {
            lines.push(format!(
                "{} log-probabilities; -o FILE keeps them",
                next.log_probabilities.len()
            ));
        }
    }
    for hidden in row.hidden.iter().flatten() {
        let n = hidden.values.len();
        lines.push(format!(
            "layer {}: {n} numbers; -o FILE keeps them",
            hidden.layer
        ));
    }
    lines.join("\n")
}
