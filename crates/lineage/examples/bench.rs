//! Times the ledger at the size the project promises: 100,000 entities, 1,000,000 edges.
//!
//! `cargo xtask bench lineage` runs it: it writes a ledger into a temporary folder, then prints the time to append, to load
//! without and with the index, and quantiles of k-hop queries. The graph is one of generations: an entity's sources are among
//! the thousand before it, as in a project that builds on its recent work. Arguments: entities, edges.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use std::time::{Duration, Instant};

use undertone_core::Seed;
use undertone_lineage::{
    Dataset, Draft, Entity, EntityId, Grade, Graph, Ledger, Model, Name, Relation,
};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<u64>().ok());
    let n_entities = arguments.next().unwrap_or(100_000).max(2);
    let n_edges = arguments.next().unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = Ledger::of_store(folder.path());

    let (ids, draft) = timed("make records", || records(n_entities, n_edges));
    timed("append", || {
        ledger
            .append(draft.into_records())
            .expect("the disk has room")
    });
    timed("load, no index (writes it)", || {
        ledger.graph().expect("our own records")
    });
    let graph = timed("load, with index", || {
        ledger.graph().expect("our own records")
    });
    timed("load, with index, again", || {
        ledger.graph().expect("our own records")
    });
    println!(
        "{} entities, {} edges, {} MB",
        graph.n_entities(),
        graph.n_edges(),
        size(folder.path()) >> 20
    );

    for k in 1..=6 {
        let ancestors = |id| {
            graph
                .ancestors(id, Some(k))
                .map_or(0, |reach| reach.reached.len())
        };
        quantiles(&format!("ancestors, {k} hops"), &ids, ancestors);
    }
    for k in [1, 3, 6] {
        let descendants = |id| {
            graph
                .descendants(id, Some(k))
                .map_or(0, |reach| reach.reached.len())
        };
        quantiles(&format!("descendants, {k} hops"), &ids, descendants);
    }
    quantiles("show", &ids, |id| show(&graph, id));
    let exposed = |id| {
        graph
            .exposed(id, 2)
            .ok()
            .flatten()
            .map_or(0, |answer| answer.learners.len())
    };
    quantiles("exposed, 2 data hops", &ids, exposed);
    quantiles("why, 20 paths", &ids, |id| {
        let why = graph.why(ids[ids.len() / 3], id, 20);
        why.map_or(0, |why| why.forward.len() + why.backward.len())
    });
    quantiles("common", &ids, |id| {
        usize::from(graph.common(ids[ids.len() / 3], id).is_ok())
    });
    timed("verify everything", || {
        ledger.verify().expect("the folder is there").damage.len()
    });
    timed("compact", || ledger.compact().expect("our own records"));
}

fn show(graph: &Graph, id: EntityId) -> usize {
    graph
        .show(id)
        .ok()
        .flatten()
        .map_or(0, |shown| shown.n_older + shown.n_younger)
}

/// Alternates models and datasets, so that every edge has ends it could have.
fn records(n_entities: u64, n_edges: u64) -> (Vec<EntityId>, Draft) {
    let mut draft = Draft::new("bench", Grade::Declared);
    let mut stream = Seed(7).stream("lineage/bench", 0);
    let mut below = move |n: u64| stream.next_u64() % n;
    let name = |n: u64| Some(Name::new("bench", &format!("thing-{n}")));
    let entity = |n: u64| match n % 2 {
        0 => Entity::Model(Model {
            name: name(n),
            ..Model::default()
        }),
        _ => Entity::Dataset(Dataset {
            name: name(n),
            rows: Some(1000),
            ..Dataset::default()
        }),
    };
    let ids: Vec<EntityId> = (0..n_entities).map(|n| draft.entity(entity(n))).collect();
    for _ in 0..n_edges {
        let from = 1 + below(n_entities - 1);
        let to = from - 1 - below(from.min(1000));
        let rows = Some(1 + below(1000));
        let relation = match (from % 2, to % 2) {
            (0, 0) => Relation::InitialisedFrom { how: None },
            (0, _) => Relation::TrainedOn { rows },
            (_, 0) => Relation::GeneratedBy { rows },
            _ => Relation::FilteredFrom {
                kept: rows,
                dropped: None,
            },
        };
        draft.edge(ids[from as usize], ids[to as usize], relation);
    }
    (ids, draft)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what:<28} {:>10.1} ms", millis(start.elapsed()));
    result
}

fn quantiles(what: &str, ids: &[EntityId], query: impl Fn(EntityId) -> usize) {
    const QUERIES: usize = 50;
    let mut times = Vec::with_capacity(QUERIES);
    let mut sizes = Vec::with_capacity(QUERIES);
    for n in 0..QUERIES {
        let id = ids[(n + 1) * (ids.len() - 1) / (QUERIES + 1)];
        let start = Instant::now();
        sizes.push(query(id));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    sizes.sort_unstable();
    let (median, worst) = (millis(times[QUERIES / 2]), millis(times[QUERIES - 1]));
    println!(
        "{what:<28} {median:>10.2} ms median {worst:>10.2} ms worst, {:>6} found",
        sizes[QUERIES / 2]
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
