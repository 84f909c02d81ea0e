//! Backups as bytes: there and back, frozen, cut and damaged everywhere.

use super::*;
use crate::model::{
    AgentId, Attribute, HostAttributes, JobKey, MaintenanceMode, Quota, ScheduleStatus,
    ScheduledTask, TaskConfig, TaskEvent, TaskId,
};
use crate::storage::Op;
use crate::storage::stored::tests::{config, records};
use std::collections::BTreeSet;

fn task(config: &Arc<TaskConfig>, id: &str, instance: u32) -> Op {
    let event = |status, at| TaskEvent {
        at: Timestamp(at),
        status,
        message: None,
        scheduler: Some("s".into()),
    };
    Op::RestoreTask(Arc::new(ScheduledTask {
        id: TaskId::new(id),
        config: Arc::clone(config),
        instance,
        status: ScheduleStatus::Running,
        failure_count: 1,
        times_partitioned: 0,
        ancestor: None,
        agent: Some(AgentId::new("agent")),
        host: Some("host".into()),
        ports: [("http".into(), 31_000)].into_iter().collect(),
        events: vec![
            event(ScheduleStatus::Pending, 5),
            event(ScheduleStatus::Running, 9),
        ],
    }))
}

/// Tables with something in each of them.
fn small() -> Tables {
    let mut tables = Tables::default();
    let mut ops = vec![
        Op::SetFrameworkId("framework".into()),
        Op::SetHost(Arc::new(HostAttributes {
            host: "host".into(),
            agent: AgentId::new("agent"),
            attributes: vec![Attribute {
                name: "rack".into(),
                values: BTreeSet::from(["r1".to_owned()]),
            }],
            mode: MaintenanceMode::Scheduled,
        })),
        Op::SetQuota {
            role: "role".into(),
            quota: Quota::default(),
        },
    ];
    let config = config(0);
    ops.extend((0..3).map(|i| task(&config, &format!("task-{i}"), i)));
    for op in &ops {
        tables.apply(op).unwrap();
    }
    // Cron jobs, updates, answers and orders, as the stored form's own tests have them.
    for record in records() {
        let (Record::Ops { ops, .. } | Record::Snapshot(stored::Chunk { ops, .. })) = record;
        for op in ops {
            // What does not fit is not there.
            tables.apply(&op).unwrap_or_default();
        }
    }
    tables.set_version(77);
    tables
}

fn header(tables: &Tables) -> Header {
    Header {
        program: "0.1.0".to_owned(),
        ..Header::of(tables, "cluster", Timestamp(1_700_000_000_000))
    }
}

fn encoded(tables: &Tables) -> Vec<u8> {
    Encoder::new(header(tables), Arc::new(tables.clone()))
        .flatten()
        .collect()
}

fn decoded(bytes: &[u8]) -> Result<Backup, BackupError> {
    let mut decoder = Decoder::new();
    decoder.take(bytes)?;
    decoder.finish()
}

fn looked(bytes: &[u8]) -> Result<Looked, BackupError> {
    let mut decoder = Decoder::that_looks();
    decoder.take(bytes)?;
    decoder.finish_look()
}

/// All that tables hold, as bytes.
fn content(tables: &Tables) -> Vec<u8> {
    encoded(tables)
}

#[test]
fn a_backup_comes_back_as_it_was_whatever_the_portions() {
    let tables = small();
    let bytes = encoded(&tables);
    for portion in [1, 2, 7, 1_000, bytes.len()] {
        let mut decoder = Decoder::new();
        for part in bytes.chunks(portion) {
            decoder.take(part).unwrap();
        }
        let backup = decoder.finish().unwrap();
        assert_eq!(backup.header, header(&tables));
        assert_eq!(content(&backup.tables), content(&tables));
        assert_eq!(backup.tables.version(), 77);
    }
    let looked = looked(&bytes).unwrap();
    assert_eq!(looked.bytes, bytes.len() as u64);
    assert_eq!(looked.sum, frame::checksum(&bytes));
}

