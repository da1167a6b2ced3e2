//! Every generated script comes to the same on the model, in memory, in shared memory, over pipes and over
//! ZeroMQ sockets, step by step.

use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::memory::MemoryTransport;
use ipcq_tests::script::{check, script};
use proptest::prelude::*;

use crate::place::Place;

/// Steps of the longest script.
const STEPS: usize = 80;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn memory_agrees_with_the_model(script in script(STEPS)) {
        let _watchdog = Watchdog::start("a script in memory", Duration::from_secs(60));
        check(&MemoryTransport::new(), &script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn shared_memory_agrees_with_the_model(script in script(STEPS)) {
        let _watchdog = Watchdog::start("a script in shared memory", Duration::from_secs(60));
        check(&*Place::new("shm").transport, &script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn pipes_agree_with_the_model(script in script(STEPS)) {
        // A process that another test starts has all that this one has open until it runs its program, and a queue over
        // a pipe lives as long as anybody has it.
        let place = Place::alone("pipe");
        let _watchdog = Watchdog::start("a script over pipes", Duration::from_secs(60));
        check(&*place.transport, &script).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn zeromq_agrees_with_the_model(script in script(STEPS)) {
        let _watchdog = Watchdog::start("a script over ZeroMQ", Duration::from_secs(60));
        check(&*Place::new("zmq").transport, &script).map_err(TestCaseError::fail)?;
    }
}
