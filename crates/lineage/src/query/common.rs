//! Do two models share an initialisation: yes, no, or unknown, and by which evidence.
//!
//! *Yes* is a recorded way from both to one set of weights, an initialisation both name, or a kinship verdict. *No* needs
//! evidence of its own: every root of both names its initialisation and they differ, or a kinship test said so. When both
//! can be argued the answer is unknown, with the arguments. The graph's silence is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::{Entity, EntityId};
use crate::grade::Grade;
use crate::graph::{Graph, Node, NodeIndex, clean};
use crate::ledger::LedgerError;
use crate::relation::RelationKind;

/// The question of a verdict that compared two models' weights; behaviour has a question of its own, which is no answer here.
pub const KINSHIP: &str = "kinship";

/// Whether an initialisation is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shared {
    /// Evidence says so.
    Yes,
    /// Evidence says they do not.
    No,
    /// There is no evidence, or there is for both.
    Unknown,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shared::Yes => "yes",
            Shared::No => "no",
            Shared::Unknown => "unknown",
        })
    }
}

/// Where a model's weights began, as far as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Root {
    /// The oldest recorded weights.
    pub model: Node,
    /// The initialisation they name, if they do.
    pub initialisation: Option<String>,
    /// The weakest evidence on the way there.
    pub weakest: Grade,
}

/// The answer to "do they share an initialisation".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// One model.
    pub a: Node,
    /// The other.
    pub b: Node,
    /// The answer.
    pub shared: Shared,
    /// The weakest evidence the answer rests on; `unknown` if it is unknown.
    pub grade: Grade,
    /// The arguments, in words.
    pub reasons: Vec<String>,
    /// Where the one began.
    pub roots_of_a: Vec<Root>,
    /// Where the other began.
    pub roots_of_b: Vec<Root>,
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Common {
            a,
            b,
            shared,
            grade,
            ..
        } = self;
        writeln!(f, "do {a} and {b} share an initialisation: {shared}")?;
        for reason in &self.reasons {
            writeln!(f, "  {reason}")?;
        }
        for (model, roots) in [(a, &self.roots_of_a), (b, &self.roots_of_b)] {
            for root in roots {
                let names = root.initialisation.as_deref().map_or_else(
                    || "its initialisation is unknown".to_owned(),
                    |name| format!("initialisation {}", clean(name)),
                );
                writeln!(
                    f,
                    "  {model} began as {}: {names} ({})",
                    root.model, root.weakest
                )?;
            }
        }
        match shared {
            Shared::Unknown => writeln!(f, "unknown is not no"),
            _ => writeln!(f, "weakest evidence: {grade}"),
        }
    }
}

/// The oldest recorded weights, the evidence on the way there, and the initialisation they name.
type Beginning = (NodeIndex, Grade, Option<(String, Grade)>);

/// Weights a model began as, each with the best of the weakest evidence on the ways there.
struct Origins {
    reached: BTreeMap<NodeIndex, Grade>,
    roots: Vec<Beginning>,
}

impl Graph {
    /// Says whether two models share an initialisation.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn common(&self, a: EntityId, b: EntityId) -> Result<Common, LedgerError> {
        let unknown = |id| Node {
            id,
            kind: None,
            name: None,
        };
        let mut answer = Common {
            a: self.find(a).unwrap_or_else(|| unknown(a)),
            b: self.find(b).unwrap_or_else(|| unknown(b)),
            shared: Shared::Unknown,
            grade: Grade::Unknown,
            reasons: Vec::new(),
            roots_of_a: Vec::new(),
            roots_of_b: Vec::new(),
        };
        let (Some(at_a), Some(at_b)) = (self.index(a), self.index(b)) else {
            answer
                .reasons
                .push("one of them is not in the ledger".to_owned());
            return Ok(answer);
        };
        let (of_a, of_b) = (self.origins(at_a)?, self.origins(at_b)?);
        answer.roots_of_a = self.roots(&of_a);
        answer.roots_of_b = self.roots(&of_b);

