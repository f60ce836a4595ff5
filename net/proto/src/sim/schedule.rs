//! Going through the schedule of faults, entry by entry.
//!
//! Rule: an entry is due when its moment has come and the entry before it has happened.

use crate::Input;
use crate::sim::clock::Moment;
use crate::sim::network::cables::Cause;
use crate::sim::{Event, Fault, When, World};

/// A leaving node may take this much longer than its linger time: a stall, a late wake-up, ms.
const LEAVE_SLACK_MS: u64 = 1_500;

impl World {
    /// Plans the next entry of the schedule, if it waits for a time and not for work.
    pub(crate) fn arm(&mut self) {
        if self.is_armed {
            return;
        }
        let at = match self.schedule.front() {
            Some((When::At(ms), _)) => Moment::from_ms(*ms),
            Some((When::After(ms), _)) => self.now.after(*ms),
            Some((When::Done(share), _)) if self.is_done(*share) => self.now,
            Some((When::Done(_), _)) | None => return,
        };
        self.is_armed = true;
        self.push(at, Event::Fault);
    }

    /// Whether this share of all steps was done, per mille.
    fn is_done(&self, share: u64) -> bool {
        self.cells.len() as u64 * 1_000 >= share * self.all
    }

    pub(crate) fn next_fault(&mut self) -> Result<(), String> {
        self.is_armed = false;
        if let Some((_, fault)) = self.schedule.pop_front() {
            self.trace.line(self.now, None, format_args!("{fault:?}"));
            self.apply(fault)?;
            self.arm();
        }
        Ok(())
    }

    fn apply(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Start { machine, disk } => {
                self.progress.started = self.now;
                self.start(machine, disk)?;
            }
            Fault::Leave(machine) => {
                if let Some(node) = self.running(machine) {
                    let linger = self.scenario.config.linger_ms + LEAVE_SLACK_MS;
                    self.nodes[node].leaving = Some(self.now);
                    self.push(self.now.after(linger), Event::MustBeGone { node });
                    self.tell(node, Input::Leave)?;
                }
            }
            Fault::Crash(machine) => {
                if let Some(node) = self.running(machine) {
                    self.crashes += 1;
                    let is_reset = self.network.resets();
                    self.stop(node, if is_reset { Cause::Closed } else { Cause::Dead });
                }
            }
            Fault::Stall(machine, ms) => {
                if let Some(node) = self.running(machine) {
                    self.nodes[node].stalled = self.now.after(ms);
                }
            }
            Fault::Cut(from, to) => {
                self.network.cut(&from, &to);
                self.relink_all(Cause::Dead);
            }
            Fault::Heal => {
                self.network.heal();
                self.relink_all(Cause::Found);
            }
            Fault::Weather(weather) => self.network.set_weather(weather),
        }
        Ok(())
    }

    /// The faults are over.
    pub(crate) fn heal(&mut self) {
        self.trace.line(self.now, None, format_args!("healed"));
        self.healed = true;
        self.network.set_weather(self.scenario.calm.clone());
        self.network.heal();
        self.relink_all(Cause::Found);
    }
}
