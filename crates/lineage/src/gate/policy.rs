//! The policy file: a name and rules, each with what it needs.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::read_bounded;
use crate::grade::Grade;

/// The ready policy for data that a model wrote and a filter cleaned.
pub const READY: &str = include_str!("../../assets/distil-and-filter.toml");

const FORMAT: &str = "undertone-gate-policy";
const VERSION: u32 = 1;
const MAX_POLICY_BYTES: u64 = 1 << 20;
const MAX_RULES: usize = 100;

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use policy `{}`", path.display())]
pub struct PolicyError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: PolicyErrorKind,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyErrorKind {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] std::io::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is no TOML, or has a rule or field that nobody knows.
    #[error("it is no policy")]
    Toml(#[source] toml::de::Error),
    /// It is of another format or version.
    #[error("its format is `{format}` version {version}; `{FORMAT}` version {VERSION} is read")]
    Version {
        /// The format found.
        format: String,
        /// The version found.
        version: u32,
    },
    /// A rule about signatures trusts nobody.
    #[error("rule `signatures-hold` names no key")]
    Keys,
    /// It has no rules, which would let everything pass, or too many.
    #[error("it has {n} rules; 1 to {MAX_RULES} are read")]
    Rules {
        /// How many.
        n: usize,
    },
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always `undertone-gate-policy`.
    pub format: String,
    /// Always 1.
    pub version: u32,
    /// Its name, for reports.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The rules, all of which must hold.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// No row, and no distilled output, from a teacher that shares the student's base.
    #[serde(rename_all = "kebab-case")]
    NoSharedBase {
        /// Whether a clean audit of the data excuses it.
        #[serde(default)]
        unless_audited: bool,
        /// Whether an unknown base passes; off, it is unknown.
        #[serde(default)]
        allow_unknown: bool,
    },
    /// Every dataset names who wrote it, or what it was made of.
    #[serde(rename_all = "kebab-case")]
    NamedGenerator {
        /// The least evidence that counts.
        #[serde(default = "declared")]
        evidence: Grade,
        /// Data hops to follow.
        #[serde(default = "one")]
        hops: u32,
    },
    /// No model with a verdict against it.
    #[serde(rename_all = "kebab-case")]
    NoFlaggedModel {
        /// Data hops to follow.
        #[serde(default = "three")]
        hops: u32,
        /// The outcomes of verdicts that are flags.
        #[serde(default = "flags")]
        outcomes: Vec<String>,
        /// The questions whose verdicts count; all without it.
        #[serde(default)]
        questions: Option<Vec<String>>,
        /// Whether data of unknown writers passes; off, it is unknown.
        #[serde(default)]
        allow_unknown: bool,
    },
    /// Every filter says how many rows it kept and dropped, and why.
    #[serde(rename_all = "kebab-case")]
    FiltersReportDrops {
        /// Data hops to follow.
        #[serde(default = "one")]
        hops: u32,
    },
    /// Every tie is known at least so well.
    #[serde(rename_all = "kebab-case")]
    Evidence {
        /// The least evidence that counts.
        least: Grade,
        /// Data hops to follow.
        #[serde(default = "one")]
        hops: u32,
    },
    /// Files that the store has are what was recorded.
    #[serde(rename_all = "kebab-case")]
    FilesHold {},
    /// What is behind it stands in the records of runs that a trusted key signed, and every file under the signature is as
    /// it was.
    #[serde(rename_all = "kebab-case")]
    SignaturesHold {
        /// Files of public keys, relative to the policy's folder.
        keys: Vec<PathBuf>,
        /// Data hops to follow.
        #[serde(default = "one")]
        hops: u32,
        /// Whether things under no signature pass; off, they are unknown.
        #[serde(default)]
        allow_unknown: bool,
    },
}

