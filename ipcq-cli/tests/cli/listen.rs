//! Queues that are reached at an address on the network.

use crate::support::Sandbox;

/// Makes the queue `jobs`, and returns where it listens.
fn make(sandbox: &Sandbox) -> String {
    sandbox.ipcq("create jobs -t zmq --capacity 3 --listen 127.0.0.1:0").done().says_nothing();
    let location = sandbox.stat("jobs")["location"].as_str().expect("a text").to_owned();
    let port = location.rsplit_once(" and TCP port ").expect("a port").1.to_owned();
    format!("zmq+tcp://127.0.0.1:{port}")
}

#[test]
fn a_queue_is_reached_by_its_address() {
    let sandbox = Sandbox::new("zmq");
    let address = make(&sandbox);
    // Whoever reaches it knows nothing of the directory.
    let elsewhere = Sandbox::new("zmq");
    elsewhere.ipcq(&format!("put {address} one two")).done().says_nothing();
    sandbox.ipcq("get jobs").done().prints("one\n");
    let stat = elsewhere.stat(&address);
    assert_eq!((stat["name"].as_str(), stat["len"].as_u64()), (Some(&*address), Some(1)));
    elsewhere.ipcq(&format!("get {address} --timeout 30s")).done().prints("two\n");
    elsewhere.ipcq(&format!("get {address} --no-wait")).done().fails(1, &[&address, "empty"]);
    elsewhere.ipcq(&format!("put {address} 1 2 3 4 --timeout 100ms")).done().fails(1, &[&address, "full"]);
    elsewhere.ipcq(&format!("rm {address}")).done().fails(2, &[&address, "name"]);
    elsewhere.ipcq(&format!("close {address}")).done().says_nothing();
    sandbox.ipcq("get jobs --all").done().prints("1\n2\n3\n");
    elsewhere.ipcq(&format!("get {address}")).done().fails(3, &[&address, "closed"]);
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.await_keepers("jobs", 0);
    elsewhere.ipcq(&format!("get {address}")).done().fails(2, &[&address, "--listen"]);
}

#[test]
fn what_cannot_listen_is_not_made() {
    let sandbox = Sandbox::new("zmq");
    sandbox.ipcq("create q -t zmq --listen 0.0.0.0:0").done().fails(2, &["0.0.0.0:0", "public"]);
    sandbox.ipcq("create q -t shm --listen 127.0.0.1:0").done().fails(2, &["shm", "-t zmq"]);
    sandbox.ipcq("create zmq+tcp://127.0.0.1:5555").done().fails(2, &["--listen 127.0.0.1:5555"]);
    sandbox.ipcq("create q -t zmq --listen nowhere").done().fails(2, &["nowhere"]);
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("a port").to_string();
    sandbox.ipcq(&format!("create q -t zmq --listen {taken}")).done().fails(2, &[&taken, "port"]);
    assert_eq!(sandbox.files(), [""; 0]);
    sandbox.await_keepers("q", 0);
    sandbox.ipcq("create q -t zmq --listen 0.0.0.0:0 --public").done().says_nothing();
    sandbox.ipcq("rm q").done().says_nothing();
}
