//! The states of a scheduled task.

use std::fmt;

/// The state of a task, with the numbers of the Thrift enum `ScheduleStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ScheduleStatus {
    /// Waits for a machine.
    Pending = 0,
    /// The machine prepares it.
    Starting = 1,
    /// Runs and is healthy.
    Running = 2,
    /// Ended well. Terminal.
    Finished = 3,
    /// Ended badly. Terminal.
    Failed = 4,
    /// Was killed. Terminal.
    Killed = 5,
    /// Is being killed.
    Killing = 6,
    /// Its outcome is unknown and it will not come back. Terminal.
    Lost = 7,
    /// Was given to a machine.
    Assigned = 9,
    /// Just made; never stored in an event.
    Init = 11,
    /// Is being killed to run again.
    Restarting = 12,
    /// Is being killed in favour of another task.
    Preempting = 13,
    /// Waits out a penalty before it is pending again.
    Throttled = 16,
    /// Is being killed because its machine is drained.
    Draining = 17,
    /// Its machine cannot be reached.
    Partitioned = 18,
}

impl ScheduleStatus {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Pending,
        Self::Starting,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Killed,
        Self::Killing,
        Self::Lost,
        Self::Assigned,
        Self::Init,
        Self::Restarting,
        Self::Preempting,
        Self::Throttled,
        Self::Draining,
        Self::Partitioned,
    ];

    /// The state with this Thrift number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.number() == number)
    }

    /// The Thrift number.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The name in upper case, as everywhere in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
            Self::Killing => "KILLING",
            Self::Lost => "LOST",
            Self::Assigned => "ASSIGNED",
            Self::Init => "INIT",
            Self::Restarting => "RESTARTING",
            Self::Preempting => "PREEMPTING",
            Self::Throttled => "THROTTLED",
            Self::Draining => "DRAINING",
            Self::Partitioned => "PARTITIONED",
        }
    }

    /// The state with this upper-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Ended for good: FINISHED, FAILED, KILLED, LOST.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Failed | Self::Killed | Self::Lost
        )
    }

    /// Neither terminal nor INIT.
    pub fn is_active(self) -> bool {
        !self.is_terminal() && self != Self::Init
    }

    /// Holds resources of a machine: Mesos' "slave assigned" states.
    pub fn is_assigned(self) -> bool {
        self.is_active() && !matches!(self, Self::Pending | Self::Throttled)
    }
}

impl fmt::Display for ScheduleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for status in ScheduleStatus::ALL {
            assert_eq!(ScheduleStatus::from_number(status.number()), Some(status));
            assert_eq!(ScheduleStatus::from_name(status.name()), Some(status));
        }
        assert_eq!(ScheduleStatus::from_number(8), None);
        let active = ScheduleStatus::ALL.iter().filter(|s| s.is_active()).count();
        let assigned = ScheduleStatus::ALL
            .iter()
            .filter(|s| s.is_assigned())
            .count();
        assert_eq!((active, assigned), (10, 8));
    }
}
