//! Looking at the whole world at once, as nobody in it can.

use crate::machine::{Machine, Process};
use crate::world::World;
use cores::paxos::Status;

impl World {
    /// The machine that leads and is not about to find out otherwise.
    pub fn leader(&self) -> Option<usize> {
        let leading = |machine: &Machine| machine.process.as_ref()?.leading;
        (0..self.machines.len())
            .max_by_key(|index| leading(&self.machines[*index]))
            .filter(|index| leading(&self.machines[*index]).is_some())
    }

    /// What everybody is doing, for whoever looks into a failure.
    pub fn describe(&self) -> String {
        let mut text = format!("the log ends at {}", self.ledger.end());
        for (index, machine) in self.machines.iter().enumerate() {
            let state = match &machine.process {
                None if machine.is_out => "has refused to start".to_owned(),
                None => "does not run".to_owned(),
                Some(process) => format!(
                    "{:?}, learned {}, end {}, promised {}, leads {:?}, {} jobs wait, disk is {}",
                    process.core.status(),
                    process.core.learned(),
                    process.core.end(),
                    process.core.promised(),
                    process.leading,
                    process.jobs.len(),
                    if process.commit.is_some() {
                        "busy"
                    } else {
                        "idle"
                    },
                ),
            };
            text.push_str(&format!("\n  machine {index}, {:?}: {state}", machine.me));
            text.push_str(&format!(", damage {:?}", machine.damage));
        }
        text
    }

    /// Those who have come back as somebody whose word is new are as good as any.
    pub fn forgive(&mut self) {
        if !self.is_settled() {
            return;
        }
        let Some(configuration) = self.ledger.configuration() else {
            return;
        };
        for machine in &mut self.machines {
            if let Some(process) = &machine.process
                && process.core.status() == Status::Voting
                && configuration.counts(process.core.me())
            {
                machine.damage = None;
            }
        }
    }

    /// Whether the newest configuration is one that no member of an older one is needed for.
    pub fn is_settled(&self) -> bool {
        self.settled >= self.ledger.configured()
    }

    /// Whether every member is up, votes and has been given everything.
    pub fn is_even(&self) -> bool {
        let end = self.ledger.end();
        let is_even =
            |process: &Process| process.given == end && process.core.status() == Status::Voting;
        let Some(configuration) = self.ledger.configuration() else {
            return false;
        };
        let seats = configuration.members.iter();
        seats.into_iter().all(|(id, seat)| {
            let holder = self.machines.iter().find(|machine| machine.id() == *id);
            holder.is_some_and(|machine| {
                machine.me.incarnation == seat.incarnation
                    && machine.process.as_ref().is_some_and(is_even)
            })
        })
    }
}
