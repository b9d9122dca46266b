//! Bandwidth management (ETSI GS MEC 015) over the allocations that tc enforces.

mod wire;

use std::sync::Arc;

use edged_model::{AllocationId, InstanceId};
use mec_api::bandwidth::{
    self, BASE, BwInfo, ChangeAllocation, ChangeAllocationAnswer, CreateAllocation,
    CreateAllocationAnswer, ListAllocations, ListAllocationsAnswer, ReadAllocation,
    ReadAllocationAnswer, ReleaseAllocation, ReleaseAllocationAnswer, ReplaceAllocation,
    ReplaceAllocationAnswer,
};
use mec_api::common::TimeStamp;
use mec_api::{ETag, IfMatch, Problem};
use time::OffsetDateTime;

use crate::{Allocated, Application, Caller, Mec, Picture, Platform};

/// The interface over the node.
#[derive(Debug)]
pub struct Bandwidth<P>(Arc<Mec<P>>);

impl<P: Platform> Bandwidth<P> {
    /// Over this node.
    pub fn new(mec: Arc<Mec<P>>) -> Self {
        Self(mec)
    }

    /// An allocation that the caller may see.
    fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Allocated>, Problem> {
        let picture = self.0.platform.picture();
        let mut known = picture.allocations.iter();
        let found = known.find(|known| known.allocation.id.0.as_str() == id);
        let found =
            found.ok_or_else(|| Problem::not_found(format!("there is no allocation {id:?}")))?;
        caller.application(&picture, found.allocation.instance.as_str())?;
        Ok(Arc::clone(found))
    }

    /// Puts an allocation in force; what is answered for it.
    async fn keep(
        &self,
        caller: &Caller,
        id: AllocationId,
        mut info: BwInfo,
        since: Option<TimeStamp>,
    ) -> Result<BwInfo, Problem> {
        let picture = self.0.platform.picture();
        let application = caller.application(&picture, &info.app_ins_id)?;
        if let Application::Registered(_) = application {
            return Err(Problem::forbidden(format!(
                "application instance {} runs elsewhere, and its links are not this node's",
                info.app_ins_id
            )));
        }
        let allocation = wire::read(&id, application.id(), &info)?;
        info.allocation_id = Some(id.to_string());
        info.time_stamp = since.or_else(now);
        let kept = Allocated {
            allocation,
            info: serde_json::to_value(&info)
                .map_err(|_| Problem::bad_request("the allocation cannot be written as JSON"))?,
        };
        self.0.platform.put_allocation(kept).await?;
        Ok(info)
    }
}

/// The allocation as it is answered.
fn shown(allocated: &Allocated) -> Result<BwInfo, Problem> {
    serde_json::from_value(allocated.info.clone()).map_err(|error| {
        tracing::error!(%error, id = %allocated.allocation.id, "an allocation cannot be read");
        Problem::unavailable("the allocation cannot be read; delete it and ask for it again")
    })
}

fn unchanged(condition: Option<&IfMatch>, info: &BwInfo) -> Result<(), Problem> {
    condition.map_or(Ok(()), |condition| condition.permits(&ETag::of(info)))
}

fn now() -> Option<TimeStamp> {
    let now = OffsetDateTime::now_utc();
    Some(TimeStamp {
        seconds: u32::try_from(now.unix_timestamp()).ok()?,
        nano_seconds: now.nanosecond(),
    })
}

fn allocation_id(text: &str) -> Result<AllocationId, Problem> {
    let id = text.parse().map(AllocationId);
    id.map_err(|_| Problem::not_found(format!("there is no allocation {text:?}")))
}

/// Whether every value of a filter is known: an unknown one is 404, not an empty list (as ETSI's tests have it).
fn all_known(
    name: &str,
    values: Option<&Vec<String>>,
    known: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let mut values = values.into_iter().flatten();
    match values.find(|value| !known(value)) {
        None => Ok(()),
        Some(value) => Err(Problem::not_found(format!(
            "{name}: there is no {value:?} with an allocation"
        ))),
    }
}

fn matches(values: Option<&Vec<String>>, text: Option<&str>) -> bool {
    values.is_none_or(|values| values.iter().any(|value| Some(value.as_str()) == text))
}