fn declared() -> Grade {
    Grade::Declared
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn flags() -> Vec<String> {
    ["flagged", "alarm", "misaligned", "transfer"]
        .map(str::to_owned)
        .into()
}

impl Rule {
    /// Returns its name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Rule::NoSharedBase { .. } => "no-shared-base",
            Rule::NamedGenerator { .. } => "named-generator",
            Rule::NoFlaggedModel { .. } => "no-flagged-model",
            Rule::FiltersReportDrops { .. } => "filters-report-drops",
            Rule::Evidence { .. } => "evidence",
            Rule::FilesHold {} => "files-hold",
            Rule::SignaturesHold { .. } => "signatures-hold",
        }
    }

    /// Returns what it demands, in words.
    pub fn demands(&self) -> String {
        let within = |hops: &u32| match hops {
            1 => "within 1 data hop".to_owned(),
            n => format!("within {n} data hops"),
        };
        match self {
            Rule::NoSharedBase { unless_audited, .. } => {
                let excuse = match unless_audited {
                    true => ", unless an audit found the data clean",
                    false => "",
                };
                format!("no row from a teacher that shares the student's base{excuse}")
            }
            Rule::NamedGenerator { evidence, hops } => format!(
                "every dataset {} names its generator, at least {evidence}",
                within(hops)
            ),
            Rule::NoFlaggedModel { hops, .. } => format!("no flagged model {}", within(hops)),
            Rule::FiltersReportDrops { hops } => {
                format!("every filter {} reports what it dropped", within(hops))
            }
            Rule::Evidence { least, hops } => {
                format!("every tie {} is at least {least}", within(hops))
            }
            Rule::FilesHold {} => "files of the store are what was recorded".to_owned(),
            Rule::SignaturesHold { hops, .. } => format!(
                "everything made {} is under a signature of a trusted key that holds",
                within(hops)
            ),
        }
    }
}

impl Policy {
    /// Reads the policy at `path`.
    ///
    /// # Errors
    /// [`PolicyError`] names the line.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let read = || {
            let bytes = read_bounded(path, MAX_POLICY_BYTES).map_err(PolicyErrorKind::Io)?;
            let text = String::from_utf8(bytes).map_err(|_| PolicyErrorKind::NotText)?;
            let mut policy = Self::parse(&text)?;
            policy.place_keys(path.parent().unwrap_or(Path::new("")));
            Ok(policy)
        };
        read().map_err(|kind| PolicyError {
            path: path.to_owned(),
            kind,
        })
    }

    /// Takes names of key files as relative to `folder`.
    fn place_keys(&mut self, folder: &Path) {
        for rule in &mut self.rules {
            if let Rule::SignaturesHold { keys, .. } = rule {
                for key in keys {
                    *key = folder.join(&*key);
                }
            }
        }
    }

    /// Reads a policy's text.
    ///
    /// # Errors
    /// [`PolicyErrorKind`] names the line.
    pub fn parse(text: &str) -> Result<Self, PolicyErrorKind> {
        let policy: Policy = toml::from_str(text).map_err(PolicyErrorKind::Toml)?;
        if policy.format != FORMAT || policy.version != VERSION {
            return Err(PolicyErrorKind::Version {
                format: policy.format.chars().take(80).collect(),
                version: policy.version,
            });
        }
        let trusts_nobody =
            |rule: &Rule| matches!(rule, Rule::SignaturesHold { keys, .. } if keys.is_empty());
        if policy.rules.iter().any(trusts_nobody) {
            return Err(PolicyErrorKind::Keys);
        }
        match policy.rules.len() {
            1..=MAX_RULES => Ok(policy),
            n => Err(PolicyErrorKind::Rules { n }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ready_policy_is_one() {
        let policy = Policy::parse(READY).expect("we ship it");
        assert_eq!(policy.name, "distil-and-filter");
        assert_eq!(policy.rules.len(), 5);
    }

    #[test]
    fn unknown_rules_and_fields_and_empty_policies_are_refused() {
        let head = "format = \"undertone-gate-policy\"\nversion = 1\nname = \"x\"\n";
        let bad = |rest: &str| Policy::parse(&format!("{head}{rest}")).expect_err(rest);
        assert!(matches!(bad("rules = []"), PolicyErrorKind::Rules { n: 0 }));
        for rest in [
            "[[rules]]\nrule = \"no-such-rule\"",
            "[[rules]]\nrule = \"no-shared-base\"\nunless-adited = true",
            "[[rules]]\nrule = \"files-hold\"\nhops = 2",
            "[[rules]]\nrule = \"signatures-hold\"",
            "more = 1\n[[rules]]\nrule = \"files-hold\"",
        ] {
            assert!(matches!(bad(rest), PolicyErrorKind::Toml(_)), "{rest}");
        }
        assert!(matches!(
            bad("[[rules]]\nrule = \"signatures-hold\"\nkeys = []"),
            PolicyErrorKind::Keys
        ));
        let newer = READY.replace("version = 1", "version = 2");
        assert!(matches!(
            Policy::parse(&newer),
            Err(PolicyErrorKind::Version { .. })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_a_policy_or_an_error(text in ".{0,200}", at in any::<prop::sample::Index>()) {
            let _ = Policy::parse(&text);
            let mut mutated = READY.to_owned();
            let at = at.index(mutated.len());
            if mutated.is_char_boundary(at) {
                mutated.insert_str(at, &text);
            }
            let _ = Policy::parse(&mutated);
        }
    }
}
