//! Processes to which a queue is passed.

use std::process::Command;

use ipcq_core::{Queue, Transport};

use super::Played;

/// Puts `text` into the queue that this process inherited first.
pub(super) fn put_inherited(transport: &dyn Transport, text: &str) -> Played {
    Queue::<String>::inherited(transport)?.put(text.to_owned())?;
    Ok(())
}

/// Passes the inherited queue on to a child of its own, which puts `text` into it.
pub(super) fn pass_on_inherited(transport: &dyn Transport, text: &str) -> Played {
    let queue = Queue::<String>::inherited(transport)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["put-inherited", transport.name(), "unused", text]);
    queue.share_with(&mut command)?;
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("the child failed: {status}").into()) }
}

/// Gets questions from the queue `carrier`, each with the queue for its answer, until it is closed.
pub(super) fn answer(transport: &dyn Transport, carrier: &str) -> Played {
    let questions = Queue::<(String, Queue<String>)>::open(transport, carrier)?;
    for question in &questions {
        let (text, answers) = question?;
        answers.put(text.to_uppercase())?;
    }
    Ok(())
}
