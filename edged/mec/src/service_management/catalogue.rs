//! The list of services, written once for as long as nothing changes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use mec_api::Problem;
use mec_api::service_management::ServiceInfo;

use super::offer::{Offer, Viewer, offers};
use crate::Picture;

/// Lists kept ready. Links begin with what a caller reached us by: plain and TLS, by name and by address.
const PAGES: usize = 4;
/// The longest list that is kept ready, in bytes; a box has dozens of services, not thousands.
const PAGE_MAX: usize = 1 << 20;

/// What is offered now, and lists of it that are written already.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    picture: Option<Arc<Picture>>,
    offers: Arc<[Offer]>,
    pages: HashMap<(Arc<str>, Viewer), Page>,
}

/// A list of all services as JSON, and where in it each is.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    json: Bytes,
    places: Arc<[Range<usize>]>,
}

impl Catalogue {
    /// What is offered in a picture.
    pub fn offers(&self, picture: &Arc<Picture>) -> Arc<[Offer]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.turn_to(picture);
        Arc::clone(&known.offers)
    }

    /// What is offered in a picture, and the list of it as somebody sees it; `show` writes one that is not ready.
    ///
    /// # Errors
    /// When a service has no form in JSON.
    pub fn page(
        &self,
        picture: &Arc<Picture>,
        origin: &Arc<str>,
        viewer: &Viewer,
        show: impl Fn(&Offer) -> ServiceInfo,
    ) -> Result<(Arc<[Offer]>, Page), Problem> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.turn_to(picture);
        let key = (Arc::clone(origin), viewer.clone());
        if let Some(page) = known.pages.get(&key) {
            return Ok((Arc::clone(&known.offers), page.clone()));
        }
        let page = Page::of(known.offers.iter().map(show)).map_err(|error| {
            tracing::error!(%error, "a service has no form in JSON");
            Problem::internal("the list could not be written")
        })?;
        if page.json.len() <= PAGE_MAX {
            if known.pages.len() >= PAGES {
                known.pages.clear();
            }
            known.pages.insert(key, page.clone());
        }
        Ok((Arc::clone(&known.offers), page))
    }
}

impl Shelf {
    /// Most new pictures have the same services as the one before; then everything stays.
    fn turn_to(&mut self, picture: &Arc<Picture>) {
        if self
            .picture
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, picture))
        {
            return;
        }
        let offers = offers(picture);
        if *self.offers != *offers {
            self.offers = offers.into();
            self.pages.clear();
        }
        self.picture = Some(Arc::clone(picture));
    }
}

impl Page {
    fn of(services: impl Iterator<Item = ServiceInfo>) -> Result<Self, serde_json::Error> {
        let mut json = vec![b'['];
        let mut places = Vec::new();
        for service in services {
            if !places.is_empty() {
                json.push(b',');
            }
            let start = json.len();
            serde_json::to_writer(&mut json, &service)?;
            places.push(start..json.len());
        }
        json.push(b']');
        Ok(Self {
            json: json.into(),
            places: places.into(),
        })
    }

    /// All of it.
    pub fn whole(self) -> Bytes {
        self.json
    }

    /// The services at the places that are wanted.
    pub fn only(&self, wanted: impl Iterator<Item = bool>) -> Bytes {
        let mut json = vec![b'['];
        let wanted = self.places.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        for (place, _) in wanted {
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend_from_slice(self.json.get(place.clone()).unwrap_or_default());
        }
        json.push(b']');
        json.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceInfo {
        let json = serde_json::json!({"serName": name, "version": "1", "state": "ACTIVE", "serializer": "JSON"});
        serde_json::from_value(json).unwrap()
    }

    fn names(json: &[u8]) -> Vec<String> {
        let list: Vec<ServiceInfo> = serde_json::from_slice(json).unwrap();
        list.into_iter().map(|service| service.ser_name).collect()
    }

    #[test]
    fn any_part_of_a_list_is_a_list() {
        let page = Page::of(["a", "b", "c"].map(service).into_iter()).unwrap();
        for wanted in 0..8_u8 {
            let bit = |at: u8| wanted >> at & 1 == 1;
            let expected = ["a", "b", "c"].into_iter().zip(0..);
            let expected = expected.filter(|(_, at)| bit(*at)).map(|(name, _)| name);
            let json = page.only((0..3).map(bit));
            assert_eq!(names(&json), expected.collect::<Vec<_>>());
        }
        assert_eq!(names(&page.whole()), ["a", "b", "c"]);
        assert_eq!(Page::of([].into_iter()).unwrap().whole(), "[]");
    }

    #[test]
    fn a_list_is_written_once_for_as_long_as_nothing_changes() {
        let catalogue = Catalogue::default();
        let origin: Arc<str> = "http://10.80.0.1".into();
        let written = std::cell::Cell::new(0);
        let mut picture = Picture::default();
        let mut list = |names: &[&str]| {
            let one = |name: &&str| {
                Arc::new(crate::RegisteredService {
                    id: (*name).to_owned(),
                    instance: "one".parse().unwrap(),
                    info: service(name),
                })
            };
            picture.services = names.iter().map(one).collect();
            let picture = Arc::new(picture.clone());
            let show = |offer: &Offer| {
                written.set(written.get() + 1);
                offer.info().clone()
            };
            let (_, page) = catalogue
                .page(&picture, &origin, &Viewer::Here, show)
                .unwrap();
            (super::tests::names(&page.whole()), written.get())
        };
        assert_eq!(list(&["a"]), (vec!["a".to_owned()], 1));
        assert_eq!(list(&["a"]).1, 1);
        assert_eq!(list(&["b"]), (vec!["b".to_owned()], 2));
    }
}
