//! CPU time of this process, where the system tells it.

/// Unit of the times in `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the seconds of CPU time this process has used, all threads together; `None` where there is no `/proc`.
pub fn cpu_seconds() -> Option<f64> {
    parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
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
}
