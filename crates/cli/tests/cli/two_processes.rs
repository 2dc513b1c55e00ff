//! Two processes on one store.

use crate::interrupt::{LONG, start, wait_until};
use crate::support::{Place, Ran, TINY, TestResult, assert_same};

#[test]
fn the_same_command_twice_at_once_is_refused_with_the_others_number() -> TestResult {
    let place = Place::new()?;
    let first = start(&place, LONG)?;
    wait_until(|| {
        Ok(place
            .steps("mlp/teacher")
            .is_ok_and(|steps| !steps.is_empty()))
    })?;
    let second = place.expect(5, LONG)?;
    assert!(
        second.stderr.contains("another process is working on it"),
        "{second:?}"
    );
    assert!(
        second.stderr.contains(&format!("(process {})", first.id())),
        "{second:?}"
    );
    let first = Ran::of(first.wait_with_output()?)?;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(place.expect(0, LONG)?.stdout, first.stdout);
    Ok(())
}

#[test]
fn different_commands_that_share_steps_finish_side_by_side() -> TestResult {
    let lines = [3, 4, 5, 6].map(|epochs| format!("{TINY} --student-epochs {epochs}"));
    let alone = Place::new()?;
    for line in &lines {
        alone.expect(0, line)?;
    }
    let place = Place::new()?;
    let children: Vec<_> = lines
        .iter()
        .map(|line| start(&place, line))
        .collect::<TestResult<_>>()?;
    for child in children {
        let ran = Ran::of(child.wait_with_output()?)?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_same(&alone.lasting()?, &place.lasting()?);
    Ok(())
}
