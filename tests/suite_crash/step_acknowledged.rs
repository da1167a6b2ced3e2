//! Kills at every instruction of what is done to a delivery (Q20): a message that is not acknowledged is back in its
//! place, and one that is, gone. Only backends whose messages lie in shared memory are here.

use crate::stepping::{Least, survives};

/// Makes each function a test on each of these backends, with the least number of boundaries there.
macro_rules! on_each_backend {
    ($($behaviour:ident = $scenario:literal, $shm:literal, $pipe:literal;)+) => {
        mod shm {
            $(#[test] fn $behaviour() {
                super::survives("shm", $scenario, super::Least { shm: $shm, pipe: $pipe });
            })+
        }
        mod pipe {
            $(#[test] fn $behaviour() {
                super::survives("pipe", $scenario, super::Least { shm: $shm, pipe: $pipe });
            })+
        }
    };
}

on_each_backend! {
    q20_handing_out = "deliver", 500, 700;
    q20_handing_out_a_long_message = "deliver_long", 20, 20;
    q20_handing_out_again = "deliver_again", 400, 600;
    q20_handing_out_what_a_dead_holder_had = "deliver_of_a_dead_holder", 500, 800;
    q20_taking_for_good = "take", 300, 450;
    q20_taking_for_good_what_came_back = "take_again", 300, 500;
    q20_acknowledging = "acknowledge", 200, 250;
    q20_giving_back = "give_back", 200, 220;
    q20_moving_to_the_dead_letters = "bury", 1500, 1500;
    q20_repairing_a_handing_out = "recover_deliver_deliver", 100, 200;
    q20_repairing_a_get_for_good = "recover_take_deliver", 100, 100;
    q20_repairing_for_a_get_for_good = "recover_deliver_take", 100, 150;
}
