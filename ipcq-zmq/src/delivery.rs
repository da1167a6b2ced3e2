//! Deliveries and joins, as requests.

use ipcq_core::os::process;
use ipcq_core::{BackendError, BackendErrorKind, DeliveryFault, DeliveryTag, GetFault, JoinFault, Wait};

use crate::client::{Client, Failed};
use crate::past::Patience;
use crate::wire::{DELIVERY, Op, Status};

impl Client {
    /// Gets one message, to be acknowledged.
    pub(crate) fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        self.check_acknowledged()?;
        let got = self.with_connection(wait, |connection| self.get_as(connection, message, DELIVERY, wait));
        let haul = got.unwrap_or_else(|failed| Err(self.get_fault(failed, wait)))?;
        let redeliveries = u32::try_from(haul.redeliveries).map_err(|_| self.nonsense())?;
        Ok(DeliveryTag::new(haul.left, redeliveries).at(0, process::epoch()))
    }

    /// Acknowledges a delivery, or gives it back, as `op` says. Waits for a broker that is stopped.
    pub(crate) fn settle(&self, op: Op, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.check_acknowledged()?;
        if tag.holder != process::epoch() {
            return Err(DeliveryFault::NotHeld);
        }
        let reply = self.with_connection(Wait::Forever, |connection| {
            let mut request = Self::request(connection, op, Wait::Forever);
            (request.a, request.b) = (tag.number, tag.redeliveries.into());
            self.exchange(connection, &request, &[])
        });
        let reply = reply.map_err(|failed| self.plain(failed))?;
        match Status::parse(reply.header.code) {
            Some(Status::Ok) => Ok(()),
            Some(Status::Expired) => Err(DeliveryFault::Expired),
            Some(Status::NotHeld) => Err(DeliveryFault::NotHeld),
            Some(Status::Gone) => Err(self.removed().into()),
            _ => Err(self.nonsense().into()),
        }
    }

    /// Waits until every message put before has left for good.
    pub(crate) fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.check_acknowledged()?;
        let patience = Patience::of(wait);
        let wait = patience.wait;
        let reply = self.with_connection(wait, |connection| {
            let request = Self::request(connection, Op::Join, wait);
            self.exchange(connection, &request, &[])
        });
        let outcome = match reply {
            Ok(reply) => match Status::parse(reply.header.code) {
                Some(Status::Ok) => Ok(()),
                Some(Status::Unfinished) => Err(JoinFault::Unfinished),
                Some(Status::Timeout) => Err(JoinFault::Timeout),
                Some(Status::Gone) => Err(self.removed().into()),
                _ => Err(self.nonsense().into()),
            },
            Err(Failed::GivenUp) if matches!(wait, Wait::Until(_)) => Err(JoinFault::Timeout),
            Err(failed) => Err(self.plain(failed).into()),
        };
        outcome.map_err(|fault| patience.join(fault))
    }

    fn removed(&self) -> BackendError {
        self.note_removal();
        self.gone()
    }

    fn check_acknowledged(&self) -> Result<(), BackendError> {
        if self.identity().acknowledged {
            return Ok(());
        }
        let what = "it was not made for acknowledged delivery";
        Err(self.error(BackendErrorKind::Unsupported, what).with_advice("make it with `acknowledged`"))
    }
}
