//! Joins: waiting until what was put before has left for good.

use crate::broker::{Broker, Sink, Slot};
use crate::session::Parked;
use crate::wire::{Request, Status};

impl Broker {
    /// The join that `request` asks for. One that was interrupted waits for what it waited for before.
    pub(crate) fn prepare_join(&self, slot: Slot, request: Request) -> Parked {
        let end = self.progress_of(slot, request.id).unwrap_or(self.puts);
        Parked::Join { request, end }
    }

    /// Whether all messages with numbers below `end` have left for good.
    pub(crate) fn join_status(&self, end: u64) -> Status {
        if self.removed {
            Status::Gone
        } else if self.first_unsettled() >= end {
            Status::Ok
        } else {
            Status::Unfinished
        }
    }

    /// Answers the joins that have come to their end.
    pub(crate) fn end_joins(&mut self, sink: &mut impl Sink) {
        if self.joiners.is_empty() {
            return;
        }
        let status = |slot: &Slot| match self.sessions.get(slot)?.parked.as_ref()? {
            Parked::Join { end, .. } => Some(self.join_status(*end)),
            _ => None,
        };
        let ended = |slot: &Slot| status(slot).filter(|status| *status != Status::Unfinished);
        let ended: Vec<_> = self.joiners.iter().filter_map(|slot| Some((*slot, ended(slot)?))).collect();
        for (slot, status) in ended {
            self.joiners.retain(|waiting| *waiting != slot);
            if let Some(parked) = self.take_parked(slot) {
                self.finish(slot, &parked, status, sink);
            }
        }
    }
}
