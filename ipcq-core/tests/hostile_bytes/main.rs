//! Messages that claim to be longer than they are, in a process that may have little memory and time.
//!
//! The test starts itself again under an address-space limit of 1 GiB and a limit on processor time: believing
//! one claim ends that process with a signal, and so does a loop that follows one.
#![cfg(all(feature = "bincode", feature = "postcard"))]

use std::process::Command;

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
    eprintln!("claims checked: {} and {}", bincode::checked(), postcard::checked());
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

mod bincode {
    use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
    use std::ffi::CString;
    use std::marker::PhantomData;
    use std::path::PathBuf;

    use ipcq_core::memory::MemoryTransport;
    use ipcq_core::{Bincode as Chosen, Queue, QueueOptions, Wait};
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    include!("claims.rs");

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
}

mod postcard {
    use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
    use std::ffi::CString;
    use std::marker::PhantomData;
    use std::path::PathBuf;

    use ipcq_core::memory::MemoryTransport;
    use ipcq_core::{Postcard as Chosen, Queue, QueueOptions, Wait};
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    include!("claims.rs");

    /// Seven bits a byte, the lowest first; the longer than needed among them.
    fn prefixes(length: u64) -> Vec<Vec<u8>> {
        let needed = (64 - length.leading_zeros()).div_ceil(7).max(1) as usize;
        let written = |bytes: usize| -> Vec<u8> {
            let more = |at: usize| if at + 1 < bytes { 0x80 } else { 0 };
            let shifted = |at: usize| u32::try_from(7 * at).ok().and_then(|bits| length.checked_shr(bits));
            (0..bytes).map(|at| shifted(at).unwrap_or(0).to_le_bytes()[0] & 0x7f | more(at)).collect()
        };
        [needed, needed + 1, 11].into_iter().map(written).collect()
    }
}
