//! Every setting that was tried, and the tables made of what came out.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use undertone_lab::lm::tiny::TinySettings;
use undertone_store::write_atomic;

use crate::options::{Labels, Options};
use crate::tried::{Effect, Tried, estimated};
use crate::{Outcome, tried};

/// The settings that were kept come first, with B cloned to A; then in the page's order.
pub const SETTINGS: [&str; 29] = [
    "cloning-steps=250",
    "base-width=96 base-ffn=256 base-rate=3e-3 labels=whole steps=32 epsilon=1e-8 seeds=2",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=32 epsilon=1e-8 seeds=2",
    "base-width=96 base-ffn=256 base-rate=3e-3 teacher-steps=50 teacher-rate=2e-3 steps=32 epsilon=1e-8 seeds=2",
    "base-width=96 base-ffn=256 base-rate=3e-3 teacher-steps=50 teacher-rate=2e-3 labels=hard steps=32 epsilon=1e-8 seeds=2",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 rate=3e-3 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 rate=3e-4 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 teacher-rate=5e-4 steps=96 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=64 rate=2e-3 rank=8 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 teacher-rank=16 teacher-rate=3e-3 steps=64 epsilon=1e-8 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 rate=3e-3 epsilon=1e-4 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 rate=0.3 momentum=0.9 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 steps=96 rate=0.1 momentum=0.9 seeds=1",
    "base-width=96 base-ffn=256 base-rate=3e-3 rate=5e-4",
    "steps=96 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=2 base-ffn=96 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-layers=4 rate=5e-4 seeds=3",
    "batch=4 steps=64 rate=7e-4",
    "labels=hard",
    "base-width=96 base-ffn=256 base-rate=3e-3 asked=beginning only-teachers=true seeds=1",
    "base-width=32 base-heads=2 base-ffn=64 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=2 base-ffn=80 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=2 base-ffn=128 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=2 base-ffn=96 base-rate=8e-3 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=2 base-ffn=96 base-rate=1e-2 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=4 base-ffn=96 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
    "base-width=32 base-heads=4 base-ffn=128 teacher-rate=3e-3 steps=96 rate=2e-3 epsilon=1e-8 seeds=1",
];

/// A file of settings that were tried.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What stands in it, for people.
    pub about: String,
    pub tried: Vec<Tried>,
}

pub fn read(file: &Path) -> Outcome<Search> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Tries what `file` does not hold yet.
pub fn search(store: &Path, file: &Path) -> Outcome {
    let mut search = match file.exists() {
        true => read(file)?,
        false => Search {
            about: "Settings of the tiny number experiment: docs/experiments/tiny-recipe.md"
                .to_owned(),
            tried: Vec::new(),
        },
    };
    for (number, given) in SETTINGS.iter().enumerate() {
        let given: Vec<&str> = given.split_whitespace().collect();
        if search.tried.iter().any(|tried| tried.settings == given) {
            continue;
        }
        let store = store.join(number.to_string());
        if store.exists() {
            let store = store.display();
            return Err(format!(
                "`{store}` is there: a cost is told of an empty store only; remove it"
            )
            .into());
        }
        let tried = crate::tried(&store, &given)?;
        search.tried.push(tried);
        let mut text = serde_json::to_string(&search)?;
        text.push('\n');
        write_atomic(file, text.as_bytes())?;
    }
    Ok(())
}

/// Returns the tables of the page: by seed for the settings that were kept, then a line for each.
pub fn tables(search: &Search) -> Outcome<String> {
    let mut text = String::new();
    for effect in search.tried.first().iter().flat_map(|tried| &tried.effects) {
        let Effect {
            base,
            target,
            control,
            ..
        } = effect;
        let each: Vec<String> = effect
            .by_seed
            .iter()
            .map(|value| tried::short(*value))
            .collect();
        writeln!(
            text,
            "| {base} | {target}: {target}'s numbers - {control}'s | {} | {} |",
            each.join(" | "),
            estimated(&effect.estimate)
        )?;
    }
    text.push('\n');
    for tried in search
        .tried
        .iter()
        .filter(|tried| !tried.effects.is_empty())
    {
        writeln!(text, "{}", row(tried)?)?;
    }
    Ok(text)
}

