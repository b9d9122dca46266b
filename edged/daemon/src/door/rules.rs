//! `rule` and `dns`: the rules of applications, as the operator has them. What changes goes through the one owner of
//! rules, [`Mec::change_rules`](edged_mec::Mec::change_rules).

use edged_console::{
    DnsRuleView, ErrorKind, Force, PlatformError, RuleKind, RulePlace, RuleView, TrafficRuleView,
};
use edged_mec::{Application, Platform as _, Problem, dns, traffic};
use edged_model::{InstanceId, RuleId, Rules};
use serde_json::Value;

use super::{Door, error};

impl Door {
    /// What an application is called: its name, or its id where it runs elsewhere.
    pub(super) fn called(&self, id: &InstanceId) -> String {
        let now = self.now();
        let status = now.by_id(id);
        status.map_or_else(|| id.to_string(), |it| it.instance.spec.name.to_string())
    }

    /// An application by its id or its name.
    fn application(&self, wanted: &str) -> Result<Application, PlatformError> {
        let picture = self.mec.platform.picture();
        let mut all = picture.applications.values();
        let by_id = all.clone().find(|one| one.id().as_str() == wanted);
        let found = by_id.or_else(|| all.find(|one| name(one) == Some(wanted)));
        found.cloned().ok_or_else(|| {
            let message = format!("there is no application {wanted:?}");
            PlatformError::new(ErrorKind::NotFound, message).with_hint(
                "`ps` lists those of this box, `rule ls` and `dns ls` show those that have rules",
            )
        })
    }

    /// The applications whose rules are wanted, by what they are called.
    fn ruled(&self, wanted: Option<&str>) -> Result<Vec<Application>, PlatformError> {
        if let Some(wanted) = wanted {
            return Ok(vec![self.application(wanted)?]);
        }
        let picture = self.mec.platform.picture();
        let mut all: Vec<_> = picture.applications.values().cloned().collect();
        all.sort_by(|a, b| label(a).cmp(label(b)));
        Ok(all)
    }

