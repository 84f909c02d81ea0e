//! Who a task runs as.

use crate::executor::order::Identity;
use nix::unistd::{Gid, Uid, User, getgrouplist};
use std::ffi::CString;
use thiserror::Error;

/// Why a role cannot run tasks here.
#[derive(Debug, Error)]
pub enum UserError {
    /// The user database cannot be asked.
    #[error("Cannot look up user '{role}': {source}")]
    Database {
        /// The role.
        role: String,
        /// Why.
        source: nix::Error,
    },
    /// Root, and that is not allowed.
    #[error(
        "Tasks of '{0}' would run as root, which this agent allows only with -allow_root_tasks=true"
    )]
    Root(String),
    /// No such user.
    #[error("Unknown user '{0}'")]
    Unknown(String),
}

/// Looks up the user called `role`; an agent that is not root runs everything as its own user.
///
/// # Errors
///
/// The role names no user, or one that may not run tasks.
pub fn identity_of(role: &str, is_root_allowed: bool) -> Result<Identity, UserError> {
    let database = |source| UserError::Database {
        role: role.to_owned(),
        source,
    };
    let own = Uid::effective();
    if !own.is_root() {
        let user = User::from_uid(own).map_err(database)?;
        return Ok(Identity {
            user: user
                .as_ref()
                .map_or_else(|| own.to_string(), |it| it.name.clone()),
            uid: own.as_raw(),
            gid: Gid::effective().as_raw(),
            groups: Vec::new(),
            home: user.map_or_else(|| "/".to_owned(), |it| it.dir.display().to_string()),
            is_switched: false,
        });
    }
    let user = User::from_name(role).map_err(database)?;
    let user = user.ok_or_else(|| UserError::Unknown(role.to_owned()))?;
    if user.uid.is_root() && !is_root_allowed {
        return Err(UserError::Root(role.to_owned()));
    }
    let name = CString::new(user.name.as_str()).map_err(|_| UserError::Unknown(role.to_owned()))?;
    let groups = getgrouplist(&name, user.gid).map_err(database)?;
    Ok(Identity {
        user: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        home: user.dir.display().to_string(),
        is_switched: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_strangers_are_refused_by_a_root_agent() {
        if !Uid::effective().is_root() {
            assert!(!identity_of("no-such-user-here", false).unwrap().is_switched);
            return;
        }
        assert!(matches!(
            identity_of("root", false),
            Err(UserError::Root(_))
        ));
        assert_eq!(identity_of("root", true).unwrap().uid, 0);
        let nobody = identity_of("nobody", false).unwrap();
        assert!(nobody.is_switched && nobody.groups.contains(&nobody.gid));
        assert!(matches!(
            identity_of("no-such-user-here", true),
            Err(UserError::Unknown(_))
        ));
        assert!(matches!(
            identity_of("a\0b", true),
            Err(UserError::Unknown(_) | UserError::Database { .. })
        ));
    }
}
