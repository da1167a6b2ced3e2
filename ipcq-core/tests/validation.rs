//! Names, options and waits: what is legal, and what is said of what is not.

use std::time::{Duration, Instant};

use ipcq_core::{Capabilities, Capacity, CreateError, Lifetime, QueueName, QueueOptions, Wait};
use proptest::prelude::*;

fn rule_broken_by(name: &str) -> String {
    let error = QueueName::new(name).unwrap_err();
    assert_eq!(error.name(), name);
    error.to_string()
}

#[test]
fn legal_names_stay_as_they_are() {
    let longest = "x".repeat(QueueName::MAX_LEN);
    for name in ["a", "Z9", "_", "_.-", "jobs.today", "0", "a..b", "con", &longest] {
        let made: QueueName = name.parse().unwrap();
        assert_eq!((made.as_str(), made.to_string().as_str(), made.as_ref()), (name, name, name));
        assert_eq!(String::from(made), name);
    }
}

#[test]
fn illegal_names_are_refused_by_their_rule() {
    assert_eq!(rule_broken_by(""), r#""" is not a queue name: a queue name must not be empty"#);
    assert!(rule_broken_by(&"x".repeat(201)).contains("at most 200 characters"));
    for name in [".", "..", ".hidden", "-t", "../jobs"] {
        assert!(rule_broken_by(name).contains("must not begin with '.' or '-'"));
    }
    for name in ["a/b", "a b", "a\0", "a\n", "ä", "jobs:1", "a\\b", "~", "*"] {
        assert!(rule_broken_by(name).contains("consists of letters, digits"));
    }
}

#[test]
fn a_refused_name_is_shown_only_in_part() {
    let shown = rule_broken_by(&"/".repeat(10_000));
    assert!(shown.len() < 200, "{shown}");
    assert!(shown.contains("\"... is not a queue name"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_never_reaches_outside_a_directory(text in any::<String>()) {
        if let Ok(name) = QueueName::new(text) {
            let path = std::path::Path::new("directory").join(name.as_str());
            prop_assert_eq!(path.parent(), Some(std::path::Path::new("directory")));
            prop_assert_eq!(path.components().count(), 2);
        }
    }

    #[test]
    fn names_of_legal_characters_are_legal(name in "[A-Za-z0-9_][A-Za-z0-9._-]{0,199}") {
        prop_assert!(QueueName::new(name).is_ok());
    }
}

const SMALL: Capabilities = Capabilities::new(Lifetime::UntilRemoved, 10, 100);

fn settled(options: &QueueOptions) -> Result<usize, String> {
    options.settle("small", &SMALL).map_err(|error| error.to_string())
}

fn fitting() -> QueueOptions {
    QueueOptions::new().capacity(10).max_message(100)
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let options = QueueOptions::default();
    assert_eq!(options.wanted_capacity(), Capacity::Exactly(1000));
    assert_eq!(options.message_limit(), 1 << 30);
    assert_eq!((options.mode_bits(), options.closes_by_itself()), (0o600, false));
    assert_eq!(options.codec_name(), "bytes");
}

#[test]
fn a_capacity_that_a_setting_forbids_names_the_setting() {
    let can = SMALL.with_capacity_setting("fs.some-setting");
    let error = fitting().capacity(11).settle("small", &can).expect_err("it holds 10").to_string();
    assert!(
        error.contains("(the largest is 10, which follows from the system's fs.some-setting:"),
        "{error}"
    );
}

#[test]
fn what_fits_is_settled() {
    assert_eq!(settled(&fitting()), Ok(10));
    assert_eq!(settled(&fitting().capacity(1)), Ok(1));
    assert_eq!(settled(&fitting().capacity(Capacity::Max)), Ok(10));
    assert_eq!(settled(&fitting().max_message(0)), Ok(10));
    assert_eq!(settled(&fitting().mode(0o660).auto_close(true).codec("json")), Ok(10));
    assert_eq!(settled(&fitting().mode(0o666).codec(&"x".repeat(32))), Ok(10));
}

#[test]
fn what_the_transport_cannot_do_is_named_with_its_limit() {
    let cannot = |what| Err(format!("the small transport cannot make this queue: it does not offer {what}"));
    assert_eq!(settled(&fitting().capacity(11)), cannot("a capacity of 11 messages (the largest is 10)"));
    assert_eq!(settled(&fitting().max_message(101)), cannot("messages of 101 bytes (the longest is 100)"));
    assert_eq!(settled(&fitting().acknowledged(true)), cannot("acknowledged delivery"));
    let mut never = SMALL;
    never.auto_close = false;
    let refused = fitting().auto_close(true).settle("small", &never).unwrap_err();
    assert!(matches!(refused, CreateError::Unsupported { transport: "small", .. }));
}

#[test]
fn what_no_queue_can_be_is_invalid() {
    let long = "x".repeat(33);
    for options in [
        fitting().capacity(0),
        fitting().mode(0o600 | 0o001),
        fitting().mode(0),
        fitting().codec(""),
        fitting().codec("two words"),
        fitting().codec(&long),
    ] {
        assert!(matches!(options.settle("small", &SMALL), Err(CreateError::Invalid { .. })), "{options:?}");
    }
}

#[test]
fn waits_end_when_they_say() {
    assert_eq!(Wait::timeout(Duration::MAX), Wait::Forever);
    assert_eq!(Wait::Forever.remaining(), None);
    assert!(!Wait::Forever.is_over());
    assert_eq!(Wait::No.remaining(), Some(Duration::ZERO));
    assert!(Wait::No.is_over());

    let now = Instant::now();
    assert!(Wait::from(now).is_over());
    let later = Wait::timeout(Duration::from_secs(3600));
    assert!(!later.is_over());
    let left = later.remaining().unwrap();
    assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(1800));
    assert_eq!(Wait::from(now), Wait::Until(now));
}
