//! `theorem`: Theorem 1, checked numerically.

use std::collections::BTreeMap;

use anyhow::Result;
use undertone_core::{Seed, exit};
use undertone_lab::News;
use undertone_lab::theorem::{self, TheoremResult, TheoremSettings};
use undertone_lineage::Draft;
use undertone_stats::Outcome;

use crate::args::TheoremArgs;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::present;
use crate::progress::Unit;

/// Returns whether every case holds and the contrast shows what it should.
pub fn holds(result: &TheoremResult) -> bool {
    result.summary.all_hold && result.summary.contrast.shows_no_guarantee != Some(false)
}

/// Runs the check; exit code 0 only if every case holds.
pub fn run(context: &Context, args: &TheoremArgs) -> Result<u8> {
    let defaults = TheoremSettings::default();
    let settings = TheoremSettings {
        seed: Seed(args.seed),
        cases: args.cases.unwrap_or(defaults.cases),
        alpha: args.alpha.unwrap_or(defaults.alpha),
        ..defaults
    };
    settings
        .validate()
        .map_err(|error| Usage(error.to_string()))?;
    let store = context.store()?;
    let task = Task {
        command: "theorem",
        settings: &settings,
        inputs: BTreeMap::new(),
        unit: Unit::ModelEpochs,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            let total = u64::from(settings.cases);
            (control.news)(News::Plan {
                units: total,
                cells: total,
                reused: 0,
                steps: total,
            });
            theorem::run(&settings, &mut |_, _| {
                control.worked(1);
                control.go_on()
            })
        },
        // Nothing is trained and nothing kept.
        |_, _| Ok(Draft::observed()),
        |result: &TheoremResult, recipe| present::theorem(result, Some(recipe)),
    )?;
    let holds = holds(&finished.result);
    let outcome = if holds {
        Outcome::Transfer
    } else {
        Outcome::Inconclusive
    };
    let report = present::theorem(&finished.result, None);
    let code = work::close(
        context,
        &finished,
        &report,
        Some(outcome),
        args.expect,
        "undertone align --data digits",
    )?;
    Ok(if holds { code } else { exit::CHECK_FAILED })
}
