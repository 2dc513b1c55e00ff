//! Sums that threads add to one after the other, in an order that was fixed before.

use std::sync::{Condvar, Mutex, PoisonError};

/// A sum of the contributions 0, 1, 2, …, added in that order whoever computes them.
///
/// Contributions must be begun in ascending order (a later one waits for the earlier ones), or nobody goes on. Whoever
/// cannot make its contribution gives the sum up ([`Ticketed::give_up`]), so that nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Ticketed<T> {
    state: Mutex<State<T>>,
    turn: Condvar,
}

#[derive(Debug, Default)]
struct State<T> {
    next: usize,
    given_up: bool,
    sum: T,
}

impl<T> Ticketed<T> {
    #[cfg(test)]
    pub fn new(sum: T) -> Self {
        Self {
            state: Mutex::new(State {
                next: 0,
                given_up: false,
                sum,
            }),
            turn: Condvar::new(),
        }
    }

    /// Waits until contributions before `order` are in, then adds this one.
    ///
    /// # Panics
    /// If the sum was given up.
    pub fn add(&self, order: usize, contribution: impl FnOnce(&mut T)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.next != order && !state.given_up {
            state = self
                .turn
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        assert!(!state.given_up, "another thread panicked");
        contribution(&mut state.sum);
        state.next += 1;
        drop(state);
        self.turn.notify_all();
    }

    /// Ends all waiting: this and every later [`Ticketed::add`] panics.
    pub fn give_up(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given_up = true;
        drop(state);
        self.turn.notify_all();
    }

    /// Starts again at contribution 0.
    pub fn restart(&mut self, reset: impl FnOnce(&mut T)) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.next = 0;
        state.given_up = false;
        reset(&mut state.sum);
    }

    /// Returns the sum.
    pub fn sum(&mut self) -> &mut T {
        &mut self
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_arrive_in_order_whoever_is_first() {
        let list = Ticketed::new(Vec::new());
        std::thread::scope(|scope| {
            for order in [3, 1, 0, 2] {
                let list = &list;
                scope.spawn(move || list.add(order, |sum| sum.push(order)));
            }
        });
        let mut list = list;
        assert_eq!(*list.sum(), [0, 1, 2, 3]);
    }

    #[test]
    fn nobody_waits_for_a_sum_that_was_given_up() {
        let mut list = Ticketed::new(Vec::new());
        let ended = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| list.add(1, |sum| sum.push(1)));
            list.give_up();
            waiting.join()
        });
        assert!(ended.is_err(), "the thread that waited panics");
        assert!(list.sum().is_empty());
        list.restart(Vec::clear);
        list.add(0, |sum| sum.push(0));
        assert_eq!(*list.sum(), [0]);
    }
}