        let kinship = self.kinship(&of_a, &of_b)?;
        let yes = best([
            self.shared_weights(&of_a, &of_b),
            shared_initialisation(&of_a, &of_b),
            kinship.yes,
        ]);
        let no = best([different_initialisations(&of_a, &of_b), kinship.no, None]);
        (answer.shared, answer.grade) = match (&yes, &no) {
            (Some((grade, _)), None) => (Shared::Yes, *grade),
            (None, Some((grade, _))) => (Shared::No, *grade),
            _ => (Shared::Unknown, Grade::Unknown),
        };
        match (&yes, &no) {
            (Some(_), Some(_)) => answer
                .reasons
                .push("the evidence contradicts itself".to_owned()),
            (None, None) => answer.reasons.push(
                "no common weights are recorded, and not every root names its initialisation"
                    .to_owned(),
            ),
            _ => {}
        }
        let told = yes
            .into_iter()
            .map(|(grade, why)| format!("yes: {why} ({grade})"));
        let denied = no
            .into_iter()
            .map(|(grade, why)| format!("no: {why} ({grade})"));
        answer.reasons.extend(told.chain(denied));
        Ok(answer)
    }

    fn roots(&self, origins: &Origins) -> Vec<Root> {
        let root = |(node, grade, names): &Beginning| Root {
            model: self.node(*node),
            initialisation: names.as_ref().map(|(name, _)| name.clone()),
            weakest: *grade,
        };
        origins.roots.iter().map(root).collect()
    }

    /// Follows `initialised-from` to the ends; edges that nobody vouches for lead nowhere.
    fn origins(&self, start: NodeIndex) -> Result<Origins, LedgerError> {
        let mut reached = BTreeMap::from([(start, Grade::Verified)]);
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            let so_far = reached[&node];
            for (edge, end) in self.older(node) {
                let cell = self.cell(edge);
                let follows = matches!(
                    cell.kind,
                    RelationKind::InitialisedFrom | RelationKind::SameAs
                );
                let grade = so_far.min(cell.grade);
                let better = reached.get(&end).is_none_or(|known| grade > *known);
                if follows && grade > Grade::Unknown && better {
                    reached.insert(end, grade);
                    open.push(end);
                }
            }
        }
        let mut seen = BTreeSet::new();
        let mut roots = Vec::new();
        for (node, grade) in &reached {
            let aliases = unified(self, *node);
            let began_elsewhere = aliases.iter().any(|alias| {
                self.out_edges(*alias)
                    .any(|edge| self.cell(edge).kind == RelationKind::InitialisedFrom)
            });
            let first = aliases.first().copied().unwrap_or(*node);
            if began_elsewhere || !seen.insert(first) {
                continue;
            }
            let mut names = None;
            let mut shown = *node;
            for alias in &aliases {
                if let Some(found) = self.initialisation(*alias)?
                    && names.as_ref().is_none_or(|(_, known)| found.1 > *known)
                {
                    names = Some(found);
                    shown = *alias;
                }
            }
            roots.push((shown, *grade, names));
        }
        Ok(Origins { reached, roots })
    }

    fn initialisation(&self, node: NodeIndex) -> Result<Option<(String, Grade)>, LedgerError> {
        for description in self.descriptions(node)? {
            if let Entity::Model(model) = description.entity
                && let Some(name) = model.initialisation
                && description.grade > Grade::Unknown
            {
                return Ok(Some((name, description.grade)));
            }
        }
        Ok(None)
    }

    fn shared_weights(&self, a: &Origins, b: &Origins) -> Argument {
        let both = a.reached.iter().filter_map(|(node, of_a)| {
            let of_b = b.reached.get(node)?;
            Some(((*of_a).min(*of_b), *node))
        });
        let (grade, node) =
            both.max_by_key(|(grade, node)| (*grade, std::cmp::Reverse(self.id(*node))))?;
        Some((grade, format!("both began as {}", self.node(node))))
    }

    fn kinship(&self, a: &Origins, b: &Origins) -> Result<Kinship, LedgerError> {
        let verdicts_of = |origins: &Origins| -> BTreeMap<NodeIndex, Grade> {
            let mut verdicts = BTreeMap::new();
            for (node, so_far) in &origins.reached {
                for edge in self.out_edges(*node) {
                    let cell = self.cell(edge);
                    if cell.kind == RelationKind::EvaluatedBy {
                        let grade = (*so_far).min(cell.grade);
                        let known = verdicts.entry(cell.to as usize).or_insert(grade);
                        *known = grade.max(*known);
                    }
                }
            }
            verdicts
        };
        let (of_a, of_b) = (verdicts_of(a), verdicts_of(b));
        let single = a.roots.len() == 1 && b.roots.len() == 1;
        let mut kinship = Kinship::default();
        for (node, grade_a) in &of_a {
            let Some(grade_b) = of_b.get(node) else {
                continue;
            };
            for description in self.descriptions(*node)? {
                let Entity::Verdict(verdict) = &description.entity else {
                    continue;
                };
                let grade = (*grade_a).min(*grade_b).min(description.grade);
                if verdict.question != KINSHIP || grade == Grade::Unknown {
                    continue;
                }
                let argument = Some((
                    grade,
                    format!("{} says {}", self.node(*node), clean(&verdict.outcome)),
                ));
                match verdict.outcome.as_str() {
                    "kin" => kinship.yes = best([kinship.yes.take(), argument, None]),
                    // Of a merge, one parent that is not kin says nothing of the others.
                    "not-kin" | "not kin" if single => {
                        kinship.no = best([kinship.no.take(), argument, None]);
                    }
                    _ => {}
                }
            }
        }
        Ok(kinship)
    }
}

