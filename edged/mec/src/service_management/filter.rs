//! Which services a query is about.

use mec_api::Problem;
use mec_api::service_management::{ListInstanceServices, ListServices, LocalityType};

use super::offer::{Offer, Viewer};

/// The query of both lists of services; what is not given is not looked at.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    ids: Option<Vec<String>>,
    names: Option<Vec<String>>,
    category: Option<String>,
    scope: Option<LocalityType>,
    consumed_local_only: Option<bool>,
    is_local: Option<bool>,
}

impl Filter {
    /// Whether it takes everything.
    pub fn is_open(&self) -> bool {
        self.ids.is_none()
            && self.names.is_none()
            && self.category.is_none()
            && self.scope.is_none()
            && self.consumed_local_only.is_none()
            && self.is_local.is_none()
    }

    pub fn takes(&self, offer: &Offer, viewer: &Viewer) -> bool {
        let info = offer.info();
        let category = info.ser_category.as_ref();
        one_of(self.ids.as_ref(), &offer.service.id)
            && one_of(self.names.as_ref(), &info.ser_name)
            && holds(self.category.as_deref(), category.map(|it| it.id.as_str()))
            && holds(self.scope, info.scope_of_locality)
            && holds(self.consumed_local_only, info.consumed_local_only)
            && self
                .is_local
                .is_none_or(|local| offer.is_local(viewer) == local)
    }

    /// At most one way of naming services (MEC 011, 8.2.3).
    fn checked(self) -> Result<Self, Problem> {
        let given = [
            self.ids.is_some(),
            self.names.is_some(),
            self.category.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err(Problem::bad_request(
                "give at most one of ser_instance_id, ser_name and ser_category_id",
            ));
        }
        Ok(self)
    }
}

fn holds<T: PartialEq + Copy>(wanted: Option<T>, given: Option<T>) -> bool {
    wanted.is_none() || wanted == given
}

fn one_of(wanted: Option<&Vec<String>>, given: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == given))
}

impl TryFrom<ListServices> for Filter {
    type Error = Problem;
    fn try_from(query: ListServices) -> Result<Self, Problem> {
        Self {
            ids: query.ser_instance_id,
            names: query.ser_name,
            category: query.ser_category_id,
            scope: query.scope_of_locality,
            consumed_local_only: query.consumed_local_only,
            is_local: query.is_local,
        }
        .checked()
    }
}

impl TryFrom<ListInstanceServices> for Filter {
    type Error = Problem;
    fn try_from(query: ListInstanceServices) -> Result<Self, Problem> {
        Self {
            ids: query.ser_instance_id,
            names: query.ser_name,
            category: query.ser_category_id,
            scope: query.scope_of_locality,
            consumed_local_only: query.consumed_local_only,
            is_local: query.is_local,
        }
        .checked()
    }
}
