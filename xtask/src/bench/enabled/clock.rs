//! Runs threads that start together, and tells how long they took and how much CPU time they had.

use std::sync::Barrier;
use std::time::Instant;

/// What threads that started together took.
pub struct Timed<T> {
    /// From the first start to the last end.
    pub seconds: f64,
    /// CPU seconds of the process meanwhile, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// What each thread returned.
    pub outputs: Vec<T>,
}

/// Runs `work` on `n` threads at once, each after its own `prepare`, which is not timed.
///
/// # Panics
/// If a thread does.
pub fn together<P, T: Send>(
    n: usize,
    prepare: impl Fn(usize) -> P + Sync,
    work: impl Fn(usize, P) -> T + Sync,
) -> Timed<T> {
    let barrier = Barrier::new(n + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n)
            .map(|index| {
                let (barrier, prepare, work) = (&barrier, &prepare, &work);
                scope.spawn(move || {
                    let prepared = prepare(index);
                    barrier.wait();
                    let start = Instant::now();
                    let output = work(index, prepared);
                    (start, Instant::now(), output)
                })
            })
            .collect();
        barrier.wait();
        let before = cpu_seconds();
        let mut span: Option<(Instant, Instant)> = None;
        let mut outputs = Vec::with_capacity(n);
        for thread in threads {
            let (start, end, output) = thread.join().expect("the benchmark does not panic");
            // This thread may be woken late: the others' own clocks count.
            span = Some(span.map_or((start, end), |span| (span.0.min(start), span.1.max(end))));
            outputs.push(output);
        }
        let seconds = span.map_or(0.0, |(start, end)| (end - start).as_secs_f64());
        let cpu_seconds = cpu_seconds().zip(before).map(|(end, start)| end - start);
        Timed {
            seconds,
            cpu_seconds,
            outputs,
        }
    })
}

/// Unit of the times in `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the seconds of CPU time this process has used, all threads together; `None` where there is no `/proc`.
pub fn cpu_seconds() -> Option<f64> {
    cpu_seconds_of("self")
}

/// Returns the same of the process `id`.
pub fn cpu_seconds_of(id: &str) -> Option<f64> {
    parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Returns the seconds of CPU time that all processes together have used, or that the machine's host took away.
pub fn busy_seconds() -> Option<f64> {
    parse_busy(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Adds all but the idle times, which are the fourth and fifth number of the first line; guests are counted twice there.
fn parse_busy(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
    let busy = ticks.get(..3)?.iter().chain(ticks.get(5..8)?);
    Some(busy.sum::<u64>() as f64 / TICKS_PER_SECOND)
}

/// Adds user and system time, the 14th and 15th field; the second may hold blanks and ends at the last `)`.
fn parse(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_user_and_system_time() {
        let stat = "12 (a b) c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(parse(stat), Some(3.0));
        assert_eq!(parse("12 (a) R 1"), None);
    }

    #[test]
    fn adds_what_is_not_idle() {
        let stat = "cpu  100 10 50 9000 800 3 7 30 5 5\ncpu0 1 2 3";
        assert_eq!(parse_busy(stat), Some(2.0));
        assert_eq!(parse_busy("cpu  1 2 3"), None);
    }
}
