//! The interface over the node.

use std::sync::Arc;

use edged_model::Goal;
use mec_api::common::LinkType;
use mec_api::lifecycle::{
    AppInstanceInfo, AppInstanceSubscriptionLink, AppInstanceSubscriptionLinkList,
    AppInstanceSubscriptionLinks, BASE, CancelOperation, CancelOperationAnswer,
    ConfigurePlatformForInstance, ConfigurePlatformForInstanceAnswer, CreateInstance,
    CreateInstanceAnswer, CreateSubscription, CreateSubscriptionAnswer, DeleteInstance,
    DeleteInstanceAnswer, DeleteSubscription, DeleteSubscriptionAnswer, FailOperation,
    FailOperationAnswer, InstantiateInstance, InstantiateInstanceAnswer, ListInstances,
    ListInstancesAnswer, ListOperations, ListOperationsAnswer, ListSubscriptions,
    ListSubscriptionsAnswer, OperateInstance, OperateInstanceAnswer, OperationalState,
    ReadInstance, ReadInstanceAnswer, ReadOperation, ReadOperationAnswer, ReadSubscription,
    ReadSubscriptionAnswer, RetryOperation, RetryOperationAnswer, TerminateInstance,
    TerminateInstanceAnswer,
};
use mec_api::{ETag, Problem, Selected, lifecycle};

use super::book::{INSTANCES, not_kept};
use super::instance::{Condition, Instance};
use super::news::News;
use super::operation::{Event, Operation, OperationId, Task};
use super::{intake, run, subscription};
use crate::query::{self, ListParameters, Row, schemas};
use crate::{Application, Caller, Mec, Platform};

/// Longest name or description of an instance: what people write, not what programs could.
const TEXT_MAX: usize = 1024;

/// The interface over the node.
#[derive(Debug)]
pub struct Lifecycle<P>(Arc<Mec<P>>);

impl<P: Platform> Lifecycle<P> {
    /// Over this node.
    pub fn new(mec: Arc<Mec<P>>) -> Self {
        Self(mec)
    }

    fn instance(&self, id: &str) -> Result<Arc<Instance>, Problem> {
        let found = self.0.lifecycle.instance(id);
        found.ok_or_else(|| Problem::not_found(format!("there is no application instance {id:?}")))
    }

    fn operation(&self, id: &str) -> Result<Arc<Operation>, Problem> {
        let found = self.0.lifecycle.operation(&OperationId::from_path(id));
        found.ok_or_else(|| Problem::not_found(format!("there is no operation {id:?}")))
    }

    fn application(&self, instance: &Instance) -> Option<Application> {
        let picture = self.0.platform.picture();
        picture.applications.get(&instance.id).cloned()
    }

    fn shown(&self, caller: &Caller, instance: &Instance) -> AppInstanceInfo {
        let open = self.0.lifecycle.open(&instance.id);
        let hosted = self.application(instance);
        let (origin, zone) = (caller.origin(), &self.0.facts.zone);
        instance.shown(origin, zone, hosted.as_ref(), open.as_deref())
    }

    /// How an instance is doing, where no run stands in the way of another.
    fn at_rest(&self, instance: &Instance) -> Result<(Condition, Option<Application>), Problem> {
        if let Some(open) = self.0.lifecycle.open(&instance.id) {
            let what = if open.state.is_under_way() {
                "wait for it or cancel it"
            } else {
                "retry it or mark it as failed"
            };
            return Err(Problem::conflict(format!(
                "operation {} of the instance is {}; {what} first",
                open.id,
                open.state.word()
            )));
        }
        let hosted = self.application(instance);
        Ok((Condition::of(hosted.as_ref(), None), hosted))
    }

    /// An instance that is in being and has no run that is not over.
    fn instantiated(&self, instance: &Instance) -> Result<(Condition, Application), Problem> {
        match self.at_rest(instance)? {
            (
                Condition::Started | Condition::Stopped,
                Some(Application::Hosted { instance: it, .. }),
            ) if it.goal == Goal::Removed => Err(Problem::conflict(format!(
                "instance {} is being removed; wait until it is gone",
                instance.id
            ))),
            (condition @ (Condition::Started | Condition::Stopped), Some(hosted)) => {
                Ok((condition, hosted))
            }
            _ => Err(Problem::conflict(format!(
                "instance {} is not instantiated; instantiate it first",
                instance.id
            ))),
        }
    }

