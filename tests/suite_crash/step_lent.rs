//! Kills at every instruction of what a process does with messages that are built and read in place (Q15): they are wholly
//! there or not at all, and their memory is given back.

use std::time::Duration;

use crate::laboratory;
use crate::stepping::{Least, survives};

/// Of those that lend their memory.
const SHM: &str = "shm";

const fn least(shm: usize) -> Least {
    Least { shm, pipe: 0 }
}

mod shm {
    use super::*;

    /// What nobody had before.
    #[test]
    fn q15_lending_for_the_first_time() {
        survives(SHM, "lend_first", least(800));
    }

    /// What was lent before.
    #[test]
    fn q15_lending_again() {
        survives(SHM, "lend_again", least(200));
    }

    /// What a process has that died.
    #[test]
    fn q15_lending_what_a_dead_process_had() {
        survives(SHM, "lend_after_death", least(300));
    }

    #[test]
    fn q15_putting_what_was_built() {
        survives(SHM, "lent_put", least(200));
    }

    #[test]
    fn q15_getting_in_place() {
        survives(SHM, "lent_get", least(200));
    }

    #[test]
    fn q15_copying_what_was_built_in_place() {
        survives(SHM, "lent_copy", least(200));
    }

    #[test]
    fn q15_copying_many() {
        survives(SHM, "lent_copy_many", least(300));
    }

    #[test]
    fn q15_giving_back_what_was_built() {
        survives(SHM, "lent_drop_built", least(50));
    }

    #[test]
    fn q15_giving_back_what_was_got() {
        survives(SHM, "lent_drop_got", least(50));
    }

    /// After a process that died in the middle of it.
    #[test]
    fn q15_lending_after_a_dead_lender() {
        survives(SHM, "recover_lend_lend", least(300));
    }

    #[test]
    fn q15_put_after_a_dead_lender() {
        survives(SHM, "recover_lend_put", least(200));
    }

    #[test]
    fn q15_putting_in_place_after_a_dead_putter() {
        survives(SHM, "recover_place_place", least(200));
    }

    #[test]
    fn q15_get_after_a_dead_putter_in_place() {
        survives(SHM, "recover_place_get", least(100));
    }

    /// Nothing piles up, however many die.
    #[test]
    fn q15_memory_of_dead_borrowers() {
        for scenario in ["lend_again", "lent_put", "lent_get", "lent_copy", "lent_drop_got"] {
            let outcome = laboratory::run(&["leaks", scenario, SHM], Duration::from_secs(120));
            let (places, deaths) = (outcome.number("places"), outcome.number("deaths"));
            assert!(deaths >= places * 12, "only {deaths} deaths at {places} places");
        }
    }
}
