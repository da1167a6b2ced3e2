//! Tests of all backends side by side, in one program.

// Generated scripts come to the same on every transport and on the model.
mod agreement;
// Futures that put and get, and are dropped at any time.
mod asynchronous;
// Generated scripts on acknowledged queues come to the same, too.
mod deliveries;
// Processes that hold deliveries, stopped, forked and inherited.
mod holders;
// Whatever is written over deliveries crashes and hangs nobody.
mod hostile_deliveries;
// The upper bounds of the contract, all in one file.
mod bounds;
// Every example runs.
mod examples;
// Real processes that all wait for the same thing get their shares of it.
mod fairness;
// Several processes do random things to one queue; there must be an order that explains what they saw.
mod histories;
// Which crate may depend on which.
mod layering;
// Fresh directories, helper processes.
mod place;
// Waiting for several queues at once.
mod select;
// A queue reaches real processes in every way there is, and they lose and double nothing.
mod processes;