    /// Begins a run; where it can be watched.
    fn begin(&self, caller: &Caller, instance: &Instance, task: Task) -> Result<String, Problem> {
        let new = Operation::new(instance.id.clone(), task);
        let kept = self.0.lifecycle.add_operation(&self.0.store(), new);
        let kept = kept.map_err(|error| not_kept(&error))?;
        self.0.tell_operation(&kept);
        Ok(caller.href(format_args!("{BASE}/app_lcm_op_occs/{}", kept.id)))
    }

    fn advance(
        &self,
        id: &OperationId,
        event: Event,
        allowed: &'static str,
    ) -> Result<Arc<Operation>, Problem> {
        let changed = self
            .0
            .lifecycle
            .advance(&self.0.store(), id, event, allowed);
        let changed = changed?;
        if changed.is_news() {
            self.0.tell_operation(&changed.new);
        }
        Ok(changed.new)
    }
}

const CANCEL: &str = "only one that is PROCESSING can be cancelled";
const RETRY: &str = "only one that is FAILED_TEMP can be tried again";
const FAIL: &str = "only one that is FAILED_TEMP can be given up";

/// A row that lists have in the order of age.
fn row(
    at: &mec_api::common::TimeStamp,
    id: &str,
    value: &impl serde::Serialize,
) -> Result<Row, Problem> {
    let value = serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, id, "a representation has no form in JSON");
        Problem::unavailable("an entry of the list cannot be written; try again later")
    })?;
    Ok(Row {
        id: format!("{:010}.{:09}-{id}", at.seconds, at.nano_seconds),
        value,
    })
}

impl<P: Platform> lifecycle::Lifecycle for Lifecycle<P> {
    type Caller = Caller;

