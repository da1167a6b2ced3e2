//! Eight workers, one of which is killed every 20 ms until all is done (Q20, Q21).
//!
//! `IPCQ_STORM_JOBS` says how many jobs they do; else they do fewer where each takes several questions to a broker.

use std::time::Duration;

use crate::laboratory;

const JOBS: usize = 1_000_000;
const JOBS_OF_A_BROKER: usize = 100_000;

#[test]
fn q20_no_job_is_lost_with_its_worker_shm() {
    no_job_is_lost_with_its_worker("shm", JOBS);
}

#[test]
fn q20_no_job_is_lost_with_its_worker_pipe() {
    no_job_is_lost_with_its_worker("pipe", JOBS);
}

#[test]
fn q20_no_job_is_lost_with_its_worker_zmq() {
    no_job_is_lost_with_its_worker("zmq", JOBS_OF_A_BROKER);
}

fn no_job_is_lost_with_its_worker(backend: &str, jobs: usize) {
    let set = std::env::var("IPCQ_STORM_JOBS").ok();
    let jobs = set.map_or(jobs, |text| text.parse().expect("IPCQ_STORM_JOBS is a whole number"));
    let limit = Duration::from_secs(120 + jobs as u64 / 2000);
    let outcome = laboratory::run(&["jobs", &jobs.to_string(), backend], limit);
    assert_eq!(outcome.number("jobs"), jobs);
    assert!(outcome.number("kills") > 0, "nobody was killed");
}
