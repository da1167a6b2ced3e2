//! A file system of 8 MiB that fills up (Q17).

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ipcq_core::{
    Batch, Channel, CreateError, GetFault, Lifetime, OpenError, PutFault, QueueName, QueueOptions, Transport,
    Wait,
};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sched::CloneFlags;
use nix::sys::statvfs::statvfs;

use super::cell::Cell;
use super::ledger::{Message, drain, message};
use super::namespaces::{enter, mount_memory};
use super::survey::survey;

const SIZE: usize = 8 << 20;
/// A put that fails for want of room says so within this time.
const AT_ONCE: Duration = Duration::from_millis(250);
/// What a put that fails may leave reserved.
const SPARE: u64 = 64 << 10;
/// Where the links begin, and the first chunk; see the layout in `ipcq-shm`.
const HOLES: [i64; 2] = [64 << 10, 2112 << 10];
/// What a queue may keep of the memory that it had.
const LEFT: u64 = 1 << 20;
/// The deadline of puts that must not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fills a file system with a queue, and around a queue.
///
/// # Errors
/// What is wrong, also when this process can have no file system of its own.
pub fn full_disk(make: impl FnOnce(&Path) -> Box<dyn Transport>, directory: &Path) -> Result<String, String> {
    enter(CloneFlags::CLONE_NEWNS).map_err(|error| format!("no mounts of its own for this test: {error}"))?;
    mount_memory(directory, SIZE).map_err(|error| format!("no file system for this test: {error}"))?;
    let queues = directory.join("queues");
    std::fs::create_dir(&queues).map_err(|error| error.to_string())?;
    let transport = make(&queues);
    let mut cell = Cell::new(&*transport, &queues, &QueueOptions::new())?;
    let disk = Disk { directory, cell: &mut cell };
    let own = disk.fill_with_messages()?;
    let around = disk.fill_around()?;
    disk.fill_given_back()?;
    disk.fill_with_loans()?;
    disk.fill_in_a_batch()?;
    disk.create_on_a_full_disk()?;
    disk.hand_out_on_a_full_disk()?;
    let holes = disk.open_with_holes()?;
    survey(&mut cell, &[Vec::new()])?;
    cell.clear()?;
    Ok(format!("full_disk: own={own} around={around} holes={holes}"))
}

struct Disk<'a, 'b> {
    directory: &'a Path,
    cell: &'a mut Cell<'b>,
}

impl Disk<'_, '_> {
    fn queue(&self) -> &dyn Channel {
        &*self.cell.queue
    }

    fn free(&self) -> Result<u64, String> {
        let stat = statvfs(self.directory).map_err(|error| error.to_string())?;
        Ok(stat.blocks_free() * stat.fragment_size())
    }

    /// Puts until there is no room; what is in the queue comes out whole, and there is room again.
    fn fill_with_messages(&self) -> Result<usize, String> {
        let mut put = Vec::new();
        for id in 0.. {
            let next = message(id, 50_000);
            match self.put(next) {
                Ok(()) => put.push(next),
                Err(fault) => {
                    no_room(&fault)?;
                    break;
                }
            }
        }
        if put.len() * 50_000 < SIZE / 2 {
            return Err(format!("there was no room after {} messages", put.len()));
        }
        self.as_before(&put)?;
        // Larger and smaller ones are refused as well, as often as one asks.
        for len in [1 << 20, 100_000, 50_000] {
            let before = self.free()?;
            no_room(&self.put(message(1 << 20, len)).err().ok_or("there was room after all")?)?;
            let after = self.free()?;
            if before.saturating_sub(after) > SPARE {
                return Err(format!("a put that failed keeps {} bytes", before - after));
            }
            self.as_before(&put)?;
        }
        self.comes_out(&put)?;
        self.put(message(1 << 21, 1 << 20))
            .map_err(|fault| format!("with room again a put says: {fault}"))?;
        self.comes_out(&[message(1 << 21, 1 << 20)])?;
        Ok(put.len())
    }

    /// Another file takes all the room; what the queue has already goes on working.
    fn fill_around(&self) -> Result<usize, String> {
        let held: Vec<Message> = (0..5).map(|id| message(id, 1000)).collect();
        for &message in &held {
            self.put(message).map_err(|fault| fault.to_string())?;
        }
        let filler = self.take_all_room()?;
        no_room(&self.put(message(9, 2 << 20)).err().ok_or("there was room after all")?)?;
        self.as_before(&held)?;
        let other = self.cell.transport().open(self.cell.name());
        let other = other.map_err(|error| format!("open on a full disk says: {error}"))?;
        let len = other.len().map_err(|error| error.to_string())?;
        if len != held.len() {
            return Err(format!("a handle opened on a full disk sees {len} messages"));
        }
        std::fs::remove_file(filler).map_err(|error| error.to_string())?;
        self.put(message(9, 2 << 20)).map_err(|fault| format!("with room again a put says: {fault}"))?;
        let all = [&held[..], &[message(9, 2 << 20)]].concat();
        self.comes_out(&all)?;
        Ok(all.len())
    }