#[derive(Default)]
struct Kinship {
    yes: Argument,
    no: Argument,
}

/// A conclusion's evidence, in words.
type Argument = Option<(Grade, String)>;

fn best(arguments: [Argument; 3]) -> Argument {
    arguments
        .into_iter()
        .flatten()
        .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))
}

fn shared_initialisation(a: &Origins, b: &Origins) -> Argument {
    let of_a = a
        .roots
        .iter()
        .filter_map(|root| Some((root.1, root.2.as_ref()?)));
    let shared = of_a.flat_map(|(way_a, (name_a, said_a))| {
        b.roots.iter().filter_map(move |(_, way_b, names)| {
            let (name_b, said_b) = names.as_ref()?;
            let grade = way_a.min(*way_b).min(*said_a).min(*said_b);
            (name_a == name_b)
                .then(|| (grade, format!("both name initialisation {}", clean(name_a))))
        })
    });
    shared.max_by(|x, y| x.0.cmp(&y.0).then(y.1.cmp(&x.1)))
}

fn different_initialisations(a: &Origins, b: &Origins) -> Argument {
    let mut grade = Grade::Verified;
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    for (origins, names) in [a, b].into_iter().zip(&mut names) {
        for (_, way, name) in &origins.roots {
            let (name, said) = name.as_ref()?;
            grade = grade.min(*way).min(*said);
            names.insert(name.clone());
        }
    }
    let [of_a, of_b] = names;
    let apart = !of_a.is_empty() && !of_b.is_empty() && of_a.is_disjoint(&of_b);
    apart.then(|| {
        let list = |names: BTreeSet<String>| {
            let names: Vec<String> = names.iter().map(|name| clean(name)).collect();
            names.join(", ")
        };
        let words = format!("they began as {} and as {}", list(of_a), list(of_b));
        (grade, words)
    })
}

/// Returns a node and everything that `same-as` ties to it, by number. Ties that nobody vouches for do not count.
pub(crate) fn unified(graph: &Graph, node: NodeIndex) -> BTreeSet<NodeIndex> {
    let mut found = BTreeSet::from([node]);
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        for (edge, end) in graph.older(node) {
            let cell = graph.cell(edge);
            let is_same = cell.kind == RelationKind::SameAs && cell.grade > Grade::Unknown;
            if is_same && found.insert(end) {
                open.push(end);
            }
        }
    }
    found
}
