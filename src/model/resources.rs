//! What tasks need and machines have.

use std::collections::{BTreeMap, BTreeSet};

/// Processor time in thousandths of a core.
///
/// Fixed point, as in Mesos: sums of fractions stay exact. The API's doubles are rounded to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliCpus(pub i64);

impl MilliCpus {
    /// The nearest value to `cores`; values that are not finite count as zero, huge ones saturate.
    pub fn from_cores(cores: f64) -> Self {
        // The cast saturates and maps NaN to zero, which is what is wanted.
        Self((cores * 1000.0).round() as i64)
    }

    /// In cores.
    pub fn as_cores(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// An amount of each resource, ports by number or by count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resources {
    /// Processor time.
    pub cpus: MilliCpus,
    /// Memory in MiB.
    pub ram_mb: i64,
    /// Disk in MiB.
    pub disk_mb: i64,
    /// How many ports.
    pub ports: u32,
    /// How many GPUs.
    pub gpus: i64,
}

impl Resources {
    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpus: MilliCpus(self.cpus.0.saturating_add(other.cpus.0)),
            ram_mb: self.ram_mb.saturating_add(other.ram_mb),
            disk_mb: self.disk_mb.saturating_add(other.disk_mb),
            ports: self.ports.saturating_add(other.ports),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// What is left after taking `other`; may be negative, except ports, which stop at zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cpus: MilliCpus(self.cpus.0.saturating_sub(other.cpus.0)),
            ram_mb: self.ram_mb.saturating_sub(other.ram_mb),
            disk_mb: self.disk_mb.saturating_sub(other.disk_mb),
            ports: self.ports.saturating_sub(other.ports),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    /// The same amount `count` times, saturating.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        let n = i64::from(count);
        Self {
            cpus: MilliCpus(self.cpus.0.saturating_mul(n)),
            ram_mb: self.ram_mb.saturating_mul(n),
            disk_mb: self.disk_mb.saturating_mul(n),
            ports: self.ports.saturating_mul(count),
            gpus: self.gpus.saturating_mul(n),
        }
    }

    /// Whether `need` fits into this amount.
    pub fn fits(&self, need: &Self) -> bool {
        need.cpus <= self.cpus
            && need.ram_mb <= self.ram_mb
            && need.disk_mb <= self.disk_mb
            && need.ports <= self.ports
            && need.gpus <= self.gpus
    }
}

/// A closed range of port numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port, itself included.
    pub last: u16,
}

/// The ports that a machine gives out, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<PortRange>);

impl Ports {
    /// How many ports there are. Ranges must not overlap.
    pub fn count(&self) -> u32 {
        let size = |r: &PortRange| u32::from(r.last).saturating_sub(u32::from(r.first)) + 1;
        self.0.iter().filter(|r| r.first <= r.last).map(size).sum()
    }

    /// Whether `port` lies in one of the ranges.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|r| (r.first..=r.last).contains(&port))
    }

    /// All ports, in order.
    pub fn all(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|r| r.first..=r.last)
    }

    /// The port at this place of [`Ports::all`].
    pub fn nth(&self, mut place: usize) -> Option<u16> {
        for range in self.0.iter().filter(|r| r.first <= r.last) {
            let size = usize::from(range.last - range.first) + 1;
            if place < size {
                return u16::try_from(usize::from(range.first) + place).ok();
            }
            place -= size;
        }
        None
    }

    /// All ports that are not in `taken`, in order.
    pub fn free<'a>(&'a self, taken: &'a BTreeSet<u16>) -> impl Iterator<Item = u16> + 'a {
        self.all().filter(|p| !taken.contains(p))
    }
}

/// Ports that a task was given, by name.
pub type NamedPorts = BTreeMap<String, u16>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_round_to_thousandths_and_come_back() {
        assert_eq!(MilliCpus::from_cores(0.1).as_cores(), 0.1);
        assert_eq!(MilliCpus::from_cores(0.25), MilliCpus(250));
        assert_eq!(MilliCpus::from_cores(f64::NAN), MilliCpus(0));
    }

    #[test]
    fn what_fits_leaves_nothing_negative() {
        let have = Resources {
            cpus: MilliCpus(1000),
            ram_mb: 128,
            disk_mb: 64,
            ports: 2,
            gpus: 0,
        };
        let need = Resources {
            cpus: MilliCpus(1000),
            ram_mb: 1,
            disk_mb: 64,
            ports: 1,
            gpus: 0,
        };
        assert!(have.fits(&need));
        let left = have.minus(need);
        assert!(left.cpus.0 >= 0 && left.ram_mb >= 0 && left.disk_mb >= 0);
        assert!(!left.fits(&need));
    }

    #[test]
    fn free_ports_skip_the_taken_ones() {
        let ports = Ports(vec![
            PortRange {
                first: 10,
                last: 12,
            },
            PortRange {
                first: 20,
                last: 20,
            },
        ]);
        assert_eq!(ports.count(), 4);
        let all: Vec<u16> = ports.all().collect();
        let by_place: Vec<u16> = (0..10).map_while(|place| ports.nth(place)).collect();
        assert_eq!(by_place, all);
        let free: Vec<u16> = ports.free(&BTreeSet::from([11])).collect();
        assert_eq!(free, [10, 12, 20]);
    }
}
