//! Training against other people's code: logits and gradients of tiny models, optimisers, schedules and adapters as
//! PyTorch, transformers and peft compute them. The values and the scripts that made them: `tests/golden/README.md`.

mod support;

mod forward;
mod gradients;

mod optimisers;

mod adapters;

mod trainer;

mod guides;
