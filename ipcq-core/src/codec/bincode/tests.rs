//! What the codec writes and reads, and what it refuses.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

fn encoded<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut scratch = b"left from before".to_vec();
    Bincode.encode(value, &mut scratch).map(<[u8]>::to_vec)
}

fn decoded<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeFailure> {
    Bincode.decode(bytes)
}

fn travels<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let bytes = encoded(&value).unwrap();
    let standard = ::bincode::serde::encode_to_vec(&value, ::bincode::config::standard()).unwrap();
    assert!(bytes == standard, "not the format of bincode");
    assert!(decoded::<T>(&bytes).unwrap() == value, "another value came back");
}

fn refusal<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> String {
    decoded::<T>(bytes).map(|_| ()).unwrap_err().to_string()
}

/// One of everything that serde knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rich {
    numbers: (u8, i16, u32, i64, u128, i128),
    float: f64,
    flag: bool,
    letter: char,
    text: String,
    boxed: Box<str>,
    bytes: Vec<u8>,
    maybe: Option<Vec<Option<String>>>,
    map: BTreeMap<String, Vec<u64>>,
    kind: Kind,
    kinds: Vec<Kind>,
    unit: (),
    time: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(String),
    Tuple(u8, i64),
    Struct { left: Box<Kind>, right: Option<Box<Kind>> },
}

fn kind() -> impl Strategy<Value = Kind> {
    let leaf = prop_oneof![
        Just(Kind::Unit),
        any::<String>().prop_map(Kind::New),
        any::<(u8, i64)>().prop_map(|(a, b)| Kind::Tuple(a, b)),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        (inner.clone(), proptest::option::of(inner))
            .prop_map(|(left, right)| Kind::Struct { left: Box::new(left), right: right.map(Box::new) })
    })
}