    /// Memory between messages is given back, and then something else takes it: nobody may count on it any more.
    fn fill_given_back(&self) -> Result<(), String> {
        let (long, last) = (message(1, 3 << 20), message(2, 20_000));
        let before = self.free()?;
        for message in [message(0, 1000), long, last] {
            self.put(message).map_err(|fault| fault.to_string())?;
        }
        for _ in 0..2 {
            self.queue().get(&mut Vec::new(), Wait::No).map_err(|fault| fault.to_string())?;
        }
        let begin = Instant::now();
        while self.free()? + LEFT < before {
            if begin.elapsed() > PATIENCE {
                return Err(format!("of {before} free bytes {} came back", self.free()?));
            }
            self.queue().stat().map_err(|error| error.to_string())?;
        }
        let filler = self.take_all_room()?;
        no_room(&self.put(message(9, 2 << 20)).err().ok_or("there was room after all")?)?;
        self.as_before(&[last])?;
        std::fs::remove_file(filler).map_err(|error| error.to_string())?;
        self.put(long).map_err(|fault| format!("with room again a put says: {fault}"))?;
        self.comes_out(&[last, long])
    }

    /// Borrows until there is no room, of the file system or of the process; with what was given back there is some again.
    fn fill_with_loans(&self) -> Result<(), String> {
        const LEN: usize = 700_000;
        let most = 2 * SIZE / LEN;
        let before = self.free()?;
        let mut loans = Vec::new();
        let refused = loop {
            match self.queue().loan(LEN) {
                Ok(mut loan) if loan.is_in_place() && loans.len() < most => {
                    loan.fill(7);
                    loans.push(loan);
                }
                Ok(_) => break None,
                Err(fault) => break Some(fault),
            }
        };
        if self.cell.transport().name() == "shm" {
            no_room(&refused.ok_or_else(|| format!("there was room after {} loans", loans.len()))?)?;
            if loans.len() * LEN < SIZE / 2 {
                return Err(format!("there was no room after {} loans", loans.len()));
            }
        }
        self.as_before(&[])?;
        loans.clear();
        let begin = Instant::now();
        while self.free()? + LEFT < before {
            if begin.elapsed() > PATIENCE {
                return Err(format!("of {before} free bytes {} came back from loans", self.free()?));
            }
            self.queue().stat().map_err(|error| error.to_string())?;
        }
        let long = message(1, 3 << 20);
        let mut loan = self.queue().loan(long.len).map_err(|fault| fault.to_string())?;
        loan.copy_from_slice(&long.bytes());
        self.queue().put_loan(&mut loan, Wait::No).map_err(|fault| fault.to_string())?;
        self.comes_out(&[long])
    }

    /// A batch that does not fit: a prefix is in.
    fn fill_in_a_batch(&self) -> Result<(), String> {
        let all: Vec<Message> = (0..400).map(|id| message(id, 50_000)).collect();
        let mut batch = Batch::new();
        for message in &all {
            batch.push(&message.bytes());
        }
        let begin = Instant::now();
        let (done, outcome) = self.queue().put_many(&batch, 0, Wait::timeout(PATIENCE));
        let took = begin.elapsed();
        no_room(&outcome.err().ok_or("20 MB went into 8")?)?;
        if took > 4 * AT_ONCE || done == 0 {
            return Err(format!("a batch stopped after {done} messages and {took:?}"));
        }
        self.comes_out(&all[..done])
    }

    /// A queue that cannot be made leaves nothing.
    fn create_on_a_full_disk(&self) -> Result<(), String> {
        let filler = self.take_all_room()?;
        let files = self.cell.files_now().map_err(|error| error.to_string())?;
        let other = QueueName::new("other").map_err(|error| error.to_string())?;
        match self.cell.transport().create(&other, &QueueOptions::new()) {
            Err(CreateError::Backend(error)) if error.is_no_room() => {}
            outcome => return Err(format!("create on a full disk says {outcome:?}")),
        }
        let (now, free) = (self.cell.files_now().map_err(|error| error.to_string())?, self.free()?);
        if now != files || free != 0 {
            return Err(format!("a failed create left {now:?} and {free} bytes free"));
        }
        std::fs::remove_file(filler).map_err(|error| error.to_string())?;
        let made = self.cell.transport().create(&other, &QueueOptions::new());
        let _held = made.map_err(|error| format!("with room again create says: {error}"))?;
        self.cell.transport().remove(&other).map_err(|error| error.to_string())
    }

