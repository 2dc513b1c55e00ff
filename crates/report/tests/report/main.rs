//! The crate from outside: golden files of what people read, and the page in a real browser.

mod browser;
mod golden;
