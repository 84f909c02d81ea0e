//! What one seed decides before anything runs: the ensemble, the weather, the load.

use cores::base::rng::Rng;
use std::time::Duration;

/// Everything about a run that does not change while it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Members at the start.
    pub size: usize,
    /// Machines without a seat, which may get one.
    pub spares: usize,
    /// How often faults rage and are then lifted.
    pub rounds: u32,
    /// How long they rage each time.
    pub chaos: Duration,
    pub network: NetworkPlan,
    pub disk: DiskPlan,
    /// Clocks run at rates in `1 / (1 + spread) ..= 1 + spread`.
    pub clock_spread: f64,
    pub load: LoadPlan,
    pub faults: FaultPlan,
}

/// How the network treats single messages.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    pub lost_per_mille: u64,
    pub doubled_per_mille: u64,
    /// Messages that take up to `slow` in place of `delay`.
    pub slow_per_mille: u64,
    pub delay: (Duration, Duration),
    pub slow: Duration,
    /// Whether the messages of a link keep their order.
    pub is_fifo: bool,
    /// Whether a message reaches the process that is there when it arrives, or only the one that it
    /// was sent to.
    pub outlives_processes: bool,
}

/// How long the disk takes.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    pub sync: (Duration, Duration),
    pub slow_per_mille: u64,
    pub slow: Duration,
    /// About how many batches stay in the journal before they go to a table.
    pub journal_batches: u64,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Mean time between proposals.
    pub pause: Duration,
    /// Most entries in one proposal.
    pub burst: u64,
    /// Proposals as large as the window, now and then.
    pub has_floods: bool,
    /// One proposal in so many truncates.
    pub truncate_one_in: u64,
    pub payload_max: usize,
}

/// Which faults there are, and how often.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// Mean time between faults.
    pub pause: Duration,
    pub kinds: Vec<Fault>,
}

/// What can go wrong beside single messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process dies; its disk forgets what was not synced.
    Crash,
    /// All of them at once.
    PowerCut,
    /// A process ends in good order and starts again.
    Restart,
    /// The ensemble falls into two parts.
    Split,
    /// The leader hears nobody and is heard by nobody.
    IsolateLeader,
    /// One direction of one link is dead.
    OneWay,
    /// A link keeps what is sent, and delivers it much later.
    Hold,
    /// A process gets no processor for a while.
    Stall,
    /// A clock jumps forward.
    Jump,
    /// A sync fails.
    FailedSync,
    /// The disk is full for a while.
    FullDisk,
    /// The disk hangs for a while.
    SlowDisk,
    /// The disk loses or changes what was durable.
    Damage,
    /// The disk is replaced by an empty one.
    Wipe,
    /// The leader is asked to let another lead.
    HandOver,
    /// The ensemble is changed.
    Change,
}

const EVERY_FAULT: [Fault; 16] = [
    Fault::Crash,
    Fault::PowerCut,
    Fault::Restart,
    Fault::Split,
    Fault::IsolateLeader,
    Fault::OneWay,
    Fault::Hold,
    Fault::Stall,
    Fault::Jump,
    Fault::FailedSync,
    Fault::FullDisk,
    Fault::SlowDisk,
    Fault::Damage,
    Fault::Wipe,
    Fault::HandOver,
    Fault::Change,
];

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Plan {
    /// The plan of a seed. Each run has some kinds of faults and lacks others, so that none hides
    /// behind another.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed ^ 0x706c_616e);
        let size = [3, 3, 3, 1, 5, 3, 5, 7][rng.index(8)];
        Self::sized(seed, size)
    }

    /// A plan that is nothing but members coming, going and being lost, in a hurry.
    #[cfg(feature = "mistakes")]
    pub fn of_members(seed: u64) -> Self {
        let mut plan = Self::sized(seed, [3, 3, 5, 2][(seed % 4) as usize]);
        plan.faults.kinds = vec![
            Fault::Change,
            Fault::Change,
            Fault::Wipe,
            Fault::Damage,
            Fault::PowerCut,
            Fault::Crash,
            Fault::Split,
            Fault::IsolateLeader,
            Fault::Hold,
        ];
        plan.hurry(seed);
        plan
    }

    /// A plan of leaders that are cut off, and of many who read.
    #[cfg(feature = "mistakes")]
    pub fn of_leaders(seed: u64) -> Self {
        let mut plan = Self::sized(seed, 3);
        plan.faults.kinds = vec![Fault::IsolateLeader, Fault::IsolateLeader, Fault::Hold];
        plan.load.pause = ms(3);
        plan.hurry(seed);
        plan
    }

    /// A plan of one replica whose disk lies and fails.
    #[cfg(feature = "mistakes")]
    pub fn of_a_disk(seed: u64) -> Self {
        let mut plan = Self::sized(seed, 1);
        plan.faults.kinds = vec![
            Fault::FailedSync,
            Fault::FailedSync,
            Fault::Crash,
            Fault::Restart,
            Fault::Damage,
        ];
        plan.load.pause = ms(20);
        plan.hurry(seed);
        plan.rounds = 1;
        plan
    }

    #[cfg(feature = "mistakes")]
    fn hurry(&mut self, seed: u64) {
        self.faults.pause = ms(100 + seed % 7 * 100);
        self.chaos = ms(8_000);
        self.rounds = 2;
    }

    /// The same, but for the number of members.
    pub fn sized(seed: u64, size: usize) -> Self {
        let rng = &mut Rng::from_seed(seed ^ 0x7369_7a65);
        let is_calm_network = rng.one_in(4);
        let rare = |rng: &mut Rng, most: u64| if is_calm_network { 0 } else { rng.below(most) };
        let mut kinds: Vec<Fault> = EVERY_FAULT.into_iter().filter(|_| rng.one_in(2)).collect();
        if size == 1 {
            kinds.retain(|kind| {
                !matches!(
                    kind,
                    Fault::Split
                        | Fault::IsolateLeader
                        | Fault::OneWay
                        | Fault::Hold
                        | Fault::Wipe
                        | Fault::HandOver
                        | Fault::Change
                )
            });
        }
        if kinds.is_empty() {
            kinds.push(Fault::Crash);
        }
        Self {
            seed,
            size,
            spares: 2,
            rounds: 3,
            chaos: ms(4_000 + rng.below(12_000)),
            network: NetworkPlan {
                lost_per_mille: rare(rng, 150),
                doubled_per_mille: rare(rng, 100),
                slow_per_mille: rare(rng, 60),
                delay: (
                    Duration::from_micros(50 + rng.below(500)),
                    ms(1 + rng.below(15)),
                ),
                slow: ms(50 + rng.below(2_000)),
                is_fifo: rng.one_in(3),
                outlives_processes: rng.one_in(2),
            },
            disk: DiskPlan {
                sync: (Duration::from_micros(100), ms(1 + rng.below(12))),
                slow_per_mille: rng.below(20),
                slow: ms(20 + rng.below(150)),
                journal_batches: 1 + rng.below(60),
            },
            clock_spread: [0.0, 0.01, 0.1, 0.25][rng.index(4)],
            load: LoadPlan {
                pause: ms([30, 100, 200, 400][rng.index(4)]),
                burst: 1 + rng.below(6),
                has_floods: rng.one_in(40),
                truncate_one_in: 10 + rng.below(40),
                payload_max: 1 + rng.index(64),
            },
            faults: FaultPlan {
                pause: ms(100 + rng.below(1_500)),
                kinds,
            },
        }
    }
}