/// The allocations that a caller may see.
fn visible(caller: &Caller, picture: &Picture) -> Result<Vec<BwInfo>, Problem> {
    let own = |instance: &InstanceId| caller.may_act_for(instance);
    let seen = picture.allocations.iter();
    seen.filter(|allocated| own(&allocated.allocation.instance))
        .map(|allocated| shown(allocated))
        .collect()
}

impl<P: Platform> bandwidth::Bandwidth for Bandwidth<P> {
    type Caller = Caller;

    async fn list_allocations(
        &self,
        caller: Caller,
        request: ListAllocations,
    ) -> Result<ListAllocationsAnswer, Problem> {
        let mut body = visible(&caller, &self.0.platform.picture())?;
        let session = |info: &BwInfo| {
            let is_session = info.request_type == wire::SESSION;
            info.allocation_id.clone().filter(|_| is_session)
        };
        let (instances, names, sessions) = (
            request.app_instance_id.as_ref(),
            request.app_name.as_ref(),
            request.session_id.as_ref(),
        );
        all_known("app_instance_id", instances, |value| {
            body.iter().any(|info| info.app_ins_id == value)
        })?;
        all_known("app_name", names, |value| {
            body.iter()
                .any(|info| info.app_name.as_deref() == Some(value))
        })?;
        all_known("session_id", sessions, |value| {
            body.iter()
                .any(|info| session(info).as_deref() == Some(value))
        })?;
        body.retain(|info| {
            matches(instances, Some(&info.app_ins_id))
                && matches(names, info.app_name.as_deref())
                && matches(sessions, session(info).as_deref())
        });
        Ok(ListAllocationsAnswer::Ok { body })
    }

    async fn create_allocation(
        &self,
        caller: Caller,
        request: CreateAllocation,
    ) -> Result<CreateAllocationAnswer, Problem> {
        let id = allocation_id(&uuid::Uuid::new_v4().to_string())?;
        let location = caller.href(format_args!("{BASE}/bw_allocations/{id}"));
        let body = self.keep(&caller, id, request.body, None).await?;
        Ok(CreateAllocationAnswer::Created {
            location,
            etag: ETag::of(&body),
            body,
        })
    }

    async fn read_allocation(
        &self,
        caller: Caller,
        request: ReadAllocation,
    ) -> Result<ReadAllocationAnswer, Problem> {
        let body = shown(&*self.find(&caller, &request.allocation_id)?)?;
        Ok(ReadAllocationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn replace_allocation(
        &self,
        caller: Caller,
        request: ReplaceAllocation,
    ) -> Result<ReplaceAllocationAnswer, Problem> {
        let _alone = self.0.claiming.lock().await;
        let found = self.find(&caller, &request.allocation_id)?;
        let old = shown(&found)?;
        unchanged(request.if_match.as_ref(), &old)?;
        let id = found.allocation.id.clone();
        let body = self.keep(&caller, id, request.body, old.time_stamp).await?;
        Ok(ReplaceAllocationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn change_allocation(
        &self,
        caller: Caller,
        request: ChangeAllocation,
    ) -> Result<ChangeAllocationAnswer, Problem> {
        let _alone = self.0.claiming.lock().await;
        let found = self.find(&caller, &request.allocation_id)?;
        let mut info = shown(&found)?;
        unchanged(request.if_match.as_ref(), &info)?;
        let since = info.time_stamp.take();
        let deltas = request.body;
        // The path and the allocation itself say which and whose (MEC 009: ids of the URI win).
        info.request_type = deltas.request_type;
        info.session_filter = deltas.session_filter.or(info.session_filter);
        info.fixed_bw_priority = deltas.fixed_bw_priority.or(info.fixed_bw_priority);
        info.fixed_allocation = deltas.fixed_allocation.unwrap_or(info.fixed_allocation);
        info.allocation_direction = deltas
            .allocation_direction
            .unwrap_or(info.allocation_direction);
        let id = found.allocation.id.clone();
        let body = self.keep(&caller, id, info, since).await?;
        Ok(ChangeAllocationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn release_allocation(
        &self,
        caller: Caller,
        request: ReleaseAllocation,
    ) -> Result<ReleaseAllocationAnswer, Problem> {
        let found = self.find(&caller, &request.allocation_id)?;
        let id = found.allocation.id.clone();
        self.0.platform.remove_allocation(id).await?;
        Ok(ReleaseAllocationAnswer::NoContent)
    }
}
