//! The commented template of a configuration file: the one place where every key is explained.
//!
//! Invariant: with `#` taken off each line that gives a key, it is exactly the default configuration (tested).

/// What `facestream config init` writes.
pub const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod tests;
