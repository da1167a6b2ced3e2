//! ipcq with a small struct through the codec.

use ipcq_cli::measure::job::{Job, Report, ensure, now};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::{Codec, DefaultCodec, Queue, QueueOptions, Transport};
use serde::{Deserialize, Serialize};

use super::{Running, Setting};
use crate::scenario::TYPED_SIZE;

/// The number under which a process inherits the queue of the messages, after those for jobs and reports.
const FORTH: usize = 2;

/// A message such as programs have: 32 bytes with the default codec, nearly always.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u64,
    price: f64,
    amount: Option<u32>,
    buys: bool,
    symbol: [u8; 3],
    account: u64,
}

impl Order {
    /// Order number `number`; the same wherever it is made.
    fn new(number: u64) -> Self {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 << 63;
        let low = u32::try_from(mixed & 0xffff_ffff).unwrap_or(0);
        Self {
            number: number | 1 << 40,
            price: f64::from(low) / 100.0,
            amount: Some(low | 1 << 20),
            buys: number.is_multiple_of(2),
            symbol: *b"IPC",
            account: low.into(),
        }
    }

    const fn sum(&self) -> u64 {
        self.number ^ self.account
    }
}

/// Starts a producer and a consumer.
pub(super) fn start(name: &str, setting: Setting) -> Result<Box<dyn Running>, Fault> {
    let encoded = DefaultCodec::default().encode(&Order::new(7), &mut Vec::new()).map_or(0, <[u8]>::len);
    if encoded != TYPED_SIZE {
        return Err(Fault::failed(format!(
            "a typed message has {encoded} bytes, and plain ones {TYPED_SIZE}"
        )));
    }
    let transport = setting.transport(name)?;
    let options = QueueOptions::new().capacity(setting.capacity);
    let queue = transport.create_anonymous(&options.codec(<DefaultCodec as Codec<Order>>::NAME))?;
    let crew = setting.crew(&*transport, "typed", "", &[&*queue])?;
    Ok(setting.run(crew))
}

/// Does jobs with the queue that this process inherits.
pub(crate) fn work(control: &dyn Transport, puts: bool, number: u32) -> Result<(), Fault> {
    let queue = Queue::<Order>::inherited_number(control, FORTH)?;
    let first = u64::from(number) << 32;
    serve(control, puts, |job| if puts { put(&queue, first, job) } else { get(&queue, job) })
}

fn put(queue: &Queue<Order>, first: u64, job: Job) -> Result<Report, String> {
    let (began, mut sum) = (now(), 0_u64);
    for number in (first..).take(job.messages) {
        let order = Order::new(number);
        sum = sum.wrapping_add(order.sum());
        queue.put(order).map_err(|error| error.to_string())?;
    }
    Ok(Report { began, ended: now(), sum, ..Report::default() })
}

fn get(queue: &Queue<Order>, job: Job) -> Result<Report, String> {
    let (began, mut sum) = (now(), 0_u64);
    for number in (0..).take(job.messages) {
        let order = queue.get().map_err(|error| error.to_string())?;
        // There is one producer, whose messages come in order.
        ensure(order == Order::new(number))?;
        sum = sum.wrapping_add(order.sum());
    }
    Ok(Report { began, ended: now(), sum, ..Report::default() })
}
