//! Loading weights: blocks against the `gguf` package, both formats of the tiny models against each other, the real model
//! where a machine has it, and hostile files.
//!
//! The tiny models and expected blocks are made by `scripts/golden/lm_models.py` and `scripts/golden/gguf_blocks.py`.

mod blocks;
mod folder;
mod folder_files;
mod gguf;
mod gguf_models;
mod hostile;
mod real;
mod source;
mod support;
mod tiny;

use peak_alloc::PeakAlloc;

/// Counts what is allocated, for the properties of `hostile`.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
