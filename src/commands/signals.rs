//! Requests to stop: Ctrl-C, SIGTERM, a terminal that closes.
//!
//! Rule: a signal that was ignored when the program started (`nohup`, a background job of a script)
//! stays ignored. Every other one is a request that the command meets as soon as it can; before it
//! listens there is nothing to save, and a signal ends it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::error::CommandError;
use crate::node::Stop;

/// Requests to stop that can wait.
pub(super) const STOPS: usize = 4;

/// Requests that a node gets: to leave cleanly, then to go at once. One more ends the process.
const PASSED: u32 = 2;

/// Time within which signals are one request: `timeout` sends each twice, and so do shells whose
/// terminal closes.
const TOGETHER: Duration = Duration::from_millis(200);

/// The signals of this process, from [`Signals::listen`] on.
#[derive(Debug)]
pub(super) struct Signals {
    desk: Arc<Mutex<Desk>>,
    /// Waits for signals as long as the process lives.
    thread: JoinHandle<()>,
}

/// The receiver of requests.
#[derive(Debug)]
enum Listener {
    Nobody,
    Node(mpsc::Sender<Stop>),
    Loop(Arc<AtomicBool>),
}

/// The request that a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// To stop; asked again, to be quick about it.
    Stop,
    /// To stop, if nobody said so before: a terminal closes only once.
    Hangup,
}

/// The state of the requests.
#[derive(Debug)]
struct Desk {
    listener: Listener,
    /// Requests that the listener got.
    passed: u32,
    /// Time of the last of them.
    last: Option<Instant>,
}

impl Desk {
    fn of(listener: Listener) -> Self {
        Self { listener, passed: 0, last: None }
    }

    /// Passes on a request that comes `now`. False when the process has to end.
    fn ask(&mut self, request: Request, now: Instant) -> bool {
        let is_same = |last| request == Request::Hangup || now.duration_since(last) < TOGETHER;
        if self.last.is_some_and(is_same) {
            return true;
        }
        self.last = Some(now);
        self.passed += 1;
        match &self.listener {
            Listener::Nobody => false,
            Listener::Node(stop) => {
                // A node that takes no more requests is on its way out.
                let _ = stop.try_send(Stop::Asked);
                self.passed <= PASSED
            }
            Listener::Loop(flag) => !flag.swap(true, Ordering::Relaxed),
        }
    }
}

impl Signals {
    /// Takes the process's signals, but for those that were ignored when it started.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let refused = |error| CommandError::Failed(format!("no signal handlers: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(refused)?;
        let mut sources = {
            let _inside = runtime.enter();
            Sources::new().map_err(refused)?
        };
        let desk = Arc::new(Mutex::new(Desk::of(Listener::Nobody)));
        let shared = Arc::clone(&desk);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                while let Some(request) = sources.next().await {
                    let mut desk = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    if !desk.ask(request, Instant::now()) {
                        end();
                    }
                }
            });
        });
        Ok(Self { desk, thread })
    }

    /// From now on requests go to a node.
    pub(super) fn watch(&self, stop: mpsc::Sender<Stop>) {
        self.hand_to(Listener::Node(stop));
    }

    /// From now on a request sets the flag; another one ends the process.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        self.hand_to(Listener::Loop(Arc::clone(&flag)));
        flag
    }

    fn hand_to(&self, listener: Listener) {
        *self.desk.lock().unwrap_or_else(PoisonError::into_inner) = Desk::of(listener);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if self.thread.is_finished() {
            crate::view::complain("the thread that waits for signals has failed");
        }
    }
}

/// Ends the process at once.
fn end() -> ! {
    let interrupted = CommandError::Interrupted;
    crate::view::complain(&interrupted.to_string());
    std::process::exit(interrupted.exit_code().into())
}

#[cfg(unix)]
use unix::Sources;

#[cfg(unix)]
mod unix {
    use std::process::{Command, Stdio};

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Request;

    /// The signals that ask to stop, where they are not ignored.
    #[derive(Debug)]
    pub(super) struct Sources {
        interrupt: Option<Signal>,
        terminate: Option<Signal>,
        hangup: Option<Signal>,
    }

    impl Sources {
        /// To be called inside a runtime.
        pub(super) fn new() -> std::io::Result<Self> {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let mask = ignored(&status);
            let open = |kind: SignalKind, name: &str| {
                let is_ignored = mask.map_or_else(
                    || is_ignored_by_a_child(name),
                    |mask| mask >> (kind.as_raw_value() - 1) & 1 == 1,
                );
                if is_ignored { Ok(None) } else { signal(kind).map(Some) }
            };
            Ok(Self {
                interrupt: open(SignalKind::interrupt(), "INT")?,
                terminate: open(SignalKind::terminate(), "TERM")?,
                hangup: open(SignalKind::hangup(), "HUP")?,
            })
        }

