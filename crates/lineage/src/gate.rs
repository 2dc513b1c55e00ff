//! Enforces policies: may this model or dataset be used, given where it came from?
//!
//! A policy is a TOML file of rules (`policy`). Each rule gives findings (`rules`), and each finding a way through the graph that
//! breaks it, or the place where the record ends. What a rule needs to know and nobody recorded is unknown, which is no pass.
//! `formats` writes the answer for CI systems. The ready policy is [`READY`].

mod files;
mod formats;
mod policy;
mod rules;
mod signatures;
mod walk;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::exit;

use crate::graph::{Node, clean};
use crate::query::Path;

pub use formats::{junit, sarif};
pub use policy::{Policy, PolicyError, PolicyErrorKind, READY, Rule};
pub use rules::{Question, judge};

/// What came out of a rule, or of all.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GateOutcome {
    /// It holds.
    Pass,
    /// The policy demands knowledge that is not recorded.
    Unknown,
    /// It is broken.
    Refused,
    /// A file or signature it rests on does not hold.
    Tampered,
}

impl GateOutcome {
    /// Returns the exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            GateOutcome::Pass => exit::DONE,
            GateOutcome::Unknown => exit::INCONCLUSIVE,
            GateOutcome::Refused => exit::CHECK_FAILED,
            GateOutcome::Tampered => exit::TAMPERED,
        }
    }

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            GateOutcome::Pass => "pass",
            GateOutcome::Unknown => "unknown",
            GateOutcome::Refused => "refused",
            GateOutcome::Tampered => "tampered",
        }
    }
}

impl fmt::Display for GateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One reason for an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it comes to.
    pub outcome: GateOutcome,
    /// What was found, in a sentence.
    pub message: String,
    /// The thing it was found at.
    pub at: Node,
    /// The way that breaks the rule, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
}

/// What a rule came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleResult {
    /// Its name.
    pub rule: String,
    /// What it demands, in a sentence.
    pub demands: String,
    /// The worst of its findings.
    pub outcome: GateOutcome,
    /// How many things it looked at.
    pub checked: usize,
    /// The findings, the worst first; passes are only counted.
    pub findings: Vec<Finding>,
}

/// What a policy came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// The policy's name.
    pub policy: String,
    /// What was judged.
    pub target: Node,
    /// The worst outcome.
    pub outcome: GateOutcome,
    /// Every rule, in the order of the policy.
    pub rules: Vec<RuleResult>,
}

impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, target) = (clean(&self.policy), &self.target);
        writeln!(f, "{}: {target} under policy `{policy}`", self.outcome)?;
        for rule in &self.rules {
            writeln!(
                f,
                "  {:<8} {} ({} checked)",
                rule.outcome, rule.demands, rule.checked
            )?;
            for finding in &rule.findings {
                writeln!(f, "    {}: {}", finding.outcome, finding.message)?;
                if let Some(path) = &finding.path {
                    writeln!(f, "      {}", path.one_line())?;
                }
            }
        }
        Ok(())
    }
}
