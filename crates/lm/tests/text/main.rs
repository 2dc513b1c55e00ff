//! Text to tokens and back, chat templates, grammars over real vocabularies.
//!
//! The golden tokenizers and their reference ids are made by `scripts/golden/lm_tokenizers.py`.

mod chat;
mod golden;
mod grammar;
mod hostile;
mod model_text;
mod smollm2;
mod support;
mod tokenizers;
