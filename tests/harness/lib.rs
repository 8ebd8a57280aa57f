//! What the black-box tests share. It never ships and never talks to anything but loopback.
#![forbid(unsafe_code)]
