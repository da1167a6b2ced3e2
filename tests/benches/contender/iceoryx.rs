//! `iceoryx2` publish and subscribe from one process to one other, without losing anything; it only polls. Messages are
//! copied in and out, or built and read where they lie.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use iceoryx2::node::NodeBuilder;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, Config, LogLevel, Path, SemanticString, ServiceName, ipc, set_log_level,
};
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use ipcq_cli::measure::content::Checker;
use ipcq_cli::measure::job::{How, Job, Report, Spin, ensure, get_each, now, ping, pong, put_each};
use ipcq_cli::measure::{Fault, serve};
use ipcq_core::Transport;

use super::{Running, Setting};

type Service = PortFactory<ipc::Service, [u8], ()>;

/// How many messages of 64 bytes may be on their way; of long ones fewer, because all their memory is reserved.
const MOST: usize = 256;
const MOST_BYTES: usize = 64 << 20;

/// Starts two processes with services of their own.
pub(super) fn start(setting: Setting, kind: &str) -> Result<Box<dyn Running>, Fault> {
    let control = setting.control()?;
    let place = format!("{} {}", setting.size, setting.directory.path().display());
    let crew = setting.crew(&*control, kind, &place, &[])?;
    Ok(setting.run(crew))
}

fn failed(error: impl Display) -> Fault {
    Fault::failed(error.to_string())
}

/// Does jobs over the services at `place`.
pub(crate) fn work(
    control: &dyn Transport,
    puts: bool,
    number: u32,
    place: &str,
    in_place: bool,
) -> Result<(), Fault> {
    set_log_level(LogLevel::Error);
    let (size, directory) =
        place.split_once(' ').ok_or_else(|| failed("a service has a size and a directory"))?;
    let size: usize = size.parse().map_err(failed)?;
    let mut config = Config::default();
    config
        .global
        .set_root_path(&Path::new(directory.as_bytes()).map_err(|error| failed(format!("{error:?}")))?);
    let node = NodeBuilder::new().config(&config).create::<ipc::Service>().map_err(failed)?;
    let service = |direction: &str| {
        let name = ServiceName::new(&format!("{directory}/{direction}")).map_err(failed)?;
        let most = MOST.min(MOST_BYTES / size.max(1)).max(2);
        let builder = node.service_builder(&name).publish_subscribe::<[u8]>();
        let builder = builder.enable_safe_overflow(false).subscriber_max_buffer_size(most);
        builder.max_publishers(1).max_subscribers(1).open_or_create().map_err(failed)
    };
    let (forth, back) = (service("forth")?, service("back")?);
    let (outward, inward) = if puts { (&forth, &back) } else { (&back, &forth) };
    let subscriber = inward.subscriber_builder().create().map_err(failed)?;
    let publisher = outward.publisher_builder().initial_max_slice_len(size.max(1));
    let publisher = publisher.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
    let publisher = publisher.create().map_err(failed)?;
    // What is published before there is a subscriber goes nowhere.
    await_subscriber(outward);
    serve(control, puts, |job| run(&publisher, &subscriber, puts, number, job, in_place))
}

fn await_subscriber(service: &Service) {
    use iceoryx2::prelude::PortFactory as _;
    while service.dynamic_config().number_of_subscribers() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

fn run(
    publisher: &Publisher<ipc::Service, [u8], ()>,
    subscriber: &Subscriber<ipc::Service, [u8], ()>,
    puts: bool,
    number: u32,
    job: Job,
    in_place: bool,
) -> Result<Report, String> {
    let publish = |message: &[u8]| {
        // Either way this is the one time that the message is written: the benchmark makes it elsewhere.
        let sample = publisher.loan_slice_uninit(message.len()).map_err(|error| error.to_string())?;
        sample.write_from_slice(message).send().map_err(|error| error.to_string())
    };
    // A full buffer whose subscriber has not connected to it yet takes nothing more, and says so only by this count.
    let put = |message: &[u8]| {
        let mut spin = Spin::default();
        while publish(message)? == 0 {
            spin.turn();
        }
        Ok(())
    };
    let get = |message: &mut Vec<u8>| {
        receive(subscriber, |came| {
            message.clear();
            message.extend_from_slice(came);
            Ok(())
        })
    };
    match (job.how, puts) {
        (How::RoundTrip(_), true) => ping(number, job, put, get),
        (How::RoundTrip(_), false) => pong(job, put, get),
        (_, true) => put_each(number, job, put),
        (_, false) if in_place => read_each(subscriber, job),
        (_, false) => get_each(job, get),
    }
}

/// Checks messages where they lie.
fn read_each(subscriber: &Subscriber<ipc::Service, [u8], ()>, job: Job) -> Result<Report, String> {
    let (mut checker, began) = (Checker::new(job.size), now());
    for _ in 0..job.messages {
        receive(subscriber, |came| ensure(checker.check(came)))?;
    }
    Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
}

fn receive(
    subscriber: &Subscriber<ipc::Service, [u8], ()>,
    take: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut spin = Spin::default();
    loop {
        match subscriber.receive() {
            Ok(Some(sample)) => return take(sample.payload()),
            Ok(None) => spin.turn(),
            Err(error) => return Err(error.to_string()),
        }
    }
}
