//! What the machine boots, as bytes: how each format is written, and how it is read when nobody vouches for it.
//!
//! Build time and the operator's tool only; nothing of it is in the image. Bytes come in and bytes go out: there is
//! no clock, no environment, no order that changes, so the same inputs are the same image wherever it is made.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod bytes;
pub mod digest;
pub mod list;
pub mod cpio;
pub mod compress;
pub mod pe;
pub mod uki;
pub mod esp;
pub mod fat;
pub mod gpt;
pub mod disk;
pub mod qcow2;
pub mod elf;
pub mod inspect;
pub mod bom;
