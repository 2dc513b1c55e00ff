//! Runs cells on worker threads, one engine each, and returns their outcomes in the order of the cells.
//!
//! Which worker takes which cell is left to chance; nothing a cell computes depends on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use undertone_mlp::{Precision, Trainer};

use crate::error::LabError;

/// Runs `work(trainer, index)` for every index below `n` on `threads` threads.
///
/// # Errors
/// The error of the smallest failing index; after the first failure no new cell is started.
pub fn run<T: Send>(
    n: usize,
    threads: usize,
    precision: Precision,
    work: impl Fn(&mut Trainer, usize) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let slots: Vec<Mutex<Option<Result<T, LabError>>>> = (0..n).map(|_| Mutex::new(None)).collect();
    let trainers = (0..threads.clamp(1, n.max(1)))
        .map(|_| Trainer::new(precision))
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        for mut trainer in trainers {
            let (next, failed, slots, work) = (&next, &failed, &slots, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= n || failed.load(Ordering::Relaxed) {
                        break;
                    }
                    let result = work(&mut trainer, index);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let mut outcomes = Vec::with_capacity(n);
    for slot in slots {
        // An empty slot means that another cell failed first; its error comes further on.
        if let Some(result) = slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
            outcomes.push(result?);
        }
    }
    assert_eq!(
        outcomes.len(),
        n,
        "a cell is left out only after another failed"
    );
    Ok(outcomes)
}

/// Lets only one worker compute a step that several cells share; the others wait and find it stored.
pub struct Turnstile<K>(Mutex<HashMap<K, Arc<Mutex<()>>>>);

impl<K> Default for Turnstile<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: std::hash::Hash + Eq> Turnstile<K> {
    /// Runs `work` while no other worker runs any under the same key.
    pub fn pass<T>(&self, key: K, work: impl FnOnce() -> T) -> T {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(key).or_default())
        };
        let _turn = gate.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::control::Interrupted;

    fn missing(key: usize) -> LabError {
        LabError::OutputMissing {
            name: "curve",
            key: key.to_string(),
        }
    }

    #[test]
    fn outcomes_come_in_the_order_of_the_indices() -> Result<(), LabError> {
        for threads in [1, 3, 8] {
            let squares = run(20, threads, Precision::F32, |_, index| Ok(index * index))?;
            assert_eq!(
                squares,
                (0..20).map(|index| index * index).collect::<Vec<_>>()
            );
        }
        assert!(run(0, 4, Precision::F32, |_, index| Ok(index))?.is_empty());
        Ok(())
    }

    #[test]
    fn the_smallest_failing_index_gives_the_error_though_another_fails_first() {
        let both_started = Barrier::new(2);
        let second_failed = AtomicBool::new(false);
        let result = run(10, 2, Precision::F32, |_, index| -> Result<(), _> {
            if index < 2 {
                both_started.wait();
            }
            if index == 0 {
                while !second_failed.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            } else {
                second_failed.store(true, Ordering::Release);
            }
            Err(missing(index))
        });
        let key = match result {
            Err(LabError::OutputMissing { key, .. }) => key,
            other => format!("{other:?}"),
        };
        assert_eq!(key, "0");
    }

    #[test]
    fn nothing_new_starts_after_a_failure() {
        let started = AtomicUsize::new(0);
        let result = run(1000, 2, Precision::F32, |_, _| -> Result<(), _> {
            started.fetch_add(1, Ordering::Relaxed);
            Err(Interrupted.into())
        });
        assert!(matches!(result, Err(LabError::Interrupted(_))));
        assert!(started.into_inner() <= 2);
    }

    #[test]
    fn one_key_lets_one_worker_through_at_a_time() {
        let (gate, inside) = (Turnstile::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        gate.pass(7, || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
    }
}
