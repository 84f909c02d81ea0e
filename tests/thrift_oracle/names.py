"""Names of the members of enums, for the plain JSON of /apibeta: by struct and field."""

_CODES = "INVALID_REQUEST OK ERROR WARNING AUTH_FAILED JOB_UPDATING_ERROR ERROR_TRANSIENT"
_TASK = {
    11: "INIT", 16: "THROTTLED", 0: "PENDING", 9: "ASSIGNED", 1: "STARTING", 2: "RUNNING",
    3: "FINISHED", 13: "PREEMPTING", 12: "RESTARTING", 17: "DRAINING", 4: "FAILED", 5: "KILLED",
    6: "KILLING", 7: "LOST", 18: "PARTITIONED",
}  # fmt: skip
_UPDATE = dict(
    enumerate(
        "ROLLING_FORWARD ROLLING_BACK ROLL_FORWARD_PAUSED ROLL_BACK_PAUSED ROLLED_FORWARD ROLLED_BACK "
        "ABORTED ERROR FAILED ROLL_FORWARD_AWAITING_PULSE ROLL_BACK_AWAITING_PULSE".split()
    )
)
_ACTION = dict(
    enumerate(
        "INSTANCE_UPDATED INSTANCE_ROLLED_BACK INSTANCE_UPDATING INSTANCE_ROLLING_BACK "
        "INSTANCE_UPDATE_FAILED INSTANCE_ROLLBACK_FAILED".split(),
        1,
    )
)

NAMES = {
    ("Response", "responseCode"): dict(enumerate(_CODES.split())),
    ("ScheduledTask", "status"): _TASK,
    ("TaskEvent", "status"): _TASK,
    ("TaskQuery", "statuses"): _TASK,
    ("forceTaskState_args", "status"): _TASK,
    ("JobUpdateState", "status"): _UPDATE,
    ("JobUpdateEvent", "status"): _UPDATE,
    ("JobUpdateQuery", "updateStatuses"): _UPDATE,
    ("JobInstanceUpdateEvent", "action"): _ACTION,
    ("PulseJobUpdateResult", "status"): {1: "OK", 2: "FINISHED"},
    ("HostStatus", "mode"): {1: "NONE", 2: "SCHEDULED", 3: "DRAINING", 4: "DRAINED"},
    ("Volume", "mode"): {1: "RW", 2: "RO"},
    ("JobConfiguration", "cronCollisionPolicy"): {
        0: "KILL_EXISTING", 1: "CANCEL_NEW", 2: "RUN_OVERLAP",
    },
}  # fmt: skip
