//! Every generated script on an acknowledged queue comes to the same on the model, in memory and over every transport, step
//! by step; holders that die in it are processes that are killed.

use std::time::Duration;

use ipcq_core::Transport;
use ipcq_core::conformance::Watchdog;
use ipcq_core::memory::MemoryTransport;
use ipcq_tests::deliveries::{Script, check, hold, script};
use proptest::prelude::*;

use crate::place::Place;

/// Steps of the longest script.
const STEPS: usize = 60;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn deliveries_in_memory_agree_with_the_model(script in script(STEPS)) {
        let _watchdog = Watchdog::start("a script in memory", Duration::from_secs(60));
        let transport = MemoryTransport::new();
        // The process is the only holder: one that dies gives back what it had.
        let die = |count| {
            let queue = transport.open(&"q".parse().expect("a legal name")).expect("the queue is there");
            for tag in hold(&*queue, count) {
                queue.give_back(&tag).expect("it is held");
            }
        };
        check(&transport, &script, die).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn deliveries_in_shared_memory_agree_with_the_model(script in script(STEPS)) {
        agree("shm", &script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn deliveries_over_pipes_agree_with_the_model(script in script(STEPS)) {
        agree("pipe", &script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn deliveries_over_sockets_agree_with_the_model(script in script(STEPS)) {
        agree("zmq", &script).map_err(TestCaseError::fail)?;
    }
}

/// Runs a script with holders that are processes.
fn agree(transport: &str, script: &Script) -> Result<(), String> {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start(&format!("a script on {transport}"), Duration::from_secs(60));
    let die = |count: usize| {
        let mut holder = place.start("hold", &["q", &count.to_string()]);
        assert_eq!(holder.hear(), "held");
        holder.kill();
    };
    check(&*place.transport, script, die)
}
