//! What a client makes of what a broker says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::wire::{HEADER_LEN, Op, Status};

/// What becomes of a call to a broker that says `words` after its part of the handshake, one byte at a time.
fn call(words: &[u8]) -> Result<Reply, NoReply> {
    let (own, mut peer) = UnixStream::pair().expect("sockets");
    own.set_nonblocking(true).expect("a socket");
    let said = [&handshake::greeting()[..], &handshake::ready("ROUTER"), words].concat();
    let broker = std::thread::spawn(move || {
        assert!(peer.read(&mut [0; 1024]).is_ok_and(|len| len > HEADER_LEN));
        // Who has heard enough hangs up.
        said.iter().all(|byte| peer.write_all(&[*byte]).is_ok())
    });
    let mut link = Link {
        stream: Stream::Unix(own),
        stage: Stage::Greeting,
        input: Vec::new(),
        start: 0,
        lent: Bytes::new(),
        output: Vec::new(),
        is_broken: false,
        epoch: process::epoch(),
    };
    let request = Request::new(Op::Get, 7);
    let call = Call { request: &request, content: &[b"content"], is_over: &|_| false };
    let reply = link.call(&call, &mut Habit::default());
    assert_eq!(link.is_broken, reply.is_err());
    assert!(reply.is_ok() || link.call(&call, &mut Habit::default()).is_err());
    drop(link);
    broker.join().expect("a broker");
    reply
}

fn reply(id: u64, content: &[u8]) -> Vec<u8> {
    let (mut bytes, header) = (Vec::new(), Header { code: Status::Msg as u8, id, ..Header::default() });
    frames::push(&mut bytes, MORE, &header.to_bytes());
    frames::push(&mut bytes, 0, content);
    bytes
}

#[test]
fn a_reply_comes_in_pieces_and_behind_one_that_nobody_waits_for() {
    let words = [reply(6, b"old"), reply(7, &[5; 9000])].concat();
    let found = call(&words).expect("a reply");
    assert_eq!((found.header.id, found.frames.len()), (7, 1));
    assert!(found.frames[0] == [5; 9000][..]);
}

#[test]
fn a_broker_is_not_believed() {
    for claim in [REQUEST_MAX as u64 + 1, 8 << 30, 1 << 60, 1 << 63, u64::MAX] {
        let mut words = vec![frames::LONG];
        words.extend_from_slice(&claim.to_be_bytes());
        assert!(matches!(call(&words), Err(NoReply::Lost(_))), "{claim}");
    }
    let flood = [reply(6, b"old").repeat(20), reply(7, b"new")].concat();
    assert!(matches!(call(&flood), Err(NoReply::Lost(_))), "it may go on for ever");
    assert!(matches!(call(&reply(0, b"why")), Err(NoReply::Refused(why)) if why == "why"));
    assert!(matches!(call(&[MORE, 0].repeat(9)), Err(NoReply::Lost(_))), "too many frames");
    assert!(matches!(call(&[]), Err(NoReply::Lost(_))), "it hangs up");
}
