//! The connectors against stand-ins in this process: the broker's channel and the vendors are played by the test.

mod model;
mod recogniser;
mod rig;
mod voice;