    /// A message that cannot be kept until it is acknowledged stays where it is.
    fn hand_out_on_a_full_disk(&self) -> Result<(), String> {
        let name = QueueName::new("handed").map_err(|error| error.to_string())?;
        let transport = self.cell.transport();
        let made = transport.create(&name, &QueueOptions::new().acknowledged(true));
        let queue = made.map_err(|error| error.to_string())?;
        let (first, bytes) = (message(1, 1 << 20), &mut Vec::new());
        for message in [first, message(2, 100)] {
            queue.put(&[&message.bytes()], Wait::No).map_err(|fault| fault.to_string())?;
        }
        let filler = self.take_all_room()?;
        for _ in 0..3 {
            let begin = Instant::now();
            match queue.get_delivery(bytes, Wait::timeout(PATIENCE)) {
                Err(GetFault::Backend(error)) if error.is_no_room() && begin.elapsed() < AT_ONCE => {}
                other => return Err(format!("on a full disk {other:?} after {:?}", begin.elapsed())),
            }
            let counts = (queue.len().ok(), queue.in_flight().ok());
            if counts != (Some(2), Some(0)) {
                return Err(format!("after that there are {counts:?}"));
            }
        }
        std::fs::remove_file(filler).map_err(|error| error.to_string())?;
        let tag = queue.get_delivery(bytes, Wait::No).map_err(|fault| fault.to_string())?;
        if Message::read(bytes)? != first || tag.redeliveries != 0 {
            return Err("with room again another message was handed out".to_owned());
        }
        transport.remove(&name).map_err(|error| error.to_string())
    }

    /// A segment with holes in it, as somebody may make one; returns how many kinds of hole were tried. Queues of other
    /// transports end when nobody holds them, before anybody could find the hole.
    fn open_with_holes(&self) -> Result<usize, String> {
        let name = QueueName::new("holes").map_err(|error| error.to_string())?;
        let transport = self.cell.transport();
        if transport.capabilities().lifetime != Lifetime::UntilRemoved {
            return Ok(0);
        }
        for at in HOLES {
            let made = transport.create(&name, &QueueOptions::new()).map_err(|error| error.to_string())?;
            made.put(&[b"in the first chunk"], Wait::No).map_err(|fault| fault.to_string())?;
            drop(made);
            let new = self.cell.files_now().map_err(|error| error.to_string())?;
            let file = new.difference(&self.cell.files).next().ok_or("the queue has no file")?;
            let file = self.directory.join("queues").join(file);
            let file = File::options().write(true).open(file).map_err(|error| error.to_string())?;
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(&file, hole, at, 4096).map_err(|error| error.to_string())?;
            drop(file);
            let filler = self.take_all_room()?;
            match transport.open(&name) {
                Err(OpenError::Backend(error)) if error.is_no_room() => {}
                other => return Err(format!("with a hole at {at} open says {other:?}")),
            }
            std::fs::remove_file(filler).map_err(|error| error.to_string())?;
            transport.remove(&name).map_err(|error| format!("with a hole at {at} remove says {error}"))?;
        }
        Ok(HOLES.len())
    }

    fn put(&self, message: Message) -> Result<(), PutFault> {
        let bytes = message.bytes();
        let begin = Instant::now();
        let outcome = self.queue().put(&[&bytes], Wait::timeout(PATIENCE));
        assert!(outcome.is_ok() || begin.elapsed() < AT_ONCE, "it took {:?} to say no", begin.elapsed());
        outcome
    }

    fn as_before(&self, held: &[Message]) -> Result<(), String> {
        let len = self.queue().len().map_err(|error| error.to_string())?;
        let full = self.queue().is_full().map_err(|error| error.to_string())?;
        let same = len == held.len() && !full;
        same.then_some(())
            .ok_or_else(|| format!("{} messages were put, len is {len}, is_full {full}", held.len()))
    }

    fn comes_out(&self, held: &[Message]) -> Result<(), String> {
        let (out, _) = drain(self.queue())?;
        (out == held)
            .then_some(())
            .ok_or_else(|| format!("{} messages came out of {}", out.len(), held.len()))
    }

    /// Writes a file until nothing is free.
    fn take_all_room(&self) -> Result<std::path::PathBuf, String> {
        let path = self.directory.join("filler");
        let mut file = File::create(&path).map_err(|error| error.to_string())?;
        while file.write_all(&[1; 4096]).is_ok() {}
        match self.free()? {
            0 => Ok(path),
            free => Err(format!("{free} bytes are still free")),
        }
    }
}

fn no_room(fault: &PutFault) -> Result<(), String> {
    match fault {
        PutFault::Backend(error) if error.is_no_room() => Ok(()),
        other => Err(format!("a put without room says: {other:?}")),
    }
}
