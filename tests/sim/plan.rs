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
    /// Whether operators name other members each time until an ensemble is formed.
    pub forms_anew: bool,
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
    /// Whether something may go wrong just when the ensemble is changed.
    pub strikes: bool,
    /// Up to how many members it only grows.
    pub grows_to: u32,
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
    /// The leader dies.
    CrashLeader,
    /// The disk of an earlier life is put back.
    OldLife,
    /// The leader gets no processor for a while.
    StallLeader,
    /// The leader is heard by nobody, and hears late.
    Strand,
}

/// Those that came later: they leave what the seeds before them decide as it is.
const AIMED_FAULTS: [Fault; 4] = [
    Fault::CrashLeader,
    Fault::OldLife,
    Fault::StallLeader,
    Fault::Strand,
];

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
    /// The plans that aim at something, by name.
    pub const AIMED: [(&str, fn(u64) -> Self); 8] = [
        ("a disk", Self::of_a_disk),
        ("elections", Self::of_elections),
        ("feeding", Self::of_feeding),
        ("forming", Self::of_forming),
        ("growth", Self::of_growth),
        ("leaders", Self::of_leaders),
        ("lives", Self::of_lives),
        ("members", Self::of_members),
    ];

    /// The plan of a seed. Each run has some kinds of faults and lacks others, so that none hides
    /// behind another.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed ^ 0x706c_616e);
        let size = [3, 3, 3, 1, 5, 3, 5, 7][rng.index(8)];
        Self::sized(seed, size)
    }

    /// A plan that is nothing but members coming, going and being lost, in a hurry.
    pub fn of_members(seed: u64) -> Self {
        let mut plan = Self::sized(seed, [3, 3, 5, 2][(seed % 4) as usize]);
        plan.faults.kinds = vec![
            Fault::Change,
            Fault::Change,
            Fault::Change,
            Fault::Wipe,
            Fault::Damage,
            Fault::OldLife,
            Fault::Crash,
            Fault::IsolateLeader,
            Fault::Hold,
        ];
        plan.faults.strikes = true;
        plan.hurry(seed);
        plan
    }

    /// A plan of an ensemble that grows to seven, with something going wrong at each step.
    pub fn of_growth(seed: u64) -> Self {
        let mut plan = Self::sized(seed, [2, 3][(seed % 2) as usize]);
        plan.spares = 7 - plan.size;
        plan.faults.kinds = vec![Fault::Change, Fault::Change, Fault::Hold];
        plan.faults.strikes = true;
        plan.faults.grows_to = 7;
        plan.hurry(seed);
        plan
    }

    /// A plan of members that lose their state, come back, and are put back to what they were.
    pub fn of_lives(seed: u64) -> Self {
        let mut plan = Self::sized(seed, [3, 5][(seed % 2) as usize]);
        plan.spares = 0;
        plan.faults.kinds = vec![
            Fault::Damage,
            Fault::Damage,
            Fault::OldLife,
            Fault::OldLife,
            Fault::CrashLeader,
            Fault::Strand,
            Fault::Hold,
        ];
        plan.faults.strikes = true;
        plan.hurry(seed);
        plan
    }

    /// A plan of members that have to be fed by leaders that are about to be overtaken.
    pub fn of_feeding(seed: u64) -> Self {
        let mut plan = Self::sized(seed, 3);
        plan.spares = 0;
        plan.faults.kinds = vec![
            Fault::Strand,
            Fault::Strand,
            Fault::Crash,
            Fault::StallLeader,
        ];
        plan.network.lost_per_mille = 100 + seed % 3 * 100;
        plan.network.outlives_processes = true;
        plan.load.pause = ms(20);
        plan.load.truncate_one_in = 200;
        plan.hurry(seed);
        plan.faults.pause = ms(500);
        plan
    }

    /// A plan of nothing but an ensemble that is being formed.
    pub fn of_forming(seed: u64) -> Self {
        let mut plan = Self::sized(seed, 5);
        plan.faults.kinds = vec![Fault::Crash, Fault::PowerCut, Fault::Hold];
        plan.faults.pause = ms(40 + seed % 5 * 20);
        plan.forms_anew = true;
        plan.network.outlives_processes = true;
        plan.spares = 0;
        plan.rounds = 1;
        plan.chaos = ms(2_000);
        plan
    }

    /// A plan of many candidates whose words are slow.
    pub fn of_elections(seed: u64) -> Self {
        let mut plan = Self::sized(seed, [5, 7, 3][(seed % 3) as usize]);
        plan.spares = 0;
        plan.faults.kinds = vec![Fault::CrashLeader, Fault::HandOver, Fault::Strand];
        plan.network.slow_per_mille = 300;
        plan.network.slow = ms(20 + seed % 4 * 50);
        plan.network.is_fifo = false;
        plan.network.outlives_processes = true;
        plan.hurry(seed);
        plan
    }

    /// A plan of leaders that are cut off, and of many who read.
    pub fn of_leaders(seed: u64) -> Self {
        let mut plan = Self::sized(seed, 3);
        plan.faults.kinds = vec![
            Fault::IsolateLeader,
            Fault::StallLeader,
            Fault::Strand,
            Fault::Hold,
        ];
        plan.load.pause = ms(30);
        plan.hurry(seed);
        plan
    }

    /// A plan of one replica whose disk lies and fails.
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
        let aimed = &mut Rng::from_seed(seed ^ 0x6169_6d65);
        if size > 1 {
            kinds.extend(AIMED_FAULTS.into_iter().filter(|_| aimed.one_in(3)));
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
                strikes: aimed.one_in(2),
                grows_to: 0,
            },
            forms_anew: false,
        }
    }
}
