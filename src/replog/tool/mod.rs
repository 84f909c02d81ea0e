//! `aurora-log`, also called `mesos-log`: the operators' tool for a replica.
