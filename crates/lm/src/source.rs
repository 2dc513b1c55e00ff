//! Opens a model by path or name.
