//! Application support (ETSI GS MEC 011): readiness, graceful ends, rules, time and registrations.

pub mod dns;
mod registration;
mod timing;
pub mod traffic;

use std::sync::Arc;

use edged_model::{InstanceId, Rules};
use mec_api::app_support::{
    self, AppInfo, AppTerminationNotificationSubscription, BASE, ConfirmReady, ConfirmReadyAnswer,
    ConfirmTermination, ConfirmTerminationAnswer, CreateRegistration, CreateRegistrationAnswer,
    CreateSubscription, CreateSubscriptionAnswer, DeleteRegistration, DeleteRegistrationAnswer,
    DeleteSubscription, DeleteSubscriptionAnswer, ListDnsRules, ListDnsRulesAnswer,
    ListSubscriptions, ListSubscriptionsAnswer, ListTrafficRules, ListTrafficRulesAnswer,
    ReadCurrentTime, ReadCurrentTimeAnswer, ReadDnsRule, ReadDnsRuleAnswer, ReadRegistration,
    ReadRegistrationAnswer, ReadSubscription, ReadSubscriptionAnswer, ReadTimingCaps,
    ReadTimingCapsAnswer, ReadTrafficRule, ReadTrafficRuleAnswer, ReplaceDnsRule,
    ReplaceDnsRuleAnswer, ReplaceRegistration, ReplaceRegistrationAnswer, ReplaceTrafficRule,
    ReplaceTrafficRuleAnswer,
};
use mec_api::common::{LinkType, SelfLinks, WebsockNotifConfig};
use mec_api::{ETag, Problem};

use crate::subscribe::Asked;
use crate::termination::Confirmed;
use crate::{Application, Caller, Mec, Platform};

/// The interface over the node.
#[derive(Debug)]
pub struct AppSupport<P>(Arc<Mec<P>>);

impl<P: Platform> AppSupport<P> {
    /// Over this node.
    pub fn new(mec: Arc<Mec<P>>) -> Self {
        Self(mec)
    }

    /// The application of a path.
    fn application(&self, caller: &Caller, id: &str) -> Result<Application, Problem> {
        let picture = self.0.platform.picture();
        caller.application(&picture, id).cloned()
    }

    /// A subscription of an application.
    fn subscription(
        &self,
        caller: &Caller,
        (instance, id): (&str, &str),
    ) -> Result<Arc<edged_notify::Subscription>, Problem> {
        let application = self.application(caller, instance)?;
        self.0.subscription(BASE, Some(application.id()), id)
    }
}

impl<P: Platform> Mec<P> {
    /// Changes one rule of an application: found, checked, replaced and put in force, one writer at a time.
    ///
    /// A rule in force answers to nobody while its application is not ready, so such a change is refused instead of
    /// promised.
    ///
    /// # Errors
    /// What `change` says, 403 while the application is not ready, 422 for what the kernel does not take.
    pub async fn change_rules<T>(
        &self,
        owner: &InstanceId,
        change: impl FnOnce(&mut Rules) -> Result<(T, bool), Problem> + Send,
    ) -> Result<T, Problem>
    where
        T: Send,
    {
        let _alone = self.claiming.lock().await;
        let picture = self.platform.picture();
        let application = picture.applications.get(owner).ok_or_else(|| {
            Problem::not_found(format!("there is no application instance {owner}"))
        })?;
        let mut rules = application.rules().clone();
        let (changed, active) = change(&mut rules)?;
        if active && !application.is_ready() {
            return Err(Problem::forbidden(format!(
                "application instance {owner} is not ready, and its rules come into force when it is"
            )));
        }
        self.platform.set_rules(owner.clone(), rules).await?;
        Ok(changed)
    }
}

/// `subscriptionType` of the one kind there is.
const KIND: &str = "AppTerminationNotificationSubscription";

fn unknown(what: &str, id: &str) -> Problem {
    Problem::not_found(format!("there is no {what} {id:?}"))
}

fn collection(instance: &str) -> String {
    format!("{BASE}/applications/{instance}/subscriptions")
}

/// A subscription as it was made, with its links.
fn shown(
    subscription: &edged_notify::Subscription,
) -> Result<AppTerminationNotificationSubscription, Problem> {
    serde_json::from_value(subscription.filter.clone()).map_err(|error| {
        tracing::error!(%error, id = %subscription.id, "a subscription cannot be read");
        Problem::unavailable("the subscription cannot be read; delete it and subscribe again")
    })
}

impl<P: Platform> app_support::AppSupport for AppSupport<P> {
    type Caller = Caller;

