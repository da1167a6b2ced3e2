//! Tests of all backends side by side, in one program.

// Generated scripts come to the same on every transport and on the model.
mod agreement;
// Several processes do random things to one queue; there must be an order that explains what they saw.
mod histories;
// Fresh directories, helper processes.
mod place;
