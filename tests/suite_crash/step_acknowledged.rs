//! Kills at every instruction of what is done to a delivery (Q20): a message that is not acknowledged is back in its
//! place, and one that is, gone. Backends that have no acknowledged delivery are not here.

/// Makes each function a test on shared memory.
macro_rules! on_shared_memory {
    ($($behaviour:ident = $scenario:literal, $least:literal;)+) => {
        mod shm {
            $(#[test] fn $behaviour() {
                crate::stepping::survives("shm", $scenario, crate::stepping::Least { shm: $least, pipe: 0 });
            })+
        }
    };
}

on_shared_memory! {
    q20_handing_out = "deliver", 500;
    q20_handing_out_a_long_message = "deliver_long", 20;
    q20_handing_out_again = "deliver_again", 400;
    q20_handing_out_what_a_dead_holder_had = "deliver_of_a_dead_holder", 500;
    q20_taking_for_good = "take", 300;
    q20_taking_for_good_what_came_back = "take_again", 300;
    q20_acknowledging = "acknowledge", 200;
    q20_giving_back = "give_back", 200;
    q20_moving_to_the_dead_letters = "bury", 60;
    q20_repairing_a_handing_out = "recover_deliver_deliver", 100;
    q20_repairing_a_get_for_good = "recover_take_deliver", 100;
    q20_repairing_for_a_get_for_good = "recover_deliver_take", 100;
}
