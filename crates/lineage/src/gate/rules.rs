//! Each rule as a function from the graph to findings.

use std::path::Path as FilePath;

use super::files::files_hold;
use super::policy::{Policy, Rule};
use super::signatures::signatures_hold;
use super::walk::{Behind, first_of, kind_of, older_by, origin, verdicts, weight_line};
use super::{Finding, GateOutcome, GateReport, RuleResult};
use crate::entity::{EntityId, EntityKind, Origin};
use crate::grade::Grade;
use crate::graph::{Graph, NodeIndex, clean};
use crate::ledger::LedgerError;
use crate::query::{Path, Shared, path_of};
use crate::relation::{Relation, RelationKind};

/// Findings that a rule reports; the outcome counts all.
const MAX_FINDINGS: usize = 50;
/// The question of verdicts that excuse data.
const AUDIT: &str = "audit";

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The model or dataset.
    pub target: EntityId,
    /// The model that would learn from the dataset, if the target is one.
    pub student: Option<EntityId>,
    /// The store, for files.
    pub root: &'a FilePath,
}

/// Judges a thing by a policy. `None` if it is not in the graph.
///
/// # Errors
/// If a record cannot be read back.
pub fn judge(
    graph: &Graph,
    policy: &Policy,
    question: &Question<'_>,
) -> Result<Option<GateReport>, LedgerError> {
    let Some(target) = graph.index(question.target) else {
        return Ok(None);
    };
    let mut rules = Vec::new();
    for rule in &policy.rules {
        let mut sheet = Sheet {
            graph,
            checked: 0,
            findings: Vec::new(),
        };
        match rule {
            Rule::NoSharedBase {
                unless_audited,
                allow_unknown,
            } => {
                let student = question.student.and_then(|id| graph.index(id));
                let excuse = *unless_audited;
                sheet.shared_base(target, student, excuse, *allow_unknown)?;
            }
            Rule::NamedGenerator { evidence, hops } => {
                sheet.generators(target, *evidence, *hops)?
            }
            Rule::NoFlaggedModel {
                hops,
                outcomes,
                questions,
                allow_unknown,
            } => {
                let is_flag = |question: &str, outcome: &str| {
                    let counts = |names: &Vec<String>| names.iter().any(|name| name == question);
                    outcomes.iter().any(|flag| flag == outcome)
                        && questions.as_ref().is_none_or(counts)
                };
                sheet.flagged(target, *hops, &is_flag, *allow_unknown)?;
            }
            Rule::FiltersReportDrops { hops } => sheet.drops(target, *hops)?,
            Rule::Evidence { least, hops } => sheet.evidence(target, *least, *hops)?,
            Rule::FilesHold {} => {
                let (checked, findings) = files_hold(graph, target, question.root)?;
                sheet.checked = checked;
                sheet.findings = findings;
            }
            Rule::SignaturesHold {
                keys,
                hops,
                allow_unknown,
            } => {
                let behind = Behind::new(graph, target, *hops);
                let (checked, findings) =
                    signatures_hold(graph, &behind, keys, *allow_unknown, question.root)?;
                sheet.checked = checked;
                sheet.findings = findings;
            }
        }
        rules.push(sheet.close(rule));
    }
    let outcome = rules.iter().map(|rule: &RuleResult| rule.outcome).max();
    Ok(Some(GateReport {
        policy: policy.name.clone(),
        target: graph.node(target),
        outcome: outcome.unwrap_or(GateOutcome::Unknown),
        rules,
    }))
}

struct Sheet<'a> {
    graph: &'a Graph,
    checked: usize,
    findings: Vec<Finding>,
}

