//! Where vendors' keys come from, how long they live, and what is left of them: the broker against Secrets Manager as moto has
//! it, and against a Vault of our own that refuses what Vault refuses.
//!
//! Everything is in a network of the test's own. Needs root.

mod bench;
mod sigv4;
mod aws;
mod vault;
mod rotation;
mod memory;
mod soak;
mod inventory;
