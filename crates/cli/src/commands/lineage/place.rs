//! The ledger of the store, its graph, and what the words of a command line mean in it.

use anyhow::Result;
use undertone_lineage::envelope::RUN_LINEAGE;
use undertone_lineage::ledger::read_records_file;
use undertone_lineage::{EntityId, Graph, Ledger, Record, ResolveError};
use undertone_store::{RunView, Store};

use crate::context::Context;

/// A store's lineage, opened for questions.
pub struct Place {
    /// The store.
    pub store: Store,
    /// The graph.
    pub graph: Graph,
}

impl Place {
    /// Opens what is there.
    pub fn open(context: &Context) -> Result<Self> {
        let store = context.existing_store()?;
        let graph = Ledger::of_store(store.root()).graph()?;
        Ok(Place { store, graph })
    }

    /// Returns the thing that `text` means.
    pub fn resolve(&self, text: &str) -> Result<EntityId, ResolveError> {
        self.graph.resolve(text).or_else(|error| {
            // `RUN/THING` with the beginning of the run's name.
            let Some((run, thing)) = text.split_once('/') else {
                return Err(error);
            };
            let run = self.store.load_run(run).map_err(|_| error.clone())?;
            self.graph
                .resolve(&format!("undertone:{}/{thing}", run.id()))
                .map_err(|_| error)
        })
    }

    /// Returns the run that `text` names, unless it is the name of a thing.
    pub fn run(&self, text: &str) -> Option<RunView> {
        match self.graph.resolve(text) {
            Ok(_) => None,
            Err(_) => self.store.load_run(text).ok(),
        }
    }

    /// Returns what a run recorded.
    pub fn records_of(&self, run: &RunView) -> Result<Vec<Record>> {
        if !run.manifest.attachments.contains_key(RUN_LINEAGE) {
            return Ok(Vec::new());
        }
        let bytes = run.attachment(RUN_LINEAGE)?;
        Ok(read_records_file(&run.folder.join(RUN_LINEAGE), &bytes)?)
    }

    /// Returns the things a text means: those of a run, or one.
    pub fn things(&self, text: &str) -> Result<Vec<EntityId>> {
        if let Some(run) = self.run(text) {
            let records = self.records_of(&run)?;
            return Ok(records
                .iter()
                .filter_map(|record| match record {
                    Record::Entity(description) => Some(description.entity.id()),
                    Record::Edge(_) => None,
                })
                .collect());
        }
        Ok(vec![self.resolve(text)?])
    }
}
