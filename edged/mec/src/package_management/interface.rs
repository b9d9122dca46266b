//! The generated interface over [`PackageManagement`]: both trees, by package and by descriptor, are one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use mec_api::package_management::{
    self as api, AppD, AppPkgInfo, AppPkgInfoModifications, BASE, ChangeOnboardedPackage,
    ChangeOnboardedPackageAnswer, ChangePackage, ChangePackageAnswer, CreateAppPkg,
    CreateOnboardedPackage, CreateOnboardedPackageAnswer, CreatePackage, CreatePackageAnswer,
    CreateSubscription, CreateSubscriptionAnswer, DeleteOnboardedPackage,
    DeleteOnboardedPackageAnswer, DeletePackage, DeletePackageAnswer, DeleteSubscription,
    DeleteSubscriptionAnswer, DownloadOnboardedPackage, DownloadOnboardedPackageAnswer,
    DownloadPackage, DownloadPackageAnswer, ListOnboardedPackages, ListOnboardedPackagesAnswer,
    ListPackages, ListPackagesAnswer, ListSubscriptions, ListSubscriptionsAnswer, OperationalState,
    ReadOnboardedPackage, ReadOnboardedPackageAnswer, ReadOnboardedPackageDescriptor,
    ReadOnboardedPackageDescriptorAnswer, ReadPackage, ReadPackageAnswer, ReadPackageDescriptor,
    ReadPackageDescriptorAnswer, ReadSubscription, ReadSubscriptionAnswer, UploadOnboardedPackage,
    UploadOnboardedPackageAnswer, UploadPackage, UploadPackageAnswer,
};
use mec_api::{ETag, IfMatch, MediaType, Problem, Selected};
use serde_json::json;

use super::arrival::fits;
use super::range::{self, Part};
use super::record::{Stage, StoredPackage};
use super::shown::{APPD, announced, info, operational};
use super::{Announcement, PackageManagement, fetch, notice};
use crate::query::{self, ListParameters, Row, schemas};
use crate::{Caller, Platform};

/// Longest pause within an upload: a client that is silent for so long holds a place for nothing.
const PAUSE: Duration = Duration::from_secs(30);

type Found = Result<Arc<StoredPackage>, Problem>;

impl<P: Platform> PackageManagement<P> {
    /// A package that the caller may have to do with.
    fn seen(&self, caller: &Caller, id: &str) -> Found {
        caller.orchestrator()?;
        self.find(id)
    }

    fn info(&self, caller: &Caller, package: &StoredPackage) -> AppPkgInfo {
        info(caller, package, self.is_used(package))
    }

    fn list(
        &self,
        caller: &Caller,
        collection: &str,
        asked: &ListParameters,
        shown: impl Fn(&StoredPackage) -> bool,
    ) -> Result<(Option<String>, Vec<Selected<AppPkgInfo>>), Problem> {
        caller.orchestrator()?;
        let packages = self.all();
        let rows = packages
            .iter()
            .filter(|package| shown(package))
            .map(|package| Row {
                id: package.id.to_string(),
                value: json!(self.info(caller, package)),
            });
        let target = caller.href(format_args!("{BASE}/{collection}"));
        let key = &self.mec().marker;
        let page = query::list(&schemas::APP_PACKAGES, asked, rows, &target, key)
            .map_err(|error| Problem::bad_request(error.to_string()))?;
        let body = page.items.into_iter().map(Selected::of).collect();
        Ok((page.link, body))
    }

    fn create(
        &self,
        caller: &Caller,
        collection: &str,
        body: CreateAppPkg,
    ) -> Result<(String, ETag, AppPkgInfo), Problem> {
        caller.orchestrator()?;
        let from = body.app_pkg_path.as_deref().map(fetch::source);
        let from = from.transpose()?;
        let package = self.announce(Announcement {
            checksum: Some(announced(&body.checksum)?),
            name: Some((body.app_pkg_name, body.app_pkg_version)),
            provider: body.app_provider,
            user_data: body.user_defined_data,
        })?;
        if let Some(from) = from {
            tokio::spawn(self.clone().fetch(package.id.clone(), from));
        }
        let location = caller.href(format_args!("{BASE}/{collection}/{}", package.id));
        let body = self.info(caller, &package);
        Ok((location, ETag::of(&body), body))
    }