prop_compose! {
    fn rich()(
        numbers in any::<(u8, i16, u32, i64, u128, i128)>(),
        (float, flag, letter) in (-1e300..1e300, any::<bool>(), any::<char>()),
        (text, boxed) in any::<(String, Box<str>)>(),
        bytes in any::<Vec<u8>>(),
        maybe in any::<Option<Vec<Option<String>>>>(),
        map in proptest::collection::btree_map(any::<String>(), any::<Vec<u64>>(), 0..4),
        (kind, kinds) in (kind(), proptest::collection::vec(kind(), 0..4)),
        time in any::<Duration>(),
    ) -> Rich {
        Rich { numbers, float, flag, letter, text, boxed, bytes, maybe, map, kind, kinds, unit: (), time }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_value_comes_back_as_it_was(value in rich()) {
        travels(value);
    }

    #[test]
    fn a_part_of_a_message_is_an_error(value in rich(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&value).unwrap();
        prop_assert!(decoded::<Rich>(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_message_and_more_is_an_error(value in rich(), more in 1..100_usize) {
        let mut bytes = encoded(&value).unwrap();
        bytes.resize(bytes.len() + more, 0);
        prop_assert_eq!(refusal::<Rich>(&bytes), format!("{more} bytes follow the message"));
    }

    #[test]
    fn changed_bytes_give_a_value_or_an_error(
        value in rich(),
        changes in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..8),
    ) {
        let mut bytes = encoded(&value).unwrap();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(other) = decoded::<Rich>(&bytes) {
            // Numbers may be written longer than needed, so not the bytes but the value must come back.
            let again: Rich = decoded(&encoded(&other).unwrap()).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{other:?}"));
        }
    }

    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in any::<Vec<u8>>()) {
        if let Ok(value) = decoded::<Kind>(&bytes) {
            prop_assert_eq!(decoded::<Kind>(&encoded(&value).unwrap()).unwrap(), value);
        }
    }
}

#[test]
fn large_values_are_not_refused() {
    travels(vec![1_u64; 1_000_000]);
    travels("x".repeat(10 << 20));
    travels(vec![(); 1_000_000]);
    travels(vec![Some(()); 100_000]);
    travels((0..100_000_u32).map(|n| (n, ())).collect::<HashMap<_, _>>());
    travels((0..100_000_u32).map(|n| (n.to_string(), vec![n])).collect::<HashMap<_, _>>());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct List(Option<Box<List>>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node(Vec<Tree>),
}

fn list(len: usize) -> List {
    (0..len).fold(List(None), |tail, _| List(Some(Box::new(tail))))
}

fn deep_tree(depth: usize) -> Tree {
    (0..depth).fold(Tree::Leaf, |inner, _| Tree::Node(vec![inner]))
}

#[test]
fn nesting_is_bounded_in_both_directions() {
    // A node of the list is a struct and a `Some`, the last a struct only; a node of the tree a variant and a
    // sequence.
    travels(list(63));
    travels(deep_tree(64));
    for error in [encoded(&list(64)).unwrap_err(), encoded(&deep_tree(65)).unwrap_err()] {
        assert!(error.to_string().contains(TOO_DEEP), "{error}");
    }
    assert_eq!(refusal::<List>(&[1; 1_000_000]), TOO_DEEP);
    assert_eq!(refusal::<Tree>(&[1; 1_000_000]), TOO_DEEP);
}

#[test]
fn the_deepest_message_fits_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let deepest = thread.spawn(|| {
        travels(deep_tree(64));
        (refusal::<Tree>(&[1; 1000]), refusal::<List>(&[1; 1000]))
    });
    assert_eq!(deepest.unwrap().join().unwrap(), (TOO_DEEP.to_owned(), TOO_DEEP.to_owned()));
}

#[test]
fn nesting_counts_levels_and_not_neighbours() {
    travels(vec![list(20); 1000]);
    travels(vec![deep_tree(20); 1000]);
    travels((0..1000).map(|n| (n, deep_tree(20))).collect::<BTreeMap<u32, _>>());
}

#[test]
fn elements_that_take_no_bytes_are_bounded_in_both_directions() {
    assert!(encoded(&vec![(); Bincode::MAX_EMPTY]).is_ok());
    let error = encoded(&vec![(); Bincode::MAX_EMPTY + 1]).unwrap_err();
    assert!(error.to_string().contains(TOO_MANY_EMPTY), "{error}");
    let halves = vec![vec![(); Bincode::MAX_EMPTY / 2 + 1]; 2];
    assert!(encoded(&halves).is_err());
}

/// An element that takes no bytes in a message, and many in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Padded {
    #[serde(skip)]
    padding: [u64; 16],
}

#[test]
fn elements_that_take_memory_and_no_bytes_count_by_their_memory() {
    let most = Bincode::MAX_EMPTY / size_of::<Padded>();
    travels(vec![Padded { padding: [0; 16] }; most]);
    let claim = encoded(&u64::try_from(most + 1).unwrap()).unwrap();
    assert_eq!(refusal::<Vec<Padded>>(&claim), TOO_MANY_EMPTY);
}

/// Two numbers, which counts how many such were read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Counted(u64, #[serde(deserialize_with = "counted")] u64);

thread_local!(static COUNTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

fn counted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    COUNTED.set(COUNTED.get() + 1);
    u64::deserialize(deserializer)
}

#[test]
fn no_elements_are_made_of_what_is_not_there() {
    for refusal in [refusal::<Vec<Counted>>, refusal::<BTreeMap<u8, Counted>>] {
        COUNTED.set(0);
        let message = [&[251, 0xe8, 3][..], &[253; 1000]].concat();
        assert_eq!(refusal(&message), ENDS_EARLY);
        assert!(COUNTED.get() <= 1000 / 18 + 1, "{} elements", COUNTED.get());
    }
}

#[test]
fn what_a_type_says_of_a_value_that_is_not_there_does_not_hide_that() {
    assert_eq!(refusal::<std::num::NonZeroU64>(&[]), ENDS_EARLY);
    assert_eq!(refusal::<(u64, std::num::NonZeroU8)>(&[253, 1]), ENDS_EARLY);
    assert_eq!(refusal::<(bool, std::num::NonZeroU8)>(&[7, 1]), NO_TRUTH);
    assert!(refusal::<std::num::NonZeroU64>(&[0]).contains("nonzero"));
}

#[test]
fn what_is_wrong_is_said_for_people() {
    assert_eq!(refusal::<u8>(&[]), ENDS_EARLY);
    assert_eq!(refusal::<String>(&[5, b'a']), ENDS_EARLY);
    assert_eq!(refusal::<bool>(&[2]), "a truth value is neither 0 nor 1");
    assert_eq!(refusal::<Option<u8>>(&[2, 0]), "2 tells neither none nor some");
    assert_eq!(refusal::<u16>(&[252, 0, 0, 0, 0]), "a number is too wide for its type");
    assert_eq!(refusal::<char>(&[0xff]), "a character is not valid UTF-8");
    assert!(refusal::<String>(&[1, 0xff]).contains("utf-8"));
}

#[test]
fn numbers_are_written_as_bincode_writes_them_at_every_width() {
    let edges = [0, 1, 250, 251, 252, 255, 256, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 32, u64::MAX];
    for number in edges.into_iter().flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]) {
        travels(number);
        travels(u32::try_from(number).unwrap_or(u32::MAX));
        travels(u16::try_from(number).unwrap_or(u16::MAX));
        for half in [number / 2, number / 2 + 1] {
            let signed = half.cast_signed();
            for signed in [signed, signed.wrapping_neg(), i64::MIN, i64::MAX] {
                travels(signed);
                travels(i32::try_from(signed).unwrap_or(i32::MIN));
                travels(i16::try_from(signed).unwrap_or(i16::MIN));
            }
        }
    }
}

#[test]
fn a_number_that_is_too_wide_or_cut_short_is_an_error() {
    for (tag, len) in [(251_u8, 2), (252, 4), (253, 8), (254, 16)] {
        let bytes = [vec![tag], vec![0; len]].concat();
        assert_eq!(decoded::<u16>(&bytes).is_ok(), tag <= 251);
        assert_eq!(decoded::<i32>(&bytes).is_ok(), tag <= 252);
        assert_eq!(decoded::<u64>(&bytes).is_ok(), tag <= 253);
        assert_eq!(decoded::<u128>(&bytes).is_ok(), tag <= 254);
        assert_eq!(refusal::<u128>(&bytes[..len]), ENDS_EARLY);
        assert_eq!(refusal::<i64>(&bytes[..len]), if tag <= 253 { ENDS_EARLY } else { TOO_WIDE });
    }
    assert_eq!(refusal::<u64>(&[255; 17]), TOO_WIDE);
}
