//! The cells, from outside and from inside: what is put on, and what a server that was taken over can do.

mod broker;
mod hostile;
mod kills;
mod report;
mod sign;
