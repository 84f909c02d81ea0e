//! A job as `job inspect` shows it.

use serde_json::Value;
use std::fmt::Write;

const STRINGS: &str = "strings take all that is written";

/// The job, from the JSON that describes it.
pub fn text(job: &Value) -> String {
    let mut out = String::new();
    job_level(&mut out, job);
    task_level(&mut out, &job["task"]);
    for process in list(&job["task"]["processes"]) {
        self::process(&mut out, process);
    }
    // Whoever prints it ends the last line.
    out.pop();
    out
}

fn job_level(out: &mut String, job: &Value) {
    let mut line = |text: String| writeln!(out, "{text}").expect(STRINGS);
    line("Job level information".to_owned());
    line(format!("  name:       {}", quoted(&job["name"])));
    line(format!("  role:       {}", quoted(&job["role"])));
    if is_set(&job["contact"]) {
        line(format!("  contact:    {}", quoted(&job["contact"])));
    }
    line(format!("  cluster:    {}", quoted(&job["cluster"])));
    line(format!("  instances:  {}", quoted(&job["instances"])));
    if is_set(&job["cron_schedule"]) {
        line("  cron:".to_owned());
        line(format!("    schedule: {}", quoted(&job["cron_schedule"])));
        line(format!(
            "    policy:   {}",
            quoted(&job["cron_collision_policy"])
        ));
    }
    if let Some(constraints) = job["constraints"].as_object().filter(|c| !c.is_empty()) {
        line("  constraints:".to_owned());
        for (name, value) in constraints {
            line(format!("    '{name}': {}", quoted(value)));
        }
    }
    let policy = &job["partition_policy"];
    if is_set(policy) {
        line("  partition_policy:".to_owned());
        line(format!("    reschedule: {}", truth(&policy["reschedule"])));
        line(format!("    delay_secs: {}", quoted(&policy["delay_secs"])));
    }
    line(format!("  service:    {}", truth(&job["service"])));
    line(format!("  production: {}", truth(&job["production"])));
    line(String::new());
}

fn task_level(out: &mut String, task: &Value) {
    let mut line = |text: String| writeln!(out, "{text}").expect(STRINGS);
    line("Task level information".to_owned());
    line(format!("  name: {}", quoted(&task["name"])));
    let constraints = list(&task["constraints"]);
    if !constraints.is_empty() {
        line("  constraints:".to_owned());
        for constraint in constraints {
            let order: Vec<String> = list(&constraint["order"]).iter().map(plain).collect();
            line(format!("  {}", order.join(" < ")));
        }
    }
    line(String::new());
}

fn process(out: &mut String, process: &Value) {
    let mut line = |text: String| writeln!(out, "{text}").expect(STRINGS);
    line(format!("Process {}:", quoted(&process["name"])));
    for property in ["daemon", "ephemeral", "final"] {
        if process[property] == Value::Bool(true) {
            line(format!("  {property}"));
        }
    }
    line("  cmdline:".to_owned());
    for cmdline in plain(&process["cmdline"]).split('\n') {
        line(format!("    {cmdline}"));
    }
    line(String::new());
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_set(value: &Value) -> bool {
    !value.is_null()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn quoted(value: &Value) -> String {
    format!("'{}'", plain(value))
}

/// As Python writes it: scripts look for that.
fn truth(value: &Value) -> &'static str {
    if value == &Value::Bool(true) {
        "True"
    } else {
        "False"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_with_everything() {
        let job = json!({
            "name": "hello", "role": "www-data", "contact": "a@b", "cluster": "west", "instances": 2,
            "cron_schedule": "* * * * *", "cron_collision_policy": "KILL_EXISTING",
            "constraints": {"host": "limit:1"},
            "partition_policy": {"reschedule": true, "delay_secs": 30},
            "service": true, "production": false,
            "task": {
                "name": "hello", "constraints": [{"order": ["a", "b"]}],
                "processes": [
                    {"name": "a", "cmdline": "one\ntwo", "daemon": true, "final": true},
                    {"name": "b", "cmdline": "three", "daemon": false},
                ],
            },
        });
        let expected = "Job level information
  name:       'hello'
  role:       'www-data'
  contact:    'a@b'
  cluster:    'west'
  instances:  '2'
  cron:
    schedule: '* * * * *'
    policy:   'KILL_EXISTING'
  constraints:
    'host': 'limit:1'
  partition_policy:
    reschedule: True
    delay_secs: '30'
  service:    True
  production: False

Task level information
  name: 'hello'
  constraints:
  a < b

Process 'a':
  daemon
  final
  cmdline:
    one
    two

Process 'b':
  cmdline:
    three
";
        assert_eq!(text(&job), expected);
    }
}