impl Sheet<'_> {
    fn close(mut self, rule: &Rule) -> RuleResult {
        self.findings
            .sort_by(|a, b| b.outcome.cmp(&a.outcome).then(a.message.cmp(&b.message)));
        self.findings.dedup();
        let outcome = self.findings.iter().map(|finding| finding.outcome).max();
        self.findings.truncate(MAX_FINDINGS);
        RuleResult {
            rule: rule.name().to_owned(),
            demands: rule.demands(),
            outcome: outcome.unwrap_or(GateOutcome::Pass),
            checked: self.checked,
            findings: self.findings,
        }
    }

    fn find(&mut self, outcome: GateOutcome, at: NodeIndex, message: String, path: Option<Path>) {
        let at = self.graph.node(at);
        self.findings.push(Finding {
            outcome,
            message,
            at,
            path,
        });
    }

    /// Compares every student in the weight line with everybody who wrote rows it learned from.
    fn shared_base(
        &mut self,
        target: NodeIndex,
        student: Option<NodeIndex>,
        unless_audited: bool,
        allow_unknown: bool,
    ) -> Result<(), LedgerError> {
        if kind_of(self.graph, target) == Some(EntityKind::Dataset) {
            let Some(student) = student else {
                let message = "no student is named, so that nothing can be said of a shared base; give `--student`";
                self.find(GateOutcome::Unknown, target, message.to_owned(), None);
                return Ok(());
            };
            let line = vec![target];
            return self.lesson(student, target, &line, unless_audited, allow_unknown);
        }
        for (model, way) in weight_line(self.graph, target) {
            for (edge, teacher) in older_by(self.graph, model, RelationKind::DistilledFrom) {
                if self.graph.cell(edge).grade == Grade::Unknown {
                    continue;
                }
                let mut path = vec![teacher];
                path.extend(&way);
                self.teacher(target, teacher, &path, false, allow_unknown)?;
            }
            for (_, dataset) in older_by(self.graph, model, RelationKind::TrainedOn) {
                let mut path = vec![dataset];
                path.extend(&way);
                self.lesson(target, dataset, &path, unless_audited, allow_unknown)?;
            }
        }
        Ok(())
    }

    /// Looks at one dataset that `student`, at the end of `way`, learned from.
    fn lesson(
        &mut self,
        student: NodeIndex,
        dataset: NodeIndex,
        way: &[NodeIndex],
        unless_audited: bool,
        allow_unknown: bool,
    ) -> Result<(), LedgerError> {
        let behind = Behind::new(self.graph, dataset, 0);
        let mut audited = std::collections::BTreeSet::new();
        for data in behind.of(EntityKind::Dataset) {
            let is_clean = verdicts(self.graph, data)?
                .into_iter()
                .any(|(verdict, grade)| {
                    verdict.question == AUDIT
                        && verdict.outcome == "clean"
                        && grade > Grade::Unknown
                });
            if is_clean {
                audited.insert(data);
            }
        }
        for data in behind.of(EntityKind::Dataset) {
            let from_here = |first: Option<NodeIndex>| -> Vec<NodeIndex> {
                let inner = behind.found.get(&data).cloned().unwrap_or_default();
                let mut path: Vec<NodeIndex> = first.into_iter().chain(inner).collect();
                path.pop();
                path.extend(way);
                path
            };
            let is_excused = unless_audited
                && from_here(None)
                    .iter()
                    .any(|node| audited.contains(&first_of(self.graph, *node)));
            let writers = older_by(self.graph, data, RelationKind::GeneratedBy);
            let models: Vec<NodeIndex> = writers
                .into_iter()
                .map(|(_, writer)| writer)
                .filter(|writer| kind_of(self.graph, *writer) != Some(EntityKind::Step))
                .collect();
            let is_made_of_others = [RelationKind::FilteredFrom, RelationKind::DerivedFrom]
                .into_iter()
                .any(|kind| !older_by(self.graph, data, kind).is_empty());
            let others = match origin(self.graph, data)? {
                Some((Origin::People | Origin::Program, _)) => true,
                _ => is_made_of_others,
            };
            if models.is_empty() && !others && !allow_unknown && !is_excused {
                self.checked += 1;
                let message = format!(
                    "who wrote the rows of {} is not recorded",
                    self.graph.node(data)
                );
                let path = path_of(self.graph, &from_here(None))?;
                self.find(GateOutcome::Unknown, data, message, Some(path));
            }
            for writer in models {
                self.teacher(
                    student,
                    writer,
                    &from_here(Some(writer)),
                    is_excused,
                    allow_unknown,
                )?;
            }
        }
        Ok(())
    }

    fn teacher(
        &mut self,
        student: NodeIndex,
        teacher: NodeIndex,
        way: &[NodeIndex],
        is_excused: bool,
        allow_unknown: bool,
    ) -> Result<(), LedgerError> {
        self.checked += 1;
        let graph = self.graph;
        let common = graph.common(graph.id(student), graph.id(teacher))?;
        let (outcome, says) = match common.shared {
            _ if is_excused => return Ok(()),
            Shared::No => return Ok(()),
            Shared::Unknown if allow_unknown => return Ok(()),
            Shared::Yes => (GateOutcome::Refused, "shares its base with"),
            Shared::Unknown => (GateOutcome::Unknown, "may share its base with"),
        };
        let reason = common
            .reasons
            .iter()
            .map(|reason| clean(reason))
            .collect::<Vec<_>>()
            .join("; ");
        let message = format!(
            "{} learned from {}, which {says} it: {reason}",
            graph.node(student),
            graph.node(teacher)
        );
        let path = path_of(graph, way)?;
        self.find(outcome, teacher, message, Some(path));
        Ok(())
    }

    fn generators(
        &mut self,
        target: NodeIndex,
        evidence: Grade,
        hops: u32,
    ) -> Result<(), LedgerError> {
        let behind = Behind::new(self.graph, target, hops);
        for data in behind.of(EntityKind::Dataset) {
            self.checked += 1;
            let kinds = [
                RelationKind::GeneratedBy,
                RelationKind::FilteredFrom,
                RelationKind::DerivedFrom,
            ];
            let edges = kinds
                .into_iter()
                .flat_map(|kind| older_by(self.graph, data, kind));
            let best = edges
                .map(|(edge, _)| self.graph.cell(edge).grade)
                .chain(match origin(self.graph, data)? {
                    Some((Origin::People | Origin::Program, grade)) => Some(grade),
                    _ => None,
                })
                .max();
            let node = self.graph.node(data);
            let (outcome, message) = match best {
                Some(best) if best >= evidence => continue,
                Some(best) if best > Grade::Unknown => (
                    GateOutcome::Refused,
                    format!("where {node} came from is only {best}"),
                ),
                _ => (
                    GateOutcome::Unknown,
                    format!("where {node} came from is not recorded"),
                ),
            };
            let path = behind.way(data)?;
            self.find(outcome, data, message, path);
        }
        Ok(())
    }

    fn flagged(
        &mut self,
        target: NodeIndex,
        hops: u32,
        is_flag: &dyn Fn(&str, &str) -> bool,
        allow_unknown: bool,
    ) -> Result<(), LedgerError> {
        let behind = Behind::new(self.graph, target, hops);
        for model in behind.of(EntityKind::Model) {
            self.checked += 1;
            // What the thing itself was found to be is not a finding about its origins, but it is a flag.
            for (verdict, grade) in verdicts(self.graph, model)? {
                if grade > Grade::Unknown && is_flag(&verdict.question, &verdict.outcome) {
                    let node = self.graph.node(model);
                    let said = format!("{}: {}", clean(&verdict.question), clean(&verdict.outcome));
                    let message = format!("{node} is flagged ({said}; {grade})");
                    let path = behind.way(model)?;
                    self.find(GateOutcome::Refused, model, message, path);
                }
            }
        }
        if allow_unknown {
            return Ok(());
        }
        for data in behind.of(EntityKind::Dataset) {
            let sources = [
                RelationKind::GeneratedBy,
                RelationKind::FilteredFrom,
                RelationKind::DerivedFrom,
            ];
            let is_tied = sources
                .into_iter()
                .any(|kind| !older_by(self.graph, data, kind).is_empty());
            if !is_tied
                && origin(self.graph, data)?.is_none_or(|(origin, _)| origin == Origin::Models)
            {
                let message = format!(
                    "who wrote {} is not recorded; it may be a flagged model",
                    self.graph.node(data)
                );
                let path = behind.way(data)?;
                self.find(GateOutcome::Unknown, data, message, path);
            }
        }
        Ok(())
    }

    fn drops(&mut self, target: NodeIndex, hops: u32) -> Result<(), LedgerError> {
        let behind = Behind::new(self.graph, target, hops);
        for data in behind.of(EntityKind::Dataset) {
            let edges = older_by(self.graph, data, RelationKind::FilteredFrom);
            let mut reported = false;
            let mut source = None;
            for (edge, older) in edges {
                source = source.or(Some(older));
                if let Relation::FilteredFrom {
                    kept: Some(_),
                    dropped: Some(_),
                } = self.graph.edge(edge)?.relation
                {
                    reported = true;
                }
            }
            let Some(source) = source else {
                continue;
            };
            self.checked += 1;
            if !reported {
                let (node, source) = (self.graph.node(data), self.graph.node(source));
                let message =
                    format!("the filter from {source} to {node} does not report what it dropped");
                let path = behind.way(data)?;
                self.find(GateOutcome::Refused, data, message, path);
            }
        }
        Ok(())
    }

    fn evidence(&mut self, target: NodeIndex, least: Grade, hops: u32) -> Result<(), LedgerError> {
        let behind = Behind::new(self.graph, target, hops);
        for node in behind.found.keys().copied() {
            self.checked += 1;
            let Some(path) = behind.way(node)? else {
                continue;
            };
            if path.weakest < least {
                let (node_name, weakest) = (self.graph.node(node), path.weakest);
                let outcome = match weakest {
                    Grade::Unknown => GateOutcome::Unknown,
                    _ => GateOutcome::Refused,
                };
                let message = format!("the way from {node_name} is only {weakest}");
                self.find(outcome, node, message, Some(path));
            }
        }
        Ok(())
    }
}
