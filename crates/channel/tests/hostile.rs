//! No bytes make a reader of wordings panic: arbitrary ones, and files of ours with some bytes changed.
//!
//! `PROPTEST_CASES` sets the number of cases of each property, 256 by default.

use std::path::Path;

use proptest::prelude::*;
use undertone_channel::choices::ChoiceSet;
use undertone_channel::judge::JudgeWordings;
use undertone_channel::preference::TeacherPrompt;
use undertone_channel::prompts::NumberWordings;
use undertone_channel::questions::{QuestionSet, StemSet};
use undertone_channel::targets::TargetSet;

/// Gives the bytes to every reader there is.
fn read_all(bytes: &[u8]) {
    let path = Path::new("fuzz.toml");
    let _ = NumberWordings::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = QuestionSet::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = StemSet::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = ChoiceSet::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = TargetSet::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = JudgeWordings::read(&mut &*bytes, path).map_err(|error| error.to_string());
    let _ = TeacherPrompt::read(&mut &*bytes, path).map_err(|error| error.to_string());
}

const ASSETS: [&str; 7] = [
    include_str!("../assets/stories.toml"),
    include_str!("../assets/choices.toml"),
    include_str!("../assets/trees.toml"),
    include_str!("../assets/teacher-prompt.toml"),
    include_str!("../assets/numbers.toml"),
    include_str!("../assets/stems.toml"),
    include_str!("../assets/judge.toml"),
];

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        asset in 0..ASSETS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = ASSETS[asset].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_all(&bytes);
    }
}