    async fn confirm_ready(
        &self,
        caller: Caller,
        request: ConfirmReady,
    ) -> Result<ConfirmReadyAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let id = application.id().clone();
        self.0.platform.confirm_ready(id).await?;
        Ok(ConfirmReadyAnswer::NoContent)
    }

    async fn confirm_termination(
        &self,
        caller: Caller,
        request: ConfirmTermination,
    ) -> Result<ConfirmTerminationAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let action = request.body.operation_action;
        match self.0.terminations.confirm(application.id(), action) {
            Confirmed::Taken => Ok(ConfirmTerminationAnswer::NoContent),
            Confirmed::Other(pending) => Err(Problem::conflict(format!(
                "{} is under way, not {}",
                pending.as_str(),
                action.as_str()
            ))),
            Confirmed::NothingPending => match application {
                // Nothing waits for it, and nothing contradicts it (as ETSI's tests have it).
                Application::Hosted { running: true, .. } => {
                    Ok(ConfirmTerminationAnswer::NoContent)
                }
                Application::Registered(known) if known.running => {
                    Ok(ConfirmTerminationAnswer::NoContent)
                }
                _ => Err(Problem::conflict(
                    "the application instance does not run, so there is nothing to confirm",
                )),
            },
        }
    }

    async fn list_subscriptions(
        &self,
        caller: Caller,
        request: ListSubscriptions,
    ) -> Result<ListSubscriptionsAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let path = collection(&request.app_instance_id);
        let owner = Some(application.id());
        let body = self.0.subscription_links(&caller, BASE, &path, owner);
        Ok(ListSubscriptionsAnswer::Ok { body })
    }

    async fn create_subscription(
        &self,
        caller: Caller,
        request: CreateSubscription,
    ) -> Result<CreateSubscriptionAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let mut body = request.body;
        let wanted = body.websock_notif_config.take();
        let (callback, expires) = (
            body.callback_reference.clone(),
            body.expiry_deadline.clone(),
        );
        let asked = Asked {
            api: BASE,
            collection: collection(&request.app_instance_id),
            kind: KIND,
            owner: Some(application.id()),
            callback: Some(&callback),
            expires: expires.as_ref(),
            test: body.request_test_notification == Some(true),
            websocket: wanted.as_ref(),
        };
        let kept = self.0.subscribe(&caller, &asked, |uris| {
            body.app_instance_id.clone_from(&request.app_instance_id);
            body.request_test_notification = None;
            body.websock_notif_config = uris.websocket.clone().map(|uri| WebsockNotifConfig {
                request_websocket_uri: Some(true),
                websocket_uri: Some(uri),
            });
            body.links = Some(SelfLinks {
                itself: LinkType {
                    href: uris.href.clone(),
                },
            });
            serde_json::to_value(&body).unwrap_or_default()
        })?;
        let body = shown(&kept)?;
        Ok(CreateSubscriptionAnswer::Created {
            location: kept.href.clone(),
            body,
        })
    }

    async fn read_subscription(
        &self,
        caller: Caller,
        request: ReadSubscription,
    ) -> Result<ReadSubscriptionAnswer, Problem> {
        let path = (
            request.app_instance_id.as_str(),
            request.subscription_id.as_str(),
        );
        let body = shown(&*self.subscription(&caller, path)?)?;
        Ok(ReadSubscriptionAnswer::Ok { body })
    }

    async fn delete_subscription(
        &self,
        caller: Caller,
        request: DeleteSubscription,
    ) -> Result<DeleteSubscriptionAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let owner = Some(application.id());
        self.0.unsubscribe(BASE, owner, &request.subscription_id)?;
        Ok(DeleteSubscriptionAnswer::NoContent)
    }

    async fn list_traffic_rules(
        &self,
        caller: Caller,
        request: ListTrafficRules,
    ) -> Result<ListTrafficRulesAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let rules = application.rules().traffic.iter();
        Ok(ListTrafficRulesAnswer::Ok {
            body: rules.map(traffic::write).collect(),
        })
    }

    async fn read_traffic_rule(
        &self,
        caller: Caller,
        request: ReadTrafficRule,
    ) -> Result<ReadTrafficRuleAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let id = &request.traffic_rule_id;
        let mut rules = application.rules().traffic.iter();
        let rule = rules.find(|rule| rule.id.as_str() == id);
        let body = traffic::write(rule.ok_or_else(|| unknown("traffic rule", id))?);
        Ok(ReadTrafficRuleAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn replace_traffic_rule(
        &self,
        caller: Caller,
        request: ReplaceTrafficRule,
    ) -> Result<ReplaceTrafficRuleAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let id = &request.traffic_rule_id;
        let new = traffic::read(id, &request.body)?;
        self.0.platform.feasible(&new)?;
        let body = traffic::write(&new);
        let change = |rules: &mut Rules| {
            let place = rules.traffic.iter_mut().find(|rule| rule.id.as_str() == id);
            let place = place.ok_or_else(|| unknown("traffic rule", id))?;
            if let Some(condition) = &request.if_match {
                condition.permits(&ETag::of(&traffic::write(place)))?;
            }
            let active = new.active;
            *place = new;
            Ok(((), active))
        };
        self.0.change_rules(application.id(), change).await?;
        Ok(ReplaceTrafficRuleAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn list_dns_rules(
        &self,
        caller: Caller,
        request: ListDnsRules,
    ) -> Result<ListDnsRulesAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let rules = application.rules().dns.iter();
        Ok(ListDnsRulesAnswer::Ok {
            body: rules.map(dns::write).collect(),
        })
    }

    async fn read_dns_rule(
        &self,
        caller: Caller,
        request: ReadDnsRule,
    ) -> Result<ReadDnsRuleAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let id = &request.dns_rule_id;
        let mut rules = application.rules().dns.iter();
        let rule = rules.find(|rule| rule.id.as_str() == id);
        let body = dns::write(rule.ok_or_else(|| unknown("DNS rule", id))?);
        Ok(ReadDnsRuleAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn replace_dns_rule(
        &self,
        caller: Caller,
        request: ReplaceDnsRule,
    ) -> Result<ReplaceDnsRuleAnswer, Problem> {
        let application = self.application(&caller, &request.app_instance_id)?;
        let id = &request.dns_rule_id;
        let new = dns::read(id, &request.body)?;
        let body = dns::write(&new);
        let change = |rules: &mut Rules| {
            let place = rules.dns.iter_mut().find(|rule| rule.id.as_str() == id);
            let place = place.ok_or_else(|| unknown("DNS rule", id))?;
            if let Some(condition) = &request.if_match {
                condition.permits(&ETag::of(&dns::write(place)))?;
            }
            let active = new.active;
            *place = new;
            Ok(((), active))
        };
        self.0.change_rules(application.id(), change).await?;
        Ok(ReplaceDnsRuleAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn read_timing_caps(
        &self,
        _caller: Caller,
        _request: ReadTimingCaps,
    ) -> Result<ReadTimingCapsAnswer, Problem> {
        let body = timing::capabilities(&self.0.platform.clock())?;
        Ok(ReadTimingCapsAnswer::Ok { body })
    }

    async fn read_current_time(
        &self,
        _caller: Caller,
        _request: ReadCurrentTime,
    ) -> Result<ReadCurrentTimeAnswer, Problem> {
        let body = timing::current(&self.0.platform.clock())?;
        Ok(ReadCurrentTimeAnswer::Ok { body })
    }

    async fn create_registration(
        &self,
        caller: Caller,
        request: CreateRegistration,
    ) -> Result<CreateRegistrationAnswer, Problem> {
        let picture = self.0.platform.picture();
        if picture.applications.len() + picture.registrations.len()
            >= registration::REGISTRATIONS_MAX
        {
            return Err(Problem::forbidden(
                "the node holds as many registrations as it can; delete one first",
            ));
        }
        let new = registration::read(&caller, &picture, None, request.body)?;
        let location = caller.href(format_args!("{BASE}/registrations/{}", new.id));
        let body = read_info(&new)?;
        self.0.platform.register(new).await?;
        Ok(CreateRegistrationAnswer::Created {
            location,
            etag: ETag::of(&body),
            body,
        })
    }

    async fn read_registration(
        &self,
        caller: Caller,
        request: ReadRegistration,
    ) -> Result<ReadRegistrationAnswer, Problem> {
        let picture = self.0.platform.picture();
        let found = registration::find(&caller, &picture, &request.app_instance_id)?;
        let body = read_info(found)?;
        Ok(ReadRegistrationAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn replace_registration(
        &self,
        caller: Caller,
        request: ReplaceRegistration,
    ) -> Result<ReplaceRegistrationAnswer, Problem> {
        let picture = self.0.platform.picture();
        let found = registration::find(&caller, &picture, &request.app_instance_id)?;
        if let Some(condition) = &request.if_match {
            condition.permits(&ETag::of(&read_info(found)?))?;
        }
        let new = registration::read(&caller, &picture, Some(&found.id), request.body)?;
        self.0.platform.register(new).await?;
        Ok(ReplaceRegistrationAnswer::NoContent)
    }

    async fn delete_registration(
        &self,
        caller: Caller,
        request: DeleteRegistration,
    ) -> Result<DeleteRegistrationAnswer, Problem> {
        let picture = self.0.platform.picture();
        let found = registration::find(&caller, &picture, &request.app_instance_id)?;
        let id = found.id.clone();
        self.0.platform.deregister(id).await?;
        Ok(DeleteRegistrationAnswer::NoContent)
    }
}

fn read_info(registration: &crate::Registration) -> Result<AppInfo, Problem> {
    serde_json::from_value(registration.info.clone()).map_err(|error| {
        tracing::error!(%error, id = %registration.id, "a registration cannot be read");
        Problem::unavailable("the registration cannot be read; delete it and register again")
    })
}
