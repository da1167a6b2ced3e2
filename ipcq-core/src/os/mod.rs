//! What several backends need of the operating system.
#![allow(unsafe_code, reason = "the one part of core that talks to the kernel")]