    async fn list_instances(
        &self,
        caller: Caller,
        request: ListInstances,
    ) -> Result<ListInstancesAnswer, Problem> {
        caller.orchestrator()?;
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            nextpage_opaque_marker: request.nextpage_opaque_marker,
            ..ListParameters::default()
        };
        let all = self.0.lifecycle.instances();
        let rows = all.iter().map(|instance| {
            let shown = self.shown(&caller, instance);
            row(&instance.created, instance.id.as_str(), &shown)
        });
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        let target = format!("{}{BASE}/app_instances", self.0.facts.prefix);
        let page = query::list(
            &schemas::APP_INSTANCES,
            &asked,
            rows,
            &target,
            &self.0.marker,
        )
        .map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(ListInstancesAnswer::Ok {
            link: page.link,
            body: page.items.into_iter().map(Selected::of).collect(),
        })
    }

    async fn create_instance(
        &self,
        caller: Caller,
        request: CreateInstance,
    ) -> Result<CreateInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let body = request.body;
        for (member, text) in [
            ("appInstanceName", &body.app_instance_name),
            ("appInstanceDescription", &body.app_instance_description),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > TEXT_MAX) {
                return Err(Problem::bad_request(format!(
                    "{member}: write at most {TEXT_MAX} bytes"
                )));
            }
        }
        if let Some(place) = &body.app_placement_info
            && !intake::is_here(&self.0.facts, &place.mep_id)
        {
            return Err(Problem::bad_request(format!(
                "appPlacementInfo/mepId: {:?} is not this node, which is {}",
                place.mep_id, self.0.facts.zone
            )));
        }
        if !self.0.lifecycle.has_room() {
            return Err(Problem::unavailable(format!(
                "the node has {INSTANCES} instances; delete one first"
            )));
        }
        let package = self.0.packages.by_appd(&body.appd_id);
        let package = package.ok_or_else(|| {
            Problem::not_found(format!(
                "there is no on-boarded package with descriptor {:?}",
                body.appd_id
            ))
        })?;
        let instance = Instance::new(
            package.id.to_string(),
            &package.appd,
            body.app_instance_name,
            body.app_instance_description,
        )
        .map_err(|error| Problem::bad_request(format!("appInstanceName: {error}")))?;
        // From here on nobody deletes the package.
        self.0.packages.hold(&instance.descriptor, &instance.id)?;
        let kept = self
            .0
            .lifecycle
            .add_instance(&self.0.store(), instance.clone());
        if let Err(error) = kept {
            self.0.packages.release(&instance.id);
            return Err(not_kept(&error));
        }
        self.0.tell(News::Created(&instance));
        let body = self.shown(&caller, &instance);
        Ok(CreateInstanceAnswer::Created {
            location: caller.href(format_args!("{BASE}/app_instances/{}", instance.id)),
            etag: ETag::of(&body),
            body,
        })
    }

    async fn read_instance(
        &self,
        caller: Caller,
        request: ReadInstance,
    ) -> Result<ReadInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        let body = self.shown(&caller, &instance);
        Ok(ReadInstanceAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn delete_instance(
        &self,
        caller: Caller,
        request: DeleteInstance,
    ) -> Result<DeleteInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        let (_, hosted) = self.at_rest(&instance)?;
        if hosted.is_some() {
            return Err(Problem::conflict(format!(
                "instance {} is instantiated; terminate it first",
                instance.id
            )));
        }
        let removed = self
            .0
            .lifecycle
            .remove_instance(&self.0.store(), &instance.id);
        removed.map_err(|error| not_kept(&error))?;
        self.0.packages.release(&instance.id);
        self.0.tell(News::Deleted(&instance));
        Ok(DeleteInstanceAnswer::NoContent)
    }

    async fn instantiate_instance(
        &self,
        caller: Caller,
        request: InstantiateInstance,
    ) -> Result<InstantiateInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        intake::check_instantiation(&self.0.facts, &request.body)?;
        let (_, hosted) = self.at_rest(&instance)?;
        if hosted.is_some() {
            return Err(Problem::conflict(format!(
                "instance {} is instantiated already",
                instance.id
            )));
        }
        let package = self.0.packages.by_appd(&instance.descriptor);
        let package = package.filter(|package| package.enabled);
        let package = package.ok_or_else(|| {
            Problem::conflict(format!(
                "package {} is not enabled; enable it first",
                instance.package
            ))
        })?;
        intake::deployment(&instance, &package, &request.body)?;
        let task = Task::Instantiate(Box::new(request.body));
        let location = self.begin(&caller, &instance, task)?;
        Ok(InstantiateInstanceAnswer::Accepted { location })
    }

    async fn terminate_instance(
        &self,
        caller: Caller,
        request: TerminateInstance,
    ) -> Result<TerminateInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        intake::check_termination(&request.body)?;
        self.instantiated(&instance)?;
        let location = self.begin(&caller, &instance, Task::Terminate(request.body))?;
        Ok(TerminateInstanceAnswer::Accepted { location })
    }

    async fn operate_instance(
        &self,
        caller: Caller,
        request: OperateInstance,
    ) -> Result<OperateInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        intake::check_operation(&request.body)?;
        let (condition, hosted) = self.instantiated(&instance)?;
        // One that keeps ending does not run and is wanted: it can be stopped, and it can be started at once.
        let is_wanted = matches!(&hosted, Application::Hosted { instance, .. } if instance.goal == Goal::Running);
        let is_so = match request.body.change_state_to {
            OperationalState::Started => condition == Condition::Started,
            OperationalState::Stopped => !is_wanted,
        };
        if is_so {
            return Err(Problem::conflict(format!(
                "instance {} is {} already",
                instance.id, request.body.change_state_to
            )));
        }
        let location = self.begin(&caller, &instance, Task::Operate(request.body))?;
        Ok(OperateInstanceAnswer::Accepted { location })
    }

    async fn configure_platform_for_instance(
        &self,
        caller: Caller,
        request: ConfigurePlatformForInstance,
    ) -> Result<ConfigurePlatformForInstanceAnswer, Problem> {
        caller.orchestrator()?;
        let instance = self.instance(&request.app_instance_id)?;
        let (_, hosted) = self.instantiated(&instance)?;
        let package = self.0.packages.by_appd(&instance.descriptor);
        let package = package
            .ok_or_else(|| Problem::conflict(format!("package {} is gone", instance.package)))?;
        let (platform, picture) = (&self.0.platform, self.0.platform.picture());
        let rules = intake::configuration(
            platform,
            &picture,
            package.appd,
            hosted.rules(),
            &request.body,
        )?;
        let location = self.begin(&caller, &instance, Task::Configure(rules))?;
        Ok(ConfigurePlatformForInstanceAnswer::Accepted { location })
    }

    async fn list_operations(
        &self,
        caller: Caller,
        request: ListOperations,
    ) -> Result<ListOperationsAnswer, Problem> {
        caller.orchestrator()?;
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            nextpage_opaque_marker: request.nextpage_opaque_marker,
            ..ListParameters::default()
        };
        let all = self.0.lifecycle.operations();
        let rows = all
            .iter()
            .map(|run| row(&run.started, run.id.as_str(), &run.shown(caller.origin())));
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        let target = format!("{}{BASE}/app_lcm_op_occs", self.0.facts.prefix);
        let page = query::list(
            &schemas::APP_LCM_OP_OCCS,
            &asked,
            rows,
            &target,
            &self.0.marker,
        )
        .map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(ListOperationsAnswer::Ok {
            link: page.link,
            body: page.items.into_iter().map(Selected::of).collect(),
        })
    }

    async fn read_operation(
        &self,
        caller: Caller,
        request: ReadOperation,
    ) -> Result<ReadOperationAnswer, Problem> {
        caller.orchestrator()?;
        let run = self.operation(&request.app_lcm_op_occ_id)?;
        let body = run.shown(caller.origin());
        Ok(ReadOperationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn cancel_operation(
        &self,
        caller: Caller,
        request: CancelOperation,
    ) -> Result<CancelOperationAnswer, Problem> {
        caller.orchestrator()?;
        let run = self.operation(&request.app_lcm_op_occ_id)?;
        let mode = request.body.cancel_mode;
        let mode = mode.or(request.body.cancel_mode_capitalized);
        let mode = mode.ok_or_else(|| Problem::bad_request("cancelMode: it is missing"))?;
        let picture = self.0.platform.picture();
        let goes = match picture.applications.get(&run.instance) {
            Some(Application::Hosted { instance, .. }) => instance.goal == Goal::Removed,
            _ => true,
        };
        if matches!(run.task, Task::Terminate(_)) && run.state.is_under_way() && goes {
            return Err(Problem::conflict(
                "the instance is being removed, and nothing takes that back",
            ));
        }
        self.advance(&run.id, Event::Cancelled(mode), CANCEL)?;
        Ok(CancelOperationAnswer::Accepted)
    }

    async fn fail_operation(
        &self,
        caller: Caller,
        request: FailOperation,
    ) -> Result<FailOperationAnswer, Problem> {
        caller.orchestrator()?;
        let run = self.operation(&request.app_lcm_op_occ_id)?;
        if run.state.after(Event::GivenUp).is_some() {
            let undone = run::give_up(&self.0, &run).await;
            undone.map_err(Problem::unavailable)?;
        }
        let run = self.advance(&run.id, Event::GivenUp, FAIL)?;
        let body = run.shown(caller.origin());
        Ok(FailOperationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn retry_operation(
        &self,
        caller: Caller,
        request: RetryOperation,
    ) -> Result<RetryOperationAnswer, Problem> {
        caller.orchestrator()?;
        let run = self.operation(&request.app_lcm_op_occ_id)?;
        self.advance(&run.id, Event::Retried, RETRY)?;
        Ok(RetryOperationAnswer::Accepted)
    }

    async fn list_subscriptions(
        &self,
        caller: Caller,
        request: ListSubscriptions,
    ) -> Result<ListSubscriptionsAnswer, Problem> {
        caller.orchestrator()?;
        let wanted = request.subscription_type.or(request.subscriptiontype);
        let own = self.0.subscriptions.of_owner(BASE, None);
        let links: Vec<_> = own
            .iter()
            .filter_map(|it| Some((subscription::kind(it)?, it)))
            .filter(|(kind, _)| wanted.is_none_or(|wanted| wanted == *kind))
            .map(|(subscription_type, it)| AppInstanceSubscriptionLink {
                href: it.href.clone(),
                subscription_type,
            })
            .collect();
        Ok(ListSubscriptionsAnswer::Ok {
            body: AppInstanceSubscriptionLinkList {
                links: AppInstanceSubscriptionLinks {
                    itself: LinkType {
                        href: caller.href(subscription::collection()),
                    },
                    subscriptions: (!links.is_empty()).then_some(links),
                },
            },
        })
    }

    async fn create_subscription(
        &self,
        caller: Caller,
        request: CreateSubscription,
    ) -> Result<CreateSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        let kept = subscription::make(&self.0, &caller, request.body)?;
        Ok(CreateSubscriptionAnswer::Created {
            location: kept.href.clone(),
            body: subscription::read(&kept)?,
        })
    }

    async fn read_subscription(
        &self,
        caller: Caller,
        request: ReadSubscription,
    ) -> Result<ReadSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        let kept = self.0.subscription(BASE, None, &request.subscription_id)?;
        Ok(ReadSubscriptionAnswer::Ok {
            body: subscription::read(&kept)?,
        })
    }

    async fn delete_subscription(
        &self,
        caller: Caller,
        request: DeleteSubscription,
    ) -> Result<DeleteSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        self.0.unsubscribe(BASE, None, &request.subscription_id)?;
        Ok(DeleteSubscriptionAnswer::NoContent)
    }
}