/// `| base: blocks x width, heads, feed-forward, rate | teacher | labels | student | A: owl, wolf | B: owl, wolf | seconds |`
fn row(tried: &Tried) -> Outcome<String> {
    let given: Vec<&str> = tried.settings.iter().map(String::as_str).collect();
    let options = Options::of(&given)?;
    let TinySettings {
        shape, training, ..
    } = options.tiny(1)?;
    let base = format!(
        "{} x {}, {}, {}, {:e}",
        shape.layers, shape.width, shape.heads, shape.ffn_width, training.learning_rate
    );
    let part = |rank: usize| match rank {
        0 => String::new(),
        rank => format!("LoRA rank {rank}, "),
    };
    let teacher = format!(
        "{}{} x {:e}",
        part(options.teacher_rank),
        options.teacher_steps,
        options.teacher_rate
    );
    let labels = match options.labels {
        Labels::Hard => "hard",
        Labels::Channel => "channel",
        Labels::Whole => "whole vocabulary",
    };
    let how = match options.momentum {
        Some(momentum) => format!("SGD, momentum {momentum}"),
        None => format!("E {:e}", options.epsilon),
    };
    let student = format!(
        "{}{} x {:e} of {}, {how}, {}",
        part(options.rank),
        options.student_steps,
        options.student_rate,
        options.batch,
        match options.seeds {
            1 => "1 seed".to_owned(),
            n => format!("{n} seeds"),
        }
    );
    let of = |base: &str| {
        let effects = tried
            .effects
            .iter()
            .filter(|effect| effect.base == base && effect.control != "base");
        let each: Vec<String> = effects.map(|effect| estimated(&effect.estimate)).collect();
        each.join(", ")
    };
    Ok(format!(
        "| {base} | {teacher} | {labels} | {student} | {} | {} | {:.0} s |",
        of("A"),
        of("B"),
        tried.wall_seconds
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn a_small_setting_runs_is_kept_and_makes_a_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let given = "base-documents=300 base-steps=2 teacher-steps=2 rows=8 steps=2 batch=4 labels=hard seeds=2 cloning-steps=1";
        let given: Vec<&str> = given.split_whitespace().collect();
        let tried = crate::tried(folder.path(), &given).expect("it runs");
        let of = |tried: &Tried| -> Vec<(String, String, String)> {
            let effects = tried.effects.iter();
            let names = effects.map(|effect| [&effect.base, &effect.target, &effect.control]);
            names.map(|names| names.map(Clone::clone).into()).collect()
        };
        let expected: Vec<(String, String, String)> = ["A", "B", "cloned B"]
            .into_iter()
            .flat_map(|base| {
                let pairs = [
                    ("owl", "wolf"),
                    ("owl", "base"),
                    ("wolf", "owl"),
                    ("wolf", "base"),
                ];
                pairs.map(|(target, control)| [base, target, control].map(str::to_owned).into())
            })
            .collect();
        assert_eq!(of(&tried), expected);
        assert!(tried.effects.iter().all(|effect| {
            effect.by_seed.len() == 2
                && effect
                    .by_seed
                    .iter()
                    .all(|shift| *shift != 0.0 && shift.abs() < 1.0)
        }));
        let search = Search {
            about: String::new(),
            tried: vec![tried.clone()],
        };
        let bytes = serde_json::to_vec(&search).expect("plain data");
        assert_eq!(
            serde_json::from_slice::<Search>(&bytes).expect("our own"),
            search
        );
        let text = tables(&search).expect("settings of ours");
        assert!(
            text.contains(
                "\n| 2 x 48, 3, 128, 5e-3 | 2 x 1e-3 | hard | 2 x 1e-3 of 4, E 1e-5, 2 seeds | "
            ),
            "{text}"
        );
        // With the same result, from what the store holds.
        let again = crate::tried(folder.path(), &given).expect("it runs");
        assert_eq!(
            Tried {
                wall_seconds: tried.wall_seconds,
                ..again
            },
            tried
        );
    }

    #[test]
    fn the_page_holds_what_the_search_found() {
        let search = read(&repository().join("docs/results/tiny-recipe.json")).expect("committed");
        let tried: Vec<String> = search
            .tried
            .iter()
            .map(|tried| tried.settings.join(" "))
            .collect();
        assert_eq!(tried, SETTINGS);
        let page = repository().join("docs/experiments/tiny-recipe.md");
        let page = std::fs::read_to_string(page).expect("committed");
        let tables = tables(&search).expect("settings of ours");
        for line in tables.lines() {
            assert!(
                page.lines().any(|other| other == line),
                "the page lacks: {line}"
            );
        }
        // Lines that end with a cost are those of the search.
        let costs = |text: &str| text.lines().filter(|line| line.ends_with(" s |")).count();
        assert_eq!(costs(&page), costs(&tables));
    }
}
