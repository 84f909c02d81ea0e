//! The flags of `aurora quickstart`.

table! {
    /// The flags of `aurora quickstart`, by name.
    QUICKSTART_FLAGS
    dir: Text = "", works,
        "Where everything is kept; default: aurora/quickstart in the user's state directory";
    http_port: Int = "8081", works,
        "The scheduler's port for clients and the web";
    observer_port: Int = "1338", works,
        "The agent's port for task pages";
    once: Bool = "false", works,
        "Ends with status 0 once the job has been RUNNING and is killed again";
    peer_port: Int = "8083", works,
        "The scheduler's port for agents";
}