    fn modify(
        &self,
        caller: &Caller,
        id: &str,
        condition: Option<&IfMatch>,
        body: &AppPkgInfoModifications,
    ) -> Result<(ETag, AppPkgInfoModifications), Problem> {
        let package = self.seen(caller, id)?;
        if let Some(condition) = condition {
            condition.permits(&ETag::of(&self.info(caller, &package)))?;
        }
        let wanted = match (body.operational_state, body.operation_state) {
            (Some(one), Some(other)) if one != other => {
                return Err(Problem::bad_request(
                    "operationalState and operationState are two spellings of one thing and say different things",
                ));
            }
            (Some(state), _) | (None, Some(state)) => state,
            (None, None) => {
                return Err(Problem::bad_request("operationalState: it is missing"));
            }
        };
        let package = self.enable(&package.id, wanted == OperationalState::Enabled)?;
        let reached = AppPkgInfoModifications {
            operational_state: Some(operational(package.enabled)),
            operation_state: None,
        };
        // The tag of the package, so that the next change can be made conditional on it.
        Ok((ETag::of(&self.info(caller, &package)), reached))
    }

    async fn upload(&self, caller: &Caller, id: &str, mut body: Body) -> Result<(), Problem> {
        let package = self.seen(caller, id)?;
        if let Some(size) = body.size_hint().exact() {
            fits(size)?;
        }
        let mut arrival = self.receive(&package.id).await?;
        loop {
            let frame = tokio::time::timeout(PAUSE, body.frame()).await;
            match frame {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        arrival.write(bytes).await?;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => {
                    let broken = Problem::bad_request(
                        "package: the content broke off before its end; send it again",
                    );
                    arrival.give_up(broken.clone());
                    return Err(broken);
                }
            }
        }
        self.accept(arrival).await.map(drop)
    }

    async fn download(
        &self,
        caller: &Caller,
        id: &str,
        asked: Option<&str>,
    ) -> Result<(ETag, Option<String>, Body), Problem> {
        let package = self.seen(caller, id)?;
        package.onboarded()?;
        let path = self.folder().content(&package.id);
        let etag = ETag::of(&package.checksum);
        let part = Part::asked(asked, package.size)?;
        let whole = Part {
            first: 0,
            last: package.size.saturating_sub(1),
        };
        let body = range::body(&path, part.unwrap_or(whole)).await?;
        let content_range =
            part.map(|part| format!("bytes {}-{}/{}", part.first, part.last, package.size));
        Ok((etag, content_range, body))
    }

    async fn descriptor(
        &self,
        caller: &Caller,
        id: &str,
        accept: MediaType,
        asked: &ListParameters,
    ) -> Result<Descriptor, Problem> {
        let package = self.seen(caller, id)?;
        let content = package.onboarded()?;
        let folder = self.folder();
        let path = match accept {
            MediaType::Text => folder.descriptor(&package.id),
            MediaType::Zip => folder.definitions(&package.id),
            MediaType::Json => {
                let row = Row {
                    id: package.id.to_string(),
                    value: json!(content.descriptor),
                };
                let page = query::list(&APPD, asked, [row], "", &self.mec().marker)
                    .map_err(|error| Problem::bad_request(error.to_string()))?;
                let found = page.items.into_iter().next().ok_or_else(|| {
                    Problem::not_found(format!(
                        "the descriptor of package {id} does not match the filter"
                    ))
                })?;
                return Ok(Descriptor::Json(ETag::of(&found), Selected::of(found)));
            }
        };
        let metadata = tokio::fs::metadata(&path).await;
        let size = metadata.map_err(|error| super::folder::disk(&error))?.len();
        let whole = Part {
            first: 0,
            last: size.saturating_sub(1),
        };
        let etag = ETag::of(&(&package.checksum, accept.as_str()));
        let body = range::body(&path, whole).await?;
        Ok(match accept {
            MediaType::Zip => Descriptor::Zip(etag, body),
            _ => Descriptor::Text(etag, body),
        })
    }
}

/// A descriptor in one of its forms.
enum Descriptor {
    Text(ETag, Body),
    Zip(ETag, Body),
    Json(ETag, Selected<AppD>),
}

