//! A receiving program between two pipes of ours.

use super::*;
use crate::adapters::real::relay::between;
use crate::adapters::{Ended, Halt, Input};
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// What the sender sees: what was said back, until the other end hung up.
struct Sender {
    to: File,
    back: Receiver<u8>,
}

impl Sender {
    fn hears(&self, words: &[u8]) {
        for byte in words {
            assert_eq!(self.back.recv_timeout(Duration::from_secs(60)).ok(), Some(*byte), "{}", String::from_utf8_lossy(words));
        }
    }
}

/// A pair of pipes: our two ends, and the sender's.
fn pipes() -> (File, File, Sender) {
    let (from, to) = std::io::pipe().unwrap();
    let (mut heard, back) = std::io::pipe().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut byte = [0];
        while matches!(heard.read(&mut byte), Ok(1)) && tell.send(byte[0]).is_ok() {}
    });
    let file = |fd: std::os::fd::OwnedFd| File::from(fd);
    (file(from.into()), file(back.into()), Sender { to: file(to.into()), back: told })
}

/// A receiver that counts what it reads: the banner, the stream of this many bytes, "ready", one more word, the report.
fn receiver(bytes: usize) -> Call {
    let text = format!(
        "echo banner; n=$(head -c {bytes} | wc -c); echo stream $n >&3; [ $n = {bytes} ] || exit 1
         printf ready; go=$(head -c 2); echo go $go >&3; printf 'report %s' \"$go\"; [ -n \"$go\" ] || exit 4"
    );
    let mut call = Call::new("sh", ["-c", &text.replace(">&3", ">>\"$HEARD\"")]);
    call.stdin = Input::Inherited;
    call.limit = None;
    call
}

/// The program writes what it heard into a file.
fn in_its_place(root: &TempDir, mut call: Call) -> Call {
    let heard = root.path().join("heard");
    let text = call.args[1].replace("$HEARD", heard.to_str().unwrap());
    call.args[1] = text;
    call
}

/// A stream with half a megabyte of memory.
fn stream() -> Vec<u8> {
    crate::adapters::xen::stream::example(500_000)
}

#[test]
fn everything_goes_over_and_it_waits_twice() {
    let (root, real) = world();
    let (ours, back, mut sender) = pipes();
    let stream = stream();
    let call = in_its_place(&root, receiver(stream.len()));
    let player = thread::spawn(move || {
        sender.hears(b"banner\n");
        sender.to.write_all(&stream).unwrap();
        sender.hears(b"ready");
        sender.to.write_all(b"GO").unwrap();
        sender.hears(b"report GO");
    });
    let mut halts = Vec::new();
    let heard = || fs::read_to_string(root.path().join("heard")).unwrap_or_default();
    let ended = between(&real, &call, ours, back, &mut |halt| {
        halts.push((halt, heard()));
        Flow::On
    });
    player.join().unwrap();
    assert_eq!(ended.unwrap().ended, Ended::Exit(0));
    let complete = format!("stream {}\n", self::stream().len());
    assert_eq!(halts, [(Halt::Complete, String::new()), (Halt::Ready, complete)], "the stream is not complete at the first halt");
}

#[test]
fn what_is_stopped_when_complete_never_gets_its_last_byte() {
    let (root, real) = world();
    let (ours, back, mut sender) = pipes();
    let stream = stream();
    let whole = stream.len();
    let call = in_its_place(&root, receiver(whole));
    sender.to.write_all(&stream[..1000]).unwrap();
    let to = thread::spawn(move || {
        sender.to.write_all(&stream[1000..]).unwrap();
        sender
    });
    let ended = between(&real, &call, ours, back, &mut |halt| {
        assert_eq!(halt, Halt::Complete);
        Flow::Stop
    });
    assert_eq!(ended.unwrap().ended, Ended::Exit(1));
    assert_eq!(fs::read_to_string(root.path().join("heard")).unwrap(), format!("stream {}\n", whole - 1));
    to.join().unwrap().hears(b"banner\n");
}

#[test]
fn what_is_stopped_when_ready_is_never_heard_and_reads_an_end_of_file() {
    let (root, real) = world();
    let (ours, back, mut sender) = pipes();
    let stream = stream();
    let call = in_its_place(&root, receiver(stream.len()));
    let player = thread::spawn(move || {
        sender.to.write_all(&stream).unwrap();
        sender
    });
    let ended = between(&real, &call, ours, back, &mut |halt| if halt == Halt::Ready { Flow::Stop } else { Flow::On });
    // It could say its last words, so it could also tidy up behind itself.
    assert_eq!(ended.unwrap().ended, Ended::Exit(4));
    let sender = player.join().unwrap();
    sender.hears(b"banner\n");
    assert!(sender.back.recv_timeout(Duration::from_secs(60)).is_err(), "nothing after the banner, and then the end");
}

#[test]
fn when_the_sender_is_gone_the_receiver_reads_an_end_of_file_and_can_still_write() {
    let (root, real) = world();
    let (ours, back, mut sender) = pipes();
    let stream = stream();
    let call = in_its_place(&root, receiver(stream.len()));
    sender.hears_nothing_more();
    let player = thread::spawn(move || sender.to.write_all(&stream).unwrap());
    let ended = between(&real, &call, ours, back, &mut |_| Flow::On);
    player.join().unwrap();
    assert_eq!(ended.unwrap().ended, Ended::Exit(4), "not killed by a broken pipe");
    assert!(fs::read_to_string(root.path().join("heard")).unwrap().ends_with("go\n"));
}

impl Sender {
    fn hears_nothing_more(&mut self) {
        self.back = channel().1;
    }
}

#[test]
fn a_stream_of_another_form_waits_once_and_passes() {
    let (root, real) = world();
    let (ours, back, mut sender) = pipes();
    let call = in_its_place(&root, receiver(1000));
    let player = thread::spawn(move || {
        sender.to.write_all(&[b'x'; 1000]).unwrap();
        sender.hears(b"banner\nready");
        sender.to.write_all(b"GO").unwrap();
    });
    let mut halts = Vec::new();
    let ended = between(&real, &call, ours, back, &mut |halt| {
        halts.push(halt);
        Flow::On
    });
    player.join().unwrap();
    assert_eq!(ended.unwrap().ended, Ended::Exit(0));
    assert_eq!(halts, [Halt::Unknown, Halt::Ready]);
}
