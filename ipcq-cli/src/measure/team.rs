//! Processes that do the work of one command, and end with it.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::Fault;

/// Processes that end with this value: whoever is still there is killed and waited for.
#[derive(Debug, Default)]
pub struct Team {
    children: Vec<Child>,
}

impl Team {
    /// Starts one more.
    ///
    /// # Errors
    /// When the system lets no more processes start.
    pub fn start(&mut self, command: &mut Command) -> Result<(), Fault> {
        // What it says is said here, once.
        command.stderr(Stdio::piped());
        let child =
            command.spawn().map_err(|error| Fault::system("a process could not be started", error))?;
        self.children.push(child);
        Ok(())
    }

    /// Their numbers, in the order in which they were started.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().map(Child::id)
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    /// What the first said that failed.
    ///
    /// # Blocking
    /// Until all have ended.
    pub fn wait(mut self) -> Result<(), Fault> {
        let mut failed = None;
        while !self.children.is_empty() {
            if let Err(fault) = outcome(self.children.remove(0)) {
                failed.get_or_insert(fault);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Looks whether all are still at work.
    ///
    /// # Errors
    /// When one that should be has ended.
    pub fn check(&mut self) -> Result<(), Fault> {
        for place in 0..self.children.len() {
            match self.children[place].try_wait() {
                Ok(None) => {}
                Ok(Some(_)) => {
                    outcome(self.children.remove(place))?;
                    return Err(Fault::failed("one of the processes ended too early; try again"));
                }
                Err(error) => return Err(Fault::system("a process could not be waited for", error)),
            }
        }
        Ok(())
    }
}

/// Waits for `child`, and says what it said when it failed.
fn outcome(mut child: Child) -> Result<(), Fault> {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // It says a line at most; whatever else writes there is not for people.
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let status = child.wait().map_err(|error| Fault::system("a process could not be waited for", error))?;
    if status.success() {
        return Ok(());
    }
    let line = said.lines().find_map(|line| line.strip_prefix("ipcq: "));
    Err(line.map_or_else(
        || Fault::failed(format!("one of the processes failed ({status}); try again")),
        Fault::failed,
    ))
}

impl Drop for Team {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
