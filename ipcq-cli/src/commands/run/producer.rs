//! A producer of a pipeline: what its command prints becomes messages.

use std::process::{Child, ChildStdout, ExitStatus};

use ipcq_core::{Batch, Channel, PutFault, Wait};

use crate::args::Framing;
use crate::backend::label;
use crate::failure::Failure;
use crate::input::{InputError, Messages};

/// Puts the lines that `child` prints, and waits for its end. When the queue is closed before, the command's output is
/// closed too.
pub(super) fn serve(mut child: Child, queue: &dyn Channel) -> Result<ExitStatus, Failure> {
    let put = child.stdout.take().map_or(Ok(()), |stdout| put_lines(stdout, queue));
    let status =
        child.wait().map_err(|error| Failure::system("a command could not be waited for", &error))?;
    put.map(|()| status)
}

fn put_lines(stdout: ChildStdout, queue: &dyn Channel) -> Result<(), Failure> {
    let max = queue.identity().max_message;
    let mut lines = Messages::new(stdout, Framing::Delimited(b'\n'), max);
    let mut batch = Batch::new();
    loop {
        lines.next_batch(&mut batch).map_err(|error| unreadable(&error, max))?;
        if batch.is_empty() {
            return Ok(());
        }
        match queue.put_many(&batch, 0, Wait::Forever) {
            (_, Ok(())) => {}
            (_, Err(PutFault::Closed)) => return Ok(()),
            (_, Err(fault)) => return Err(Failure::put(&label(queue), &fault)),
        }
    }
}

fn unreadable(error: &InputError, max: usize) -> Failure {
    match error {
        InputError::Read(error) => Failure::system("what a producer prints could not be read", error),
        InputError::TooLong { len } => Failure::failed(format!(
            "a producer prints a line of {len} bytes or more, and a message has {max} at most; print shorter ones"
        )),
        _ => Failure::failed(
            "there is not enough memory for a line that a producer prints; let it print shorter ones",
        ),
    }
}
