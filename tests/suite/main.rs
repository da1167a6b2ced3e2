//! Tests of all backends side by side, in one program.
