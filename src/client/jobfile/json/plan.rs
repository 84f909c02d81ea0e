//! Checks the order of a task's processes the way the executor will read it: the same rules as
//! `loader/plan.py`.

use super::node::Misfit;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
struct Process {
    daemon: bool,
    ephemeral: bool,
    last: bool,
}

/// For each process those that wait for it, with the field that says so.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// Takes a rendered task; the field of an error is seen from the task.
pub(super) fn check(task: &Value) -> Result<(), Misfit> {
    let mut processes = BTreeMap::new();
    for (at, process) in members(&task["processes"]).enumerate() {
        let name = process["name"].as_str().unwrap_or_default();
        let field = format!(".processes[{at}].name");
        if name.is_empty() || name.starts_with(['.', '/']) || name.contains('/') {
            return Err(Misfit::new(
                field,
                format!(
                    "'{name}' is no name for a process: it must not be empty, start with a dot or \
                     hold a slash"
                ),
            ));
        }
        let flags = Process {
            daemon: process["daemon"] == true,
            ephemeral: process["ephemeral"] == true,
            last: process["final"] == true,
        };
        if processes.insert(name, flags).is_some() {
            let message = format!("there are two processes with the name '{name}'");
            return Err(Misfit::new(field, message));
        }
    }
    let mut edges: Edges<'_> = processes
        .keys()
        .map(|name| (*name, BTreeMap::new()))
        .collect();
    for (at, constraint) in members(&task["constraints"]).enumerate() {
        let names: Vec<_> = members(&constraint["order"])
            .filter_map(Value::as_str)
            .collect();
        add_order(&names, &processes, &mut edges, at)
            .map_err(|message| Misfit::new(order_field(at), message))?;
    }
    check_cycles(&edges)
}

fn order_field(at: usize) -> String {
    format!(".constraints[{at}].order")
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn add_order<'a>(
    names: &[&'a str],
    processes: &BTreeMap<&'a str, Process>,
    edges: &mut Edges<'a>,
    at: usize,
) -> Result<(), String> {
    let mut flags = Vec::with_capacity(names.len());
    for name in names {
        let process = processes
            .get(name)
            .ok_or_else(|| format!("there is no process '{name}'"))?;
        flags.push(*process);
    }
    if flags.windows(2).any(|pair| pair[0].last != pair[1].last) {
        return Err("orders final and ordinary processes together; they never run together".into());
    }
    for (pair, kinds) in names.windows(2).zip(flags.windows(2)) {
        let (before, after) = (pair[0], pair[1]);
        if kinds[0].daemon {
            return Err(format!(
                "'{after}' waits for the daemon '{before}', which never ends"
            ));
        }
        if kinds[0].ephemeral && !kinds[1].ephemeral {
            return Err(format!(
                "'{after}' waits for '{before}', which is ephemeral while '{after}' is not"
            ));
        }
        edges.entry(before).or_default().entry(after).or_insert(at);
    }
    Ok(())
}

/// Takes away, again and again, what waits for nothing; what cannot be taken away is in a circle.
fn check_cycles(edges: &Edges<'_>) -> Result<(), Misfit> {
    let mut waits: BTreeMap<&str, usize> = edges.keys().map(|name| (*name, 0)).collect();
    for after in edges.values().flat_map(BTreeMap::keys) {
        *waits.entry(after).or_default() += 1;
    }
    let mut ready: Vec<&str> = Vec::new();
    ready.extend(
        waits
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(name, _)| *name),
    );
    while let Some(name) = ready.pop() {
        waits.remove(name);
        for after in edges[name].keys() {
            let count = waits.entry(after).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push(after);
            }
        }
    }
    let Some(mut name) = waits.keys().next().copied() else {
        return Ok(());
    };
    // Every process left waits for one that is left, so going back must come by the same one twice.
    let mut back = vec![name];
    let (start, at) = loop {
        let before = edges.iter().find_map(|(before, after)| {
            let at = after.get(name)?;
            waits.contains_key(before).then_some((*before, *at))
        });
        let Some((before, at)) = before else {
            break (0, 0);
        };
        name = before;
        if let Some(start) = back.iter().position(|seen| *seen == name) {
            break (start, at);
        }
        back.push(name);
    };
    let mut circle = back.split_off(start);
    circle.push(name);
    circle.reverse();
    Err(Misfit::new(
        order_field(at),
        format!("the order is a circle: {}", circle.join(" < ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(orders: &[&[&str]]) -> Option<String> {
        let flags = |name: &str| {
            json!({"name": name, "daemon": name == "d",
            "ephemeral": name == "e", "final": name == "f"})
        };
        let processes: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(flags).into();
        let constraints: Vec<_> = orders.iter().map(|order| json!({"order": order})).collect();
        let task = json!({"processes": processes, "constraints": constraints});
        check(&task).err().map(|misfit| misfit.message)
    }

    #[test]
    fn orders_without_circles_are_fine() {
        assert_eq!(
            message(&[&["a", "b"], &["b", "c"], &["a", "c"], &["a", "d"]]),
            None
        );
    }

    #[test]
    fn circles_are_shown() {
        let circle = "the order is a circle: ";
        assert_eq!(message(&[&["a", "a"]]), Some(format!("{circle}a < a")));
        let shown = message(&[&["a", "b", "c"], &["c", "b"]]).unwrap();
        assert!(
            ["b < c < b", "c < b < c"]
                .iter()
                .any(|text| shown.ends_with(text)),
            "{shown}"
        );
    }

    #[test]
    fn nothing_waits_for_what_does_not_end() {
        for (order, words) in [
            (["d", "a"], "daemon"),
            (["e", "a"], "ephemeral"),
            (["f", "a"], "final"),
            (["x", "a"], "no process"),
        ] {
            let shown = message(&[&order]).unwrap();
            assert!(shown.contains(words), "{shown}");
        }
    }
}
