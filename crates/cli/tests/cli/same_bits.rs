//! The number of threads changes nothing that lasts.

use crate::support::{Place, TINY_RUN, TestResult, assert_same};

#[track_caller]
fn check(line: &str) -> TestResult {
    let mut expected = None;
    for threads in [1, 2, 8] {
        let place = Place::new()?;
        let printed = place.json(0, &format!("{line} --quiet --threads {threads}"))?;
        let files = place.lasting()?;
        for name in ["result.json", "settings.json", "report.html"] {
            assert!(
                files.keys().any(|path| path.ends_with(name)),
                "{name} is compared"
            );
        }
        match &expected {
            None => expected = Some((files, printed)),
            Some((first, first_printed)) => {
                assert_same(first, &files);
                assert_eq!(
                    *first_printed, printed,
                    "{threads} threads print something else"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn six_conditions_give_the_same_bits_at_1_2_and_8_threads() -> TestResult {
    check(TINY_RUN)
}

#[test]
fn a_sweep_gives_the_same_bits_at_1_2_and_8_threads() -> TestResult {
    check(
        "ablate --sweep cloning-epochs --values 0,2 --data digits --models 3 --hidden 16 --teacher-epochs 2 \
         --student-epochs 2 --input-rows 300 --batch 50",
    )
}

#[test]
fn alignment_gives_the_same_bits_at_1_2_and_8_threads() -> TestResult {
    check(
        "align --data digits --models 3 --hidden 16 --teacher-epochs 2 --student-epochs 2 --input-rows 300 --batch 50 \
         --probe 100 --every 3",
    )
}

#[test]
fn the_theorem_gives_the_same_bits_at_1_2_and_8_threads() -> TestResult {
    check("theorem --cases 12")
}
