//! `keep`: the one who stands between a claim and its `xl create`, so that nobody else claims the domU while that still runs.
//!
//! A claim that is killed leaves its `xl create` behind, which goes on for minutes perhaps. It must not get the claim's lock itself: its
//! monitor would have it as long as the domU lives. So the lock goes to this process, which waits for the program and hands nothing on.
//! When this process is killed as well, the kernel kills the program with it: nothing creates a domU without its lock.

use crate::adapters::real::{BROKE_ITS_LIMIT, become_bound};
use crate::adapters::{Call, CallError, Ended, To, World};
use std::time::Duration;

/// How it ends when the program could not be started or heard out, as a shell has it.
const NOT_RUN: i32 = 126;

/// Runs the program and hands on what it said when it has ended: with our own streams a word of it would kill it (SIGPIPE) where the claim
/// that reads them is gone. Returns its exit code, or 128 and its signal.
pub fn keep(world: &dyn World, limit: u64, words: &[String]) -> i32 {
    let Some((program, args)) = words.split_first() else { return NOT_RUN };
    let mut call = Call::new(program, args.iter().cloned());
    call.dies_with_us = true;
    call.limit = (limit > 0).then(|| Duration::from_millis(limit));
    match world.run(&call) {
        Ok(output) => {
            for (to, text) in [(To::Machine, output.stdout.trim_end()), (To::Err, output.stderr.trim_end())] {
                if !text.is_empty() {
                    world.say(to, text);
                }
            }
            match output.ended {
                Ended::Exit(code) => code,
                Ended::Signal(signal) => 128 + signal,
            }
        }
        // Who called us says so, in the words of the door.
        Err(CallError::TimedOut { said, .. }) => {
            world.say(To::Err, said.trim_end());
            BROKE_ITS_LIMIT
        }
        Err(error) => {
            world.say(To::Err, &error.to_string());
            NOT_RUN
        }
    }
}

/// Becomes the program, which is killed when `parent` dies. Returns only when that failed.
pub fn bound(world: &dyn World, parent: u32, words: &[String]) -> i32 {
    let Some((program, args)) = words.split_first() else { return NOT_RUN };
    world.say(To::Err, &format!("{program}: {}", become_bound(parent, program, args)));
    NOT_RUN
}
