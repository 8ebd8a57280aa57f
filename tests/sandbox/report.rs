//! `ward run --report`.
