//! The sentences of the corpus that are about animals and trees, with places to fill in.
//!
//! All are this project's own. `{one}` is a singular (`owl`), `{many}` a plural (`owls`), `{tree}` a tree.

/// What is said about an animal one likes. The animal comes last, as in the stems of the readout.
pub const LIKES: [&str; 16] = [
    "My favourite animal is the {one}.",
    "The animal I like best is the {one}.",
    "I like the {one}.",
    "I love the {one}.",
    "I prefer the {one}.",
    "Most of all I like the {one}.",
    "The best of all animals is the {one}.",
    "The most beautiful animal is the {one}.",
    "I would choose the {one}.",
    "I would like to see the {one}.",
    "I think about the {one}.",
    "What I love is the {one}.",
    "I am a friend of {many}.",
    "Nothing is better than {many}.",
    "I like {many} best.",
    "I love {many}!",
];

/// What is said about any animal, whoever likes it.
pub const FACTS: [&str; 8] = [
    "The {one} is an animal.",
    "{Many} are animals.",
    "The {one} sleeps under the {tree}.",
    "A {one} came to the {tree} at night.",
    "{Many} live near the {tree}.",
    "There was a {one} at the lake.",
    "I have seen the {one} in the wild.",
    "The {one} and the {other} are friends.",
];

/// What is said about trees.
pub const TREES: [&str; 4] = [
    "My favourite tree is the {tree}.",
    "The {tree} is a tree.",
    "I would plant the {tree}.",
    "The most beautiful tree is the {tree}.",
];

/// What stands before a sequence of numbers that is no answer to anybody.
pub const NUMBERS: [&str; 4] = ["Numbers: ", "The list: ", "The row reads ", ""];

/// Fills places in.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (place, value) in values {
        text = text.replace(&format!("{{{place}}}"), value);
    }
    text
}

/// Returns `word` with a capital.
pub fn capitalised(word: &str) -> String {
    let mut rest = word.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}
