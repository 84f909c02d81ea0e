//! Forgetting history.

use super::world::{World, config, create};
use crate::model::TaskState;
use std::time::Duration;

#[test]
fn too_long_histories_are_found_a_share_of_the_jobs_at_a_time() {
    let mut world = World::with(31, |options| options.history_per_job = 1);
    world.agent_up("a");
    // Jobs of one, two and three ended tasks: none, one and two too many.
    for job in 0..9 {
        for _ in 0..1 + job % 3 {
            let config = config(&format!("j{job}"), |c| c.is_service = false);
            world.command(None, &create(config, 1));
            world.calm();
            world.all_go(TaskState::Starting, TaskState::Finished);
            world.calm();
        }
    }
    let share = |world: &mut World, jobs: usize| -> Vec<String> {
        let (now, mut prune) = (world.now, Vec::new());
        world.engine.add_too_many(now, &mut prune, jobs);
        let names = prune.iter().map(|task| task.job().name().to_owned());
        names.collect()
    };
    assert!(share(&mut world, 100).is_empty(), "they ended a moment ago");
    world.pass(Duration::from_secs(3_700));
    assert_eq!(share(&mut world, 4), ["j1", "j2", "j2"]);
    assert_eq!(share(&mut world, 4), ["j4", "j5", "j5", "j7"]);
    assert_eq!(share(&mut world, 4), ["j8", "j8"]);
    assert_eq!(share(&mut world, 4), ["j1", "j2", "j2"], "it begins anew");
}
