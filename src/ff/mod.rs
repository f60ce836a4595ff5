//! The Forward-Forward mathematics.