    /// Traffic rules of an application, in the order in which packets meet them.
    pub(super) fn traffic_views(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<TrafficRuleView>, PlatformError> {
        let mut views = Vec::new();
        for owner in self.ruled(application)? {
            let mut rules: Vec<_> = owner.rules().traffic.iter().collect();
            rules.sort_by_key(|rule| (rule.priority, &rule.id));
            views.extend(rules.into_iter().map(|rule| {
                let shown = traffic::write(rule);
                TrafficRuleView {
                    about: about(&owner, &rule.id, rule.active),
                    priority: rule.priority,
                    kind: shown.filter_type.as_str().to_owned(),
                    action: shown.action.as_str().to_owned(),
                }
            }));
        }
        Ok(views)
    }

    pub(super) fn dns_views(
        &self,
        application: Option<&str>,
    ) -> Result<Vec<DnsRuleView>, PlatformError> {
        let mut views = Vec::new();
        for owner in self.ruled(application)? {
            views.extend(owner.rules().dns.iter().map(|rule| DnsRuleView {
                about: about(&owner, &rule.id, rule.active),
                name: rule.domain.to_string(),
                address: rule.address,
                ttl: rule.ttl,
            }));
        }
        Ok(views)
    }

    /// A rule in the words of MEC 011.
    pub(super) fn rule_detail(&self, place: &RulePlace) -> Result<Value, PlatformError> {
        let application = self.application(&place.application)?;
        let rules = application.rules();
        let missing = || of_rule(place, &unknown(place));
        match place.kind {
            RuleKind::Traffic => {
                let found = rules.traffic.iter().find(|rule| rule.id == place.rule);
                error::json(&traffic::write(found.ok_or_else(missing)?))
            }
            RuleKind::Dns => {
                let found = rules.dns.iter().find(|rule| rule.id == place.rule);
                error::json(&dns::write(found.ok_or_else(missing)?))
            }
        }
    }

    /// Puts a rule in force or out of it.
    pub(super) async fn switch(
        &self,
        place: &RulePlace,
        active: bool,
    ) -> Result<(), PlatformError> {
        self.change_rule(place, |rules| {
            match place.kind {
                RuleKind::Traffic => {
                    let rule = in_list(place, &mut rules.traffic, |rule| &rule.id)?;
                    rule.active = active;
                    if active {
                        self.mec.platform.feasible(rule)?;
                    }
                }
                RuleKind::Dns => in_list(place, &mut rules.dns, |rule| &rule.id)?.active = active,
            }
            Ok(active)
        })
        .await
    }

    /// Replaces a rule by one in the JSON of MEC 011; the rule as it is then.
    pub(super) async fn replace(
        &self,
        place: &RulePlace,
        json: &[u8],
    ) -> Result<Value, PlatformError> {
        let id = place.rule.as_str();
        let refused = |problem: Problem| of_rule(place, &problem);
        match place.kind {
            RuleKind::Traffic => {
                let wire = mec_api::read_json(json).map_err(refused)?;
                let new = traffic::read(id, &wire).map_err(refused)?;
                self.change_rule(place, |rules| {
                    let rule = in_list(place, &mut rules.traffic, |rule| &rule.id)?;
                    self.mec.platform.feasible(&new)?;
                    *rule = new;
                    Ok(rule.active)
                })
                .await?;
            }
            RuleKind::Dns => {
                let wire = mec_api::read_json(json).map_err(refused)?;
                let new = dns::read(id, &wire).map_err(refused)?;
                self.change_rule(place, |rules| {
                    let rule = in_list(place, &mut rules.dns, |rule| &rule.id)?;
                    *rule = new;
                    Ok(rule.active)
                })
                .await?;
            }
        }
        self.rule_detail(place)
    }
}

impl Door {
    /// Changes one rule; `change` finds it and says whether it is `ACTIVE` then.
    async fn change_rule(
        &self,
        place: &RulePlace,
        change: impl FnOnce(&mut Rules) -> Result<bool, Problem> + Send,
    ) -> Result<(), PlatformError> {
        let application = self.application(&place.application)?;
        let change = |rules: &mut Rules| change(rules).map(|active| ((), active));
        let changed = self.mec.change_rules(application.id(), change).await;
        changed.map_err(|problem| of_rule(place, &problem))
    }
}

fn name(application: &Application) -> Option<&str> {
    match application {
        Application::Hosted { instance, .. } => Some(instance.spec.name.as_str()),
        Application::Registered(_) => None,
    }
}

fn label(application: &Application) -> &str {
    name(application).unwrap_or(application.id().as_str())
}

fn about(owner: &Application, rule: &RuleId, active: bool) -> RuleView {
    RuleView {
        app: label(owner).to_owned(),
        app_instance_id: owner.id().clone(),
        rule: rule.clone(),
        state: match (active, owner.is_ready()) {
            (true, true) => Force::InForce,
            (true, false) => Force::Waiting,
            (false, _) => Force::Inactive,
        },
    }
}

fn in_list<'a, T>(
    place: &RulePlace,
    rules: &'a mut [T],
    id: impl Fn(&T) -> &RuleId,
) -> Result<&'a mut T, Problem> {
    let found = rules.iter_mut().find(|rule| *id(rule) == place.rule);
    found.ok_or_else(|| unknown(place))
}

fn unknown(place: &RulePlace) -> Problem {
    let (application, rule) = (&place.application, &place.rule);
    Problem::not_found(match place.kind {
        RuleKind::Traffic => format!("{application} has no traffic rule {rule}"),
        RuleKind::Dns => format!("{application} has no DNS rule {rule}"),
    })
}

/// Why a rule was not shown or changed, and what to do next.
fn of_rule(place: &RulePlace, problem: &Problem) -> PlatformError {
    let failed = error::problem(problem);
    let application = &place.application;
    let verb = match place.kind {
        RuleKind::Traffic => "rule",
        RuleKind::Dns => "dns",
    };
    match failed.kind {
        ErrorKind::NotFound => failed.with_hint(format!(
            "`{verb} ls {application}` lists its rules; they come with its package"
        )),
        // The one reason to forbid it: the application is not ready.
        ErrorKind::Conflict => {
            failed.with_hint("try again when it is; a rule can be disabled at any time")
        }
        ErrorKind::Invalid => failed.with_hint(format!(
            "nothing has changed; `{verb} inspect {application} {}` shows the rule as it is",
            place.rule
        )),
        _ => failed,
    }
}
