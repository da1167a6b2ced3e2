//! Messages that claim to be longer than they are, in a process that may have little memory and time.
//!
//! The test starts itself again under an address-space limit of 1 GiB and a limit on processor time: believing
//! one claim ends that process with a signal, and so does a loop that follows one.
#![cfg(feature = "bincode")]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::CString;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::Command;

use ipcq_core::memory::MemoryTransport;
use ipcq_core::{Bincode, Queue, QueueOptions, Wait};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const CHILD: &str = "IPCQ_TEST_HOSTILE_BYTES_CHILD";
const ADDRESS_SPACE_KIB: usize = 1 << 20;
const PROCESSOR_SECONDS: usize = 300;

#[test]
fn no_length_is_believed_beyond_the_bytes_left() {
    if std::env::var_os(CHILD).is_some() {
        return in_little_memory();
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {ADDRESS_SPACE_KIB} && ulimit -t {PROCESSOR_SECONDS} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "no_length_is_believed_beyond_the_bytes_left", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("claims checked: "), "the child checked nothing: {said}");
}

fn in_little_memory() {
    assert!(Vec::<u8>::new().try_reserve_exact(2 << 30).is_err(), "there is no limit on memory");
    let checked = text_and_bytes() + sequences() + maps() + nested() + without_bytes();
    memory_that_runs_out_is_an_error();
    eprintln!("claims checked: {checked}");
}

fn text_and_bytes() -> usize {
    refused::<String>(&[])
        + refused::<Box<str>>(&[])
        + refused::<Vec<u8>>(&[])
        + refused::<Box<[u8]>>(&[])
        + refused::<CString>(&[])
        + refused::<PathBuf>(&[])
        + refused::<Option<String>>(&[1])
        + refused::<(u8, String)>(&[7])
}

fn sequences() -> usize {
    refused::<Vec<u64>>(&[])
        + refused::<Vec<[u64; 32]>>(&[])
        + refused::<Vec<String>>(&[])
        + refused::<VecDeque<u32>>(&[])
        + refused::<LinkedList<u8>>(&[])
        + refused::<BinaryHeap<u8>>(&[])
        + refused::<HashSet<u8>>(&[])
        + refused::<BTreeSet<String>>(&[])
}

fn maps() -> usize {
    refused::<HashMap<String, String>>(&[])
        + refused::<HashMap<u8, Vec<u8>>>(&[])
        + refused::<BTreeMap<u64, u64>>(&[])
        + refused::<HashMap<u8, ()>>(&[])
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Named { inner: Vec<Kind>, text: String },
}

fn nested() -> usize {
    refused::<Vec<Vec<String>>>(&[1])
        + refused::<Vec<Vec<Vec<u8>>>>(&[1, 1])
        + refused::<HashMap<u8, HashMap<String, u8>>>(&[1, 9])
        + refused::<Kind>(&[0])
        + refused::<Kind>(&[0, 0])
        + refused::<Kind>(&[0, 1, 0])
}

/// Takes no bytes in a message, and many in memory.
#[derive(Serialize, Deserialize)]
struct Padded {
    #[serde(skip)]
    _padding: Option<[u128; 32]>,
}

/// Elements that take no bytes: as many as there may be are no error, more are.
fn without_bytes() -> usize {
    let most = u64::try_from(Bincode::MAX_EMPTY).unwrap();
    claims_above::<Vec<()>>(&[], most)
        + claims_above::<Vec<PhantomData<u64>>>(&[], most)
        + claims_above::<HashMap<(), ()>>(&[], most)
        + claims_above::<HashSet<()>>(&[], most)
        + claims_above::<Vec<Vec<()>>>(&[1], most)
        + claims_above::<Vec<Padded>>(&[], most / u64::try_from(size_of::<Padded>()).unwrap())
}

/// Checks that messages of `before`, then any claimed length, then too few bytes, are refused as a `T`.
fn refused<T: Serialize + DeserializeOwned>(before: &[u8]) -> usize {
    claims_above::<T>(before, 4)
}

fn claims_above<T: Serialize + DeserializeOwned>(before: &[u8], most: u64) -> usize {
    let queue = Queue::<T>::anonymous(&MemoryTransport::new(), &QueueOptions::new()).unwrap();
    let mut checked = 0;
    for length in lengths().filter(|length| *length > most) {
        for prefix in prefixes(length) {
            for after in [&[][..], &[1, 1], &[0, 0, 0, 0]] {
                is_refused(&queue, &[before, &prefix, after].concat());
                checked += 1;
            }
        }
    }
    checked
}

fn is_refused<T: Serialize + DeserializeOwned>(queue: &Queue<T>, message: &[u8]) {
    queue.channel().put(&[message], Wait::No).unwrap();
    let Err(error) = queue.try_get() else { panic!("{message:?} became a {}", std::any::type_name::<T>()) };
    assert!(error.is_decode(), "{error}");
    assert_eq!(error.bytes(), Some(message));
    assert_eq!(error.into_bytes().unwrap(), message);
    assert_eq!(queue.len().unwrap(), 0);
}

/// Every power of two and its neighbours, up to the largest number.
fn lengths() -> impl Iterator<Item = u64> {
    (0..64)
        .flat_map(|bit| {
            let power = 1_u64 << bit;
            [power.wrapping_sub(1), power, power.saturating_add(1)]
        })
        .chain([u64::MAX - 1, u64::MAX, isize::MAX.cast_unsigned() as u64])
}

/// All the ways in which bincode can write a length, the longer than needed among them.
fn prefixes(length: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    if let Ok(byte @ ..251) = u8::try_from(length) {
        all.push(vec![byte]);
    }
    if let Ok(short) = u16::try_from(length) {
        all.push([&[251][..], &short.to_le_bytes()].concat());
    }
    if let Ok(word) = u32::try_from(length) {
        all.push([&[252][..], &word.to_le_bytes()].concat());
    }
    all.push([&[253][..], &length.to_le_bytes()].concat());
    all.push([&[254][..], &u128::from(length).to_le_bytes()].concat());
    all.push([&[255][..], &length.to_le_bytes()].concat());
    all
}

/// Writes the same text many times, so that its bytes need more memory than it has itself.
#[derive(Deserialize)]
struct Repeated(String);

impl Serialize for Repeated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::repeat_n(&self.0, 4096))
    }
}

fn memory_that_runs_out_is_an_error() {
    let options = QueueOptions::new();
    let queue = Queue::<Repeated>::anonymous(&MemoryTransport::new(), &options).unwrap();
    let refused = queue.put(Repeated("x".repeat(1 << 20))).unwrap_err();
    assert!(refused.backend().is_some_and(|error| error.is_no_room()), "{refused}");
    assert_eq!(refused.into_inner().0.len(), 1 << 20);
    assert!(queue.put(Repeated(String::new())).is_ok(), "the queue does not work after memory ran out");
}
