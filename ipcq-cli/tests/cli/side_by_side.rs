use serde_json::Value;

use crate::support::Sandbox;

/// Every transport that is built in, the default first.
const TRANSPORTS: [&str; 3] = ["shm", "pipe", "zmq"];

/// A directory with a queue `jobs` on each transport, which holds the transport's name; none is preferred.
fn with_jobs_on_each() -> Sandbox {
    with_jobs_on(&TRANSPORTS)
}

fn with_jobs_on(transports: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new("");
    for transport in transports {
        sandbox.ipcq(&format!("create jobs -t {transport}")).done().says_nothing();
        sandbox.ipcq(&format!("put {transport}:jobs {transport}")).done().says_nothing();
    }
    sandbox
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn a_queue_is_found_by_its_name_wherever_it_is() {
    let sandbox = Sandbox::new("");
    for transport in TRANSPORTS {
        sandbox.ipcq(&format!("-t {transport} create on-{transport}")).done().says_nothing();
    }
    for transport in TRANSPORTS {
        let queue = format!("on-{transport}");
        sandbox.ipcq(&format!("put {queue} a b c")).done().says_nothing();
        // What is preferred decides only between several.
        for preferred in TRANSPORTS {
            let get = sandbox.ipcq(&format!("get {queue} --no-wait")).env("IPCQ_TRANSPORT", preferred).done();
            get.succeeds();
        }
        assert_eq!(sandbox.stat(&queue)["transport"], transport);
        sandbox.ipcq(&format!("close {queue}")).done().says_nothing();
        sandbox.ipcq(&format!("rm {queue}")).done().says_nothing();
    }
    assert_eq!(sandbox.files(), [""; 0]);
}

#[test]
fn a_name_on_two_transports_is_ambiguous_without_t() {
    let sandbox = with_jobs_on_each();
    for command in ["put jobs a", "put jobs a --create", "get jobs", "stat jobs", "close jobs", "rm jobs"] {
        sandbox.ipcq(command).done().fails(2, &["queue jobs", "shm, pipe, zmq", "-t"]);
    }
    for transport in TRANSPORTS {
        sandbox.ipcq(&format!("-t {transport} get jobs")).done().prints(format!("{transport}\n"));
        sandbox.ipcq(&format!("-t {transport} rm jobs")).done().says_nothing();
    }
}

#[test]
fn the_environment_decides_between_two_of_a_name() {
    let sandbox = with_jobs_on_each();
    for transport in TRANSPORTS {
        let with = |command: &str| sandbox.ipcq(command).env("IPCQ_TRANSPORT", transport).done();
        with("get jobs").prints(format!("{transport}\n"));
        with("close jobs").says_nothing();
        with("put jobs late").fails(3, &[&format!("{transport}:jobs"), "closed"]);
        with("rm jobs").says_nothing();
        // The others are left, or none.
        sandbox.ipcq(&format!("stat {transport}:jobs")).done().fails(2, &["there is no queue"]);
    }
    sandbox.ipcq("ls").done().says_nothing();
}

#[test]
fn ls_and_stat_show_queues_of_all_transports() {
    let sandbox = with_jobs_on_each();
    let listed = objects(&sandbox.ipcq("ls --format json").done().succeeds().stdout());
    let transports: Vec<_> = listed.iter().map(|queue| queue["transport"].clone()).collect();
    assert_eq!(transports, TRANSPORTS);
    assert!(listed.iter().all(|queue| queue["name"] == "jobs" && queue["len"] == 1), "{listed:?}");
    for (transport, row) in TRANSPORTS.iter().zip(&listed) {
        assert_eq!(sandbox.stat(&format!("{transport}:jobs")), *row);
        let chosen = objects(&sandbox.ipcq(&format!("-t {transport} ls --format json")).done().stdout());
        assert_eq!(chosen, std::slice::from_ref(row));
    }
    let keys = |row: &Value| row.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&listed[0]), keys(&listed[1]));
}

#[test]
fn gc_cleans_up_one_transport_and_leaves_the_others_alone() {
    let sandbox = with_jobs_on(&["shm", "pipe"]);
    sandbox.ipcq("gc").done().says_nothing();
    sandbox.kill_keeper("jobs");
    let removed = objects(&sandbox.ipcq("gc --format json").done().succeeds().stdout());
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert_eq!(removed[0]["transport"], "pipe");
    sandbox.ipcq("gc").done().says_nothing();
    // Now the name is not ambiguous any more.
    sandbox.ipcq("get jobs").done().prints("shm\n");
}

#[test]
fn what_has_died_does_not_hide_what_lives() {
    let sandbox = with_jobs_on(&["shm", "pipe"]);
    sandbox.kill_keeper("jobs");
    sandbox.ipcq("get jobs").done().prints("shm\n");
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.ipcq("get jobs").done().fails(2, &["pipe:jobs is gone", "ipcq create jobs"]);
}

#[test]
fn transports_are_measured_side_by_side() {
    let sandbox = Sandbox::new("");
    let bench = "bench --messages 100 --size 8 --producers 1 --repetitions 1 --no-reference --format json";
    for (list, expected) in [("shm,pipe", &TRANSPORTS[..2]), ("zmq,shm", &["zmq", "shm"])] {
        let rows = objects(&sandbox.ipcq(&format!("-t {list} {bench}")).done().succeeds().stdout());
        let mut seen: Vec<Value> = rows.iter().map(|row| row["transport"].clone()).collect();
        seen.truncate(4);
        let throughput: Vec<_> = expected.iter().flat_map(|transport| [*transport; 2]).collect();
        assert_eq!(seen, throughput, "one by one and in batches, in the order of the list");
    }
}

#[test]
fn by_default_queues_are_private_and_in_memory() {
    let sandbox = Sandbox::new("");
    // doctor only looks.
    let reports = sandbox.shell("unset IPCQ_DIR; ipcq doctor --format json").done().succeeds();
    for report in objects(&reports.stdout()) {
        let user = nix::unistd::geteuid();
        assert_eq!(report["directory"], format!("/dev/shm/ipcq-{user}"));
        assert_ne!(report["directory_is_private"], false);
    }
}
