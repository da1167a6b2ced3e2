//! What the system allows the pipes of an ordinary user (Q4).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use ipcq_pipe::{Capacity, PipeTransport, Queue, QueueOptions};
use nix::unistd::geteuid;

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Set for the process of the ordinary user: the directory of the queues.
const CHILD: &str = "IPCQ_TEST_ORDINARY_USER";

/// A user whom nobody else is likely to be, so that nobody else's pipes count.
const USER: u32 = 54_321;

/// How many messages fit into two pages, which is what a pipe gets when the user has used up all.
const LEFT: usize = 65;

#[test]
fn a_pipe_that_is_too_small_is_an_error_and_never_a_queue_that_lies() -> Tested {
    if let Some(directory) = std::env::var_os(CHILD) {
        return use_up_all(&PipeTransport::in_directory(directory));
    }
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe()?, &program)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let queues = directory.path().join("queues");
    fs::create_dir(&queues)?;
    let mut command = Command::new(program);
    command.args(["--exact", "a_pipe_that_is_too_small_is_an_error_and_never_a_queue_that_lies"]);
    command.env(CHILD, &queues).current_dir(directory.path());
    if geteuid().is_root() {
        chown(&queues, Some(USER), Some(USER))?;
        command.uid(USER).gid(USER);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}

/// Q4: more than one pipe may ever hold is refused with the largest capacity and the setting behind it.
#[test]
fn a_capacity_beyond_any_pipe_names_the_setting() -> Tested {
    let directory = tempfile::tempdir()?;
    let transport = PipeTransport::in_directory(directory.path());
    let most = ipcq_core::Transport::capabilities(&transport).max_capacity;
    let refused = Queue::<u32>::create(&transport, "q", &QueueOptions::new().capacity(most + 1));
    let error = refused.expect_err("no pipe is as large").to_string();
    assert!(error.contains(&format!("the largest is {most}, ")), "{error}");
    assert!(error.contains("fs.pipe-max-size"), "{error}");
    Ok(())
}

/// Makes queues until the user's pages for pipes are used up, and looks at what comes then.
fn use_up_all(transport: &PipeTransport) -> Tested {
    assert!(!geteuid().is_root(), "the privileges were not dropped");
    let pages = setting("pipe-user-pages-soft")?;
    let per_pipe = setting("pipe-max-size")? / 4096;
    let most = ipcq_core::Transport::capabilities(transport).max_capacity;
    let options = QueueOptions::new().capacity(most);
    let mut queues: Vec<Queue<u32>> = Vec::new();
    let refused = loop {
        match Queue::create(transport, &format!("q{}", queues.len()), &options) {
            Ok(queue) => queues.push(queue),
            Err(error) => break error,
        }
        assert!(queues.len() <= pages / per_pipe, "more pages than the user may have");
    };
    assert!(queues.len() + 1 >= pages / per_pipe, "only {} queues", queues.len());
    let text = refused.to_string();
    for part in ["capacity", "fs.pipe-user-pages-soft", "fs.pipe-max-size", "at most"] {
        assert!(text.contains(part), "{text}");
    }
    queues.iter().for_each(|queue| assert_takes(queue, most));
    // What little there is can be had, and is exact.
    while let Ok(queue) =
        Queue::<u32>::create(transport, &format!("q{}", queues.len()), &options.clone().capacity(LEFT + 1))
    {
        queues.push(queue);
    }
    let refused = Queue::<u32>::create(transport, "little", &options.clone().capacity(LEFT + 1));
    let text = refused.err().ok_or("more than two pages")?.to_string();
    assert!(text.contains(&format!("its pipe holds {LEFT} at most")), "{text}");
    let little: Queue<u32> =
        Queue::create(transport, "little", &QueueOptions::new().capacity(Capacity::Max))?;
    assert_eq!(little.capacity(), LEFT);
    assert_takes(&little, LEFT);
    Ok(())
}

fn assert_takes(queue: &Queue<u32>, capacity: usize) {
    assert_eq!(queue.capacity(), capacity);
    for n in 0..u32::try_from(capacity).expect("a small number") {
        queue.try_put(n).expect("a queue that is not full takes a message");
    }
    assert!(queue.try_put(0).expect_err("one too many").is_full());
}

fn setting(name: &str) -> Result<usize, Box<dyn std::error::Error>> {
    Ok(fs::read_to_string(format!("/proc/sys/fs/{name}"))?.trim().parse()?)
}
