//! Registrations (MEC 011 v3): applications that run elsewhere, and what hosted ones tell of themselves.

use edged_model::{InstanceId, Rules};
use mec_api::Problem;
use mec_api::app_support::AppInfo;

use crate::{Application, Caller, Picture, Registration};

/// Applications that run elsewhere: each may have rules and services, and is one line of a table.
pub const REGISTRATIONS_MAX: usize = 256;

/// The registration that a caller asks for; `id` is the one of the path, where there is one.
///
/// # Errors
/// 400 for what does not fit together, 403 for another's instance, 404 for a hosted instance that is not there.
pub fn read(
    caller: &Caller,
    picture: &Picture,
    id: Option<&InstanceId>,
    mut info: AppInfo,
) -> Result<Registration, Problem> {
    let by_mec = info.is_ins_by_mec.unwrap_or(false);
    if by_mec && (info.appd_id.is_none() || info.app_instance_id.is_none()) {
        return Err(Problem::bad_request(
            "appDId and appInstanceId are needed where isInsByMec is true",
        ));
    }
    if !by_mec && info.endpoint.is_none() {
        return Err(Problem::bad_request(
            "endpoint is needed where isInsByMec is not true",
        ));
    }
    let described = info.app_service_required.is_some()
        || info.app_service_optional.is_some()
        || info.app_feature_required.is_some()
        || info.app_feature_optional.is_some();
    if by_mec && described {
        return Err(Problem::bad_request(
            "services and features are the descriptor's where isInsByMec is true; leave them out",
        ));
    }
    let asked = info.app_instance_id.as_deref().map(|text| {
        text.parse::<InstanceId>()
            .map_err(|error| Problem::bad_request(format!("appInstanceId: {error}")))
    });
    let id = match (id, asked.transpose()?) {
        (Some(id), _) => id.clone(),
        (None, Some(id)) => id,
        (None, None) => InstanceId::random(),
    };
    if !caller.may_act_for(&id) {
        return Err(Problem::forbidden(
            "an application registers itself alone; this token is for another instance",
        ));
    }
    let hosted = matches!(
        picture.applications.get(&id),
        Some(Application::Hosted { .. })
    );
    if by_mec && !hosted {
        return Err(Problem::not_found(format!(
            "there is no application instance {id:?} on this node"
        )));
    }
    if !by_mec && hosted {
        return Err(Problem::forbidden(format!(
            "application instance {id} runs on this node; register it with isInsByMec"
        )));
    }
    let rules = match picture.applications.get(&id) {
        Some(Application::Registered(known)) => known.rules.clone(),
        _ => Rules::default(),
    };
    info.app_instance_id = Some(id.to_string());
    let info = serde_json::to_value(&info)
        .map_err(|_| Problem::bad_request("the registration cannot be written as JSON"))?;
    Ok(Registration {
        id,
        info,
        rules,
        running: true,
    })
}

/// A registration that the caller may see.
///
/// # Errors
/// 403 for another's instance, 404 where there is none.
pub fn find<'a>(
    caller: &Caller,
    picture: &'a Picture,
    id: &str,
) -> Result<&'a Registration, Problem> {
    let application = caller.application(picture, id)?;
    let found = match application {
        Application::Registered(registration) => Some(registration.as_ref()),
        Application::Hosted { instance, .. } => {
            picture.registrations.get(&instance.id).map(AsRef::as_ref)
        }
    };
    found
        .ok_or_else(|| Problem::not_found(format!("application instance {id:?} is not registered")))
}
