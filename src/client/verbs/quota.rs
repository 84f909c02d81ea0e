//! `aurora quota`.

use crate::client::args::QuotaGet;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::render::quota as render;
use crate::client::scheduler::{COMMAND_FAILURE, Repeat};
use crate::client::session::Session;
use crate::thrift::api::ResponseResult;
use crate::thrift::service::{GetQuota, Request};

/// Shows a role's quota.
pub fn get(session: &mut Session<'_, '_>, args: &QuotaGet) -> Outcome {
    let request = Request::GetQuota(Box::new(GetQuota {
        owner_role: Some(args.role.role.clone()),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let result = session.demand(&args.role.cluster, &request, Repeat::Always, heading)?;
    let Some(ResponseResult::GetQuotaResult(quota)) = result else {
        let message = "the scheduler's reply holds no quota";
        return Err(CommandError::new(Exit::Unknown, message));
    };
    let text = if args.write_json {
        render::json(&quota)
    } else {
        render::text(&quota)
    };
    session.world.print(&text);
    Ok(Exit::Ok)
}
