//! A thing with everything behind it, each under all its names as one item.

use std::collections::BTreeMap;

use crate::entity::{Dataset, Entity, EntityId, EntityKind, Model, Step, Verdict};
use crate::grade::Grade;
use crate::graph::{Graph, NodeIndex, clean};
use crate::ledger::LedgerError;
use crate::query::unified;
use crate::relation::{Relation, RelationKind};

/// The most items of an export.
const MAX_ITEMS: usize = 5_000;

/// A thing cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// A record cannot be read back.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It is not in the graph.
    #[error("it is not in the ledger")]
    Missing,
    /// There is too much behind it.
    #[error("there are more than {MAX_ITEMS} things behind it")]
    TooMany,
}

/// A tie from an item to an older one; for `evaluated-by`, to a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Tie {
    /// What it says.
    pub relation: Relation,
    /// The place of the other item.
    pub to: usize,
    /// How well it is known.
    pub grade: Grade,
    /// The place of the step it came about in.
    pub step: Option<usize>,
}

/// One thing under all its names.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its id: that of its content, if there is any.
    pub id: EntityId,
    /// What it is called.
    pub name: String,
    /// What is known of it, of all descriptions together, the best evidence first.
    pub entity: Entity,
    /// The best evidence of a description.
    pub grade: Grade,
    /// What it came from.
    pub ties: Vec<Tie>,
}

impl Item {
    /// Returns the model, if it is one.
    pub fn model(&self) -> Option<&Model> {
        match &self.entity {
            Entity::Model(model) => Some(model),
            _ => None,
        }
    }

    /// Returns the dataset, if it is one.
    pub fn dataset(&self) -> Option<&Dataset> {
        match &self.entity {
            Entity::Dataset(dataset) => Some(dataset),
            _ => None,
        }
    }

    /// Returns the step, if it is one.
    pub fn step(&self) -> Option<&Step> {
        match &self.entity {
            Entity::Step(step) => Some(step),
            _ => None,
        }
    }

    /// Returns the verdict, if it is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.entity {
            Entity::Verdict(verdict) => Some(verdict),
            _ => None,
        }
    }

    /// Returns the ties of one kind.
    pub fn by(&self, kind: RelationKind) -> impl Iterator<Item = &Tie> {
        self.ties
            .iter()
            .filter(move |tie| tie.relation.kind() == kind)
    }
}

/// A thing and everything behind it; the thing is the first item.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The items.
    pub items: Vec<Item>,
}

impl Scope {
    /// Gathers `id` and what it came from, with verdicts on all of it and the steps in which it came about.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn of(graph: &Graph, id: EntityId) -> Result<Scope, ScopeError> {
        let start = graph.index(id).ok_or(ScopeError::Missing)?;
        let mut gather = Gather {
            graph,
            place: BTreeMap::new(),
            open: Vec::new(),
            items: Vec::new(),
        };
        gather.enter(start)?;
        while let Some((at, names)) = gather.open.pop() {
            let mut ties = Vec::new();
            for name in names {
                for edge in graph.out_edges(name) {
                    let cell = *graph.cell(edge);
                    if cell.kind == RelationKind::SameAs || cell.grade == Grade::Unknown {
                        continue;
                    }
                    let edge = graph.edge(edge)?;
                    let step = edge.step.and_then(|step| graph.index(step));
                    ties.push(Tie {
                        to: gather.enter(cell.to as usize)?,
                        relation: edge.relation,
                        grade: edge.grade,
                        step: step.map(|step| gather.enter(step)).transpose()?,
                    });
                }
            }
            gather.items[at].ties = ties;
        }
        Ok(Scope {
            items: gather.items,
        })
    }

    /// Returns the thing itself.
    pub fn subject(&self) -> &Item {
        &self.items[0]
    }
}

struct Gather<'a> {
    graph: &'a Graph,
    place: BTreeMap<NodeIndex, usize>,
    open: Vec<(usize, Vec<NodeIndex>)>,
    items: Vec<Item>,
}

impl Gather<'_> {
    fn enter(&mut self, node: NodeIndex) -> Result<usize, ScopeError> {
        if let Some(place) = self.place.get(&node) {
            return Ok(*place);
        }
        if self.items.len() == MAX_ITEMS {
            return Err(ScopeError::TooMany);
        }
        let names: Vec<NodeIndex> = unified(self.graph, node).into_iter().collect();
        let place = self.items.len();
        for name in &names {
            self.place.insert(*name, place);
        }
        self.items.push(self.item(node, &names)?);
        self.open.push((place, names));
        Ok(place)
    }

    fn item(&self, node: NodeIndex, names: &[NodeIndex]) -> Result<Item, LedgerError> {
        let mut descriptions = Vec::new();
        for name in names {
            descriptions.extend(self.graph.descriptions(*name)?);
        }
        descriptions.sort_by_key(|description| std::cmp::Reverse(description.grade));
        let grade = descriptions
            .first()
            .map_or(Grade::Unknown, |first| first.grade);
        let content = descriptions
            .iter()
            .map(|description| &description.entity)
            .find(|entity| entity.named_only().is_some() || entity.kind() == EntityKind::Step);
        let id = content.map_or(self.graph.id(node), Entity::id);
        let called: Vec<String> = descriptions
            .iter()
            .filter_map(|description| description.entity.name())
            .collect();
        let name = called
            .iter()
            .find(|name| !name.starts_with("undertone-"))
            .or(called.first());
        let entity = merged(
            descriptions
                .into_iter()
                .map(|description| description.entity),
        );
        Ok(Item {
            id,
            name: name.map_or_else(|| id.short(), |name| clean(name)),
            entity: entity.unwrap_or(Entity::Dataset(Dataset::default())),
            grade,
            ties: Vec::new(),
        })
    }
}

/// Puts descriptions of one thing together; what a better one says stands.
fn merged(entities: impl Iterator<Item = Entity>) -> Option<Entity> {
    let mut all: Option<Entity> = None;
    for entity in entities {
        match (&mut all, entity) {
            (None, entity) => all = Some(entity),
            (Some(Entity::Model(known)), Entity::Model(more)) => {
                let Model {
                    name,
                    files,
                    initialisation,
                    architecture,
                    tokenizer,
                    chat_template,
                    adapter,
                    dtype,
                    quantisation,
                    engine,
                } = more;
                known.name = known.name.take().or(name);
                if known.files.is_empty() {
                    known.files = files;
                }
                known.initialisation = known.initialisation.take().or(initialisation);
                known.architecture = known.architecture.take().or(architecture);
                known.tokenizer = known.tokenizer.or(tokenizer);
                known.chat_template = known.chat_template.or(chat_template);
                known.adapter = known.adapter.take().or(adapter);
                known.dtype = known.dtype.take().or(dtype);
                known.quantisation = known.quantisation.take().or(quantisation);
                known.engine = known.engine.take().or(engine);
            }
            (Some(Entity::Dataset(known)), Entity::Dataset(more)) => {
                let Dataset {
                    name,
                    files,
                    row_set,
                    rows,
                    channel,
                    origin,
                } = more;
                known.name = known.name.take().or(name);
                if known.files.is_empty() {
                    known.files = files;
                }
                known.row_set = known.row_set.or(row_set);
                known.rows = known.rows.or(rows);
                known.channel = known.channel.take().or(channel);
                known.origin = known.origin.or(origin);
            }
            _ => {}
        }
    }
    all
}