#[test]
fn a_backup_of_many_chunks_comes_back_as_it_was() {
    let mut tables = Tables::default();
    let mut large = TaskConfig::clone(&config(0));
    large.executor.as_mut().unwrap().data = Some("x".repeat(1 << 20));
    for job in 0..9 {
        large.job = JobKey::new("role", "prod", &format!("large-{job}")).unwrap();
        let config = Arc::new(large.clone());
        tables
            .apply(&task(&config, &format!("large-{job}"), 0))
            .unwrap();
    }
    let config = config(1);
    for i in 0..2_100 {
        tables
            .apply(&task(&config, &format!("many-{i}"), i))
            .unwrap();
    }
    tables.set_version(5);
    let portions: Vec<Vec<u8>> = Encoder::new(header(&tables), Arc::new(tables.clone())).collect();
    assert!(portions.len() > 9, "{}", portions.len());
    let longest = portions.iter().map(Vec::len).max().unwrap();
    // Far below the longest entry of the log.
    assert!(longest < 4 << 20, "{longest}");
    let backup = decoded(&portions.concat()).unwrap();
    assert_eq!(backup.tables.task_count(), 2_109);
    assert_eq!(content(&backup.tables), content(&tables));
}

#[test]
fn version_1_is_frozen() {
    let golden = include_str!("../../../tests/fixtures/backup_v1.hex");
    let digits: Vec<char> = golden.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    let golden: Vec<u8> = digits.chunks(2).map(byte).collect();
    let backup = decoded(&golden).expect("backups that are kept already must be readable");
    assert_eq!(backup.header.cluster, "cluster");
    assert_eq!(backup.header.version, 77);
    let tables = &backup.tables;
    let task = tables.task(&TaskId::new("task-2")).unwrap();
    assert_eq!(task.status, ScheduleStatus::Running);
    assert_eq!(task.config, config(0));
    assert_eq!(tables.quota("role").unwrap().ram_mb, 1_024);
    assert!(tables.framework_id().is_some());
    assert_eq!(tables.host("host").unwrap().mode, MaintenanceMode::Drained);
    // Written again, they are the same.
    let again = Encoder::new(backup.header.clone(), Arc::new(backup.tables));
    assert_eq!(again.flatten().collect::<Vec<u8>>(), golden);
}

#[test]
fn a_backup_cut_anywhere_is_refused() {
    let bytes = encoded(&small());
    for cut in 0..bytes.len() {
        let error = BackupError::Cut { at: cut as u64 };
        assert_eq!(decoded(&bytes[..cut]).unwrap_err(), error);
        assert_eq!(looked(&bytes[..cut]).unwrap_err(), error);
    }
}

#[test]
fn a_backup_with_any_bit_flipped_is_refused() {
    let mut bytes = encoded(&small());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(looked(&bytes).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
        bytes[at] = !bytes[at];
        assert!(decoded(&bytes).is_err(), "byte {at}");
        bytes[at] = !bytes[at];
    }
    decoded(&bytes).unwrap();
}

#[test]
fn frames_that_were_swapped_left_out_doubled_or_added_are_refused() {
    let mut tables = small();
    let config = config(1);
    for i in 0..1_200 {
        tables
            .apply(&task(&config, &format!("many-{i}"), i))
            .unwrap();
    }
    let header = header(&tables);
    let portions: Vec<Vec<u8>> = Encoder::new(header, Arc::new(tables)).collect();
    assert!(portions.len() >= 5);
    decoded(&portions.concat()).unwrap();
    for at in 0..portions.len() {
        let mut without = portions.clone();
        without.remove(at);
        assert!(decoded(&without.concat()).is_err(), "{at}");
        let mut doubled = portions.clone();
        doubled.insert(at, portions[at].clone());
        assert!(decoded(&doubled.concat()).is_err(), "{at}");
        let mut swapped = portions.clone();
        swapped.swap(at, (at + 1) % portions.len());
        assert!(decoded(&swapped.concat()).is_err(), "{at}");
    }
    let mut longer = portions.concat();
    let at = longer.len() as u64;
    longer.push(0);
    assert_eq!(decoded(&longer).unwrap_err(), BackupError::Behind { at });
}

#[test]
fn what_another_program_wrote_is_told_from_damage() {
    assert_eq!(decoded(b"\x0f\x00\x02").unwrap_err(), BackupError::Foreign);
    assert_eq!(decoded(b"").unwrap_err(), BackupError::Cut { at: 0 });
    let mut later = MARK.to_vec();
    frame::encode(&[1, 2, 3], &mut later);
    assert_eq!(decoded(&later).unwrap_err(), BackupError::Version(2));
}