        /// Waits for the next request, if there will be one.
        pub(super) async fn next(&mut self) -> Option<Request> {
            async fn one(signal: &mut Option<Signal>) -> Option<()> {
                match signal {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            }
            tokio::select! {
                more = one(&mut self.interrupt) => more.map(|()| Request::Stop),
                more = one(&mut self.terminate) => more.map(|()| Request::Stop),
                more = one(&mut self.hangup) => more.map(|()| Request::Hangup),
            }
        }
    }

    /// The ignored signals in the status that Linux shows of a process: bit n - 1 is signal n.
    fn ignored(status: &str) -> Option<u64> {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    }

    /// The same where the system shows no such status: a shell inherits what is ignored and cannot trap
    /// it.
    fn is_ignored_by_a_child(name: &str) -> bool {
        let script = format!("trap 'exit 7' {name}; kill -s {name} $$; exit 0");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        shell.status().is_ok_and(|status| status.success())
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

        use super::*;

        #[test]
        fn ignored_signals_are_read_from_the_mask() {
            let status =
                "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
            assert_eq!(ignored(status), Some(0x1001));
            assert_eq!(ignored(""), None);
            assert_eq!(ignored("SigIgn:\tmany"), None);
        }

        #[test]
        fn a_child_says_what_the_mask_says() {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let Some(mask) = ignored(&status) else { return };
            for (number, name) in [(1, "HUP"), (2, "INT"), (15, "TERM")] {
                assert_eq!(is_ignored_by_a_child(name), mask >> (number - 1) & 1 == 1, "{name}");
            }
            let ignoring = Command::new("sh")
                .args([
                    "-c",
                    "trap '' HUP; exec sh -c \"trap 'exit 7' HUP; kill -s HUP \\$\\$; exit 0\"",
                ])
                .status();
            assert!(ignoring.unwrap().success());
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Sources;

#[cfg(not(unix))]
impl Sources {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next Ctrl-C, if there will be one.
    async fn next(&mut self) -> Option<Request> {
        tokio::signal::ctrl_c().await.ok().map(|()| Request::Stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to stop requests that come these milliseconds after the first.
    fn asked(listener: Listener, at: &[u64]) -> Vec<bool> {
        let (mut desk, start) = (Desk::of(listener), Instant::now());
        let ask = |ms: &u64| desk.ask(Request::Stop, start + Duration::from_millis(*ms));
        at.iter().map(ask).collect()
    }

    #[test]
    fn a_node_is_asked_twice_and_a_loop_once() {
        assert_eq!(asked(Listener::Nobody, &[0]), [false], "nothing to save yet");
        let (stop, mut stops) = mpsc::channel(STOPS);
        let node = || Listener::Node(stop.clone());
        assert_eq!(asked(node(), &[0, 500, 1000]), [true, true, false]);
        assert_eq!((stops.try_recv(), stops.try_recv()), (Ok(Stop::Asked), Ok(Stop::Asked)));
        drop(stops);
        assert_eq!(asked(node(), &[0, 500, 1000]), [true, true, false], "it ends by itself");
        let flag = Arc::new(AtomicBool::new(false));
        let looping = Listener::Loop(Arc::clone(&flag));
        assert_eq!(asked(looping, &[0, 500]), [true, false]);
        assert!(flag.load(Ordering::Relaxed));
    }

    #[test]
    fn signals_that_mean_the_same_are_one_request() {
        let (stop, mut stops) = mpsc::channel(STOPS);
        assert_eq!(asked(Listener::Node(stop.clone()), &[0, 0, 150]), [true; 3]);
        assert!(stops.try_recv().is_ok() && stops.try_recv().is_err());
        // A user who presses again and again is heard.
        let pressed = asked(Listener::Node(stop.clone()), &[0, 100, 200, 300, 400, 500]);
        assert_eq!(pressed, [true, true, true, true, false, true]);
        while stops.try_recv().is_ok() {}
        // A terminal that closes, after another request and before.
        let (mut desk, start) = (Desk::of(Listener::Node(stop)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(desk.ask(Request::Hangup, at(0)) && desk.ask(Request::Hangup, at(10)));
        assert!(desk.ask(Request::Stop, at(20)) && desk.ask(Request::Hangup, at(30)));
        assert!(!desk.ask(Request::Stop, at(40)));
    }
}
