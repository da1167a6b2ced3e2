//! Kills a process that makes, closes or removes a queue (Q7, Q12, Q13).

use crate::stepping::survives;

/// Closing: it is closed for everyone or for nobody.
#[test]
fn q07_close() {
    survives("close", 40);
}

/// Making: the next creator finds a whole queue or none.
#[test]
fn q12_create() {
    survives("create", 30);
}

/// Removing: the next remover finishes it.
#[test]
fn q13_remove() {
    survives("remove", 35);
}