impl<P: Platform> api::PackageManagement for PackageManagement<P> {
    type Caller = Caller;

    async fn list_packages(
        &self,
        caller: Caller,
        request: ListPackages,
    ) -> Result<ListPackagesAnswer, Problem> {
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            nextpage_opaque_marker: request.nextpage_opaque_marker,
            ..ListParameters::default()
        };
        let (link, body) = self.list(&caller, "app_packages", &asked, |_| true)?;
        Ok(ListPackagesAnswer::Ok { link, body })
    }

    async fn create_package(
        &self,
        caller: Caller,
        request: CreatePackage,
    ) -> Result<CreatePackageAnswer, Problem> {
        let (location, etag, body) = self.create(&caller, "app_packages", request.body)?;
        Ok(CreatePackageAnswer::Created {
            location,
            etag,
            body,
        })
    }

    async fn read_package(
        &self,
        caller: Caller,
        request: ReadPackage,
    ) -> Result<ReadPackageAnswer, Problem> {
        let package = self.seen(&caller, &request.app_pkg_id)?;
        let body = self.info(&caller, &package);
        Ok(ReadPackageAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn change_package(
        &self,
        caller: Caller,
        request: ChangePackage,
    ) -> Result<ChangePackageAnswer, Problem> {
        let (etag, body) = self.modify(
            &caller,
            &request.app_pkg_id,
            request.if_match.as_ref(),
            &request.body,
        )?;
        Ok(ChangePackageAnswer::Ok { etag, body })
    }

    async fn delete_package(
        &self,
        caller: Caller,
        request: DeletePackage,
    ) -> Result<DeletePackageAnswer, Problem> {
        let package = self.seen(&caller, &request.app_pkg_id)?;
        self.delete(&package.id).await?;
        Ok(DeletePackageAnswer::NoContent)
    }

    async fn read_package_descriptor(
        &self,
        caller: Caller,
        request: ReadPackageDescriptor,
    ) -> Result<ReadPackageDescriptorAnswer, Problem> {
        type Answer = ReadPackageDescriptorAnswer;
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            ..ListParameters::default()
        };
        let found = self
            .descriptor(&caller, &request.app_pkg_id, request.accept, &asked)
            .await?;
        Ok(match found {
            Descriptor::Text(etag, body) => Answer::OkText { etag, body },
            Descriptor::Zip(etag, body) => Answer::OkZip { etag, body },
            Descriptor::Json(etag, body) => Answer::OkJson { etag, body },
        })
    }

    async fn download_package(
        &self,
        caller: Caller,
        request: DownloadPackage,
    ) -> Result<DownloadPackageAnswer, Problem> {
        let (etag, part, body) = self
            .download(&caller, &request.app_pkg_id, request.range.as_deref())
            .await?;
        Ok(match part {
            Some(content_range) => DownloadPackageAnswer::PartialContent {
                etag,
                content_range,
                body,
            },
            None => DownloadPackageAnswer::Ok { etag, body },
        })
    }

    async fn upload_package(
        &self,
        caller: Caller,
        request: UploadPackage,
    ) -> Result<UploadPackageAnswer, Problem> {
        self.upload(&caller, &request.app_pkg_id, request.body)
            .await?;
        Ok(UploadPackageAnswer::Accepted)
    }

    async fn list_onboarded_packages(
        &self,
        caller: Caller,
        request: ListOnboardedPackages,
    ) -> Result<ListOnboardedPackagesAnswer, Problem> {
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            nextpage_opaque_marker: request.nextpage_opaque_marker,
            ..ListParameters::default()
        };
        let (link, body) = self.list(&caller, "onboarded_app_packages", &asked, |package| {
            package.stage == Stage::Onboarded
        })?;
        Ok(ListOnboardedPackagesAnswer::Ok { link, body })
    }

    async fn create_onboarded_package(
        &self,
        caller: Caller,
        request: CreateOnboardedPackage,
    ) -> Result<CreateOnboardedPackageAnswer, Problem> {
        let (location, etag, body) =
            self.create(&caller, "onboarded_app_packages", request.body)?;
        Ok(CreateOnboardedPackageAnswer::Created {
            location,
            etag,
            body,
        })
    }

    async fn read_onboarded_package(
        &self,
        caller: Caller,
        request: ReadOnboardedPackage,
    ) -> Result<ReadOnboardedPackageAnswer, Problem> {
        let package = self.seen(&caller, &request.appd_id)?;
        let body = self.info(&caller, &package);
        Ok(ReadOnboardedPackageAnswer::Ok {
            etag: ETag::of(&body),
            body,
        })
    }

    async fn change_onboarded_package(
        &self,
        caller: Caller,
        request: ChangeOnboardedPackage,
    ) -> Result<ChangeOnboardedPackageAnswer, Problem> {
        let (etag, body) = self.modify(
            &caller,
            &request.appd_id,
            request.if_match.as_ref(),
            &request.body,
        )?;
        Ok(ChangeOnboardedPackageAnswer::Ok { etag, body })
    }

    async fn delete_onboarded_package(
        &self,
        caller: Caller,
        request: DeleteOnboardedPackage,
    ) -> Result<DeleteOnboardedPackageAnswer, Problem> {
        let package = self.seen(&caller, &request.appd_id)?;
        self.delete(&package.id).await?;
        Ok(DeleteOnboardedPackageAnswer::NoContent)
    }

    async fn read_onboarded_package_descriptor(
        &self,
        caller: Caller,
        request: ReadOnboardedPackageDescriptor,
    ) -> Result<ReadOnboardedPackageDescriptorAnswer, Problem> {
        type Answer = ReadOnboardedPackageDescriptorAnswer;
        let asked = ListParameters {
            filter: request.filter,
            all_fields: request.all_fields,
            fields: request.fields,
            exclude_fields: request.exclude_fields,
            exclude_default: request.exclude_default,
            ..ListParameters::default()
        };
        let found = self
            .descriptor(&caller, &request.appd_id, request.accept, &asked)
            .await?;
        Ok(match found {
            Descriptor::Text(etag, body) => Answer::OkText { etag, body },
            Descriptor::Zip(etag, body) => Answer::OkZip { etag, body },
            Descriptor::Json(etag, body) => Answer::OkJson { etag, body },
        })
    }

    async fn download_onboarded_package(
        &self,
        caller: Caller,
        request: DownloadOnboardedPackage,
    ) -> Result<DownloadOnboardedPackageAnswer, Problem> {
        let (etag, part, body) = self
            .download(&caller, &request.appd_id, request.range.as_deref())
            .await?;
        Ok(match part {
            Some(content_range) => DownloadOnboardedPackageAnswer::PartialContent {
                etag,
                content_range,
                body,
            },
            None => DownloadOnboardedPackageAnswer::Ok { etag, body },
        })
    }

    async fn upload_onboarded_package(
        &self,
        caller: Caller,
        request: UploadOnboardedPackage,
    ) -> Result<UploadOnboardedPackageAnswer, Problem> {
        self.upload(&caller, &request.appd_id, request.body).await?;
        Ok(UploadOnboardedPackageAnswer::Accepted)
    }

    async fn list_subscriptions(
        &self,
        caller: Caller,
        _: ListSubscriptions,
    ) -> Result<ListSubscriptionsAnswer, Problem> {
        caller.orchestrator()?;
        Ok(ListSubscriptionsAnswer::Ok {
            body: self.links(&caller),
        })
    }

    async fn create_subscription(
        &self,
        caller: Caller,
        request: CreateSubscription,
    ) -> Result<CreateSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        let body = self.subscribe(&caller, &request.body)?;
        Ok(CreateSubscriptionAnswer::Created {
            location: body.links.itself.href.clone(),
            body,
        })
    }

    async fn read_subscription(
        &self,
        caller: Caller,
        request: ReadSubscription,
    ) -> Result<ReadSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        let found = self
            .mec()
            .subscription(BASE, None, &request.subscription_id)?;
        let body = notice::subscription_info(&found)?;
        Ok(ReadSubscriptionAnswer::Ok { body })
    }

    async fn delete_subscription(
        &self,
        caller: Caller,
        request: DeleteSubscription,
    ) -> Result<DeleteSubscriptionAnswer, Problem> {
        caller.orchestrator()?;
        self.mec()
            .unsubscribe(BASE, None, &request.subscription_id)?;
        Ok(DeleteSubscriptionAnswer::NoContent)
    }
}
