//! Lines of fields in JSON text.

/// The line of a field such as `jobs[0].task.name` in valid JSON, or of the innermost value around it
/// that is there.
pub(super) fn line_of(text: &str, field: &str) -> u32 {
    let (root, rest) = field.split_at(field.find(['.', '[']).unwrap_or(field.len()));
    let mut at = skip(text, 0);
    if root == "jobs" {
        at = member(text, at, "jobs").unwrap_or(at);
    }
    let rest = rest.replace('[', ".").replace(']', "");
    for step in rest.split('.').filter(|step| !step.is_empty()) {
        match member(text, at, step) {
            Some(inner) => at = inner,
            None => break,
        }
    }
    let lines = text[..at].bytes().filter(|byte| *byte == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1)
}

fn skip(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len()
}

/// Where the member of the object or array at `at` starts.
fn member(text: &str, at: usize, step: &str) -> Option<usize> {
    let object = match text.as_bytes().get(at)? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let mut at = skip(text, at + 1);
    for index in 0.. {
        if matches!(text.as_bytes().get(at)?, b'}' | b']') {
            return None;
        }
        let mut key = index.to_string();
        if object {
            let end = end_of(text, at)?;
            key = serde_json::from_str(&text[at..end]).ok()?;
            at = skip(text, skip(text, end) + 1);
        }
        if key == step {
            return Some(at);
        }
        at = skip(text, end_of(text, at)?);
        if text.as_bytes().get(at)? == &b',' {
            at = skip(text, at + 1);
        }
    }
    None
}

/// Where the value that starts at `at` ends.
fn end_of(text: &str, at: usize) -> Option<usize> {
    let mut values =
        serde_json::Deserializer::from_str(&text[at..]).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    Some(at + values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_lines() {
        let text = "\n{\"jobs\": [{\"a\": \"x]\"},\n {\"b\": 1,\n \"task\": {\"p\": [1,\n 2]}}]}";
        assert_eq!(line_of(text, "jobs[0].a"), 2);
        assert_eq!(line_of(text, "jobs[1].b"), 3);
        assert_eq!(line_of(text, "jobs[1].task.p[0]"), 4);
        assert_eq!(line_of(text, "jobs[1].task.p[1]"), 5);
        assert_eq!(line_of(text, "jobs[1].task.missing"), 4);
        assert_eq!(line_of("{\n\"a\": 1}", "Job.a"), 2);
    }
}
