//! The lists of MEC 010-2, described for filters and selectors from `openapi/mec010-2-*.yaml`.
//!
//! What is left out by default is ETSI's default exclude set, without the members of it that our documents require
//! (`checksum` and `softwareImages` of a package, `_links` of an operation): those are in every answer. What is only
//! there under a condition is required here, because MEC 009 lets nobody leave it out.
//! The descriptors in the parameters of an operation are opaque: the node refuses most of them, and nobody looks for an
//! operation by the page size of a container.

use super::schema::{Attribute, ListSchema, Scalar, Shape};

const TEXT: Shape = Shape::Scalar(Scalar::Text);
const NUMBER: Shape = Shape::Scalar(Scalar::Number);
const BOOLEAN: Shape = Shape::Scalar(Scalar::Boolean);
const TEXTS: Shape = Shape::List(&TEXT);
const OPAQUE_LIST: Shape = Shape::List(&Shape::Opaque);

const fn one_of(names: &'static [&'static str]) -> Shape {
    Shape::Scalar(Scalar::Enumeration(names))
}

const LINK: Shape = Shape::Object(&[Attribute::required("href", TEXT)]);
const CHECKSUM: Shape = Shape::Object(&[
    Attribute::required("algorithm", TEXT),
    Attribute::required("hash", TEXT),
]);
const PROBLEM_DETAILS: Shape = Shape::Object(&[
    Attribute::optional("type", TEXT),
    Attribute::optional("title", TEXT),
    Attribute::required("status", NUMBER),
    Attribute::required("detail", TEXT),
    Attribute::optional("instance", TEXT),
]);
const TIME_STAMP: Shape = Shape::Object(&[
    Attribute::required("seconds", NUMBER),
    Attribute::required("nanoSeconds", NUMBER),
]);

const APP_PKG_SW_IMAGE_INFO: Shape = Shape::Object(&[
    Attribute::required("id", TEXT),
    Attribute::required("name", TEXT),
    Attribute::required("version", TEXT),
    Attribute::required("containerFormat", TEXT),
    Attribute::optional("checksum", CHECKSUM),
    Attribute::optional("size", NUMBER),
]);
const APP_PKG_ARTIFACT_INFO: Shape = Shape::Object(&[
    Attribute::required("artifactPath", TEXT),
    Attribute::required("checksum", CHECKSUM),
]);
const APP_PKG_INFO_LINKS: Shape = Shape::Object(&[
    Attribute::required("self", LINK),
    Attribute::required("appD", LINK),
    Attribute::required("appPkgContent", LINK),
    Attribute::optional("vnfPkgInfo", LINK),
]);

/// `GET /app_packages` and `GET /onboarded_app_packages`.
pub const APP_PACKAGES: ListSchema = ListSchema {
    name: "AppPkgInfo",
    attributes: &[
        Attribute::required("id", TEXT),
        Attribute::required("appDId", TEXT),
        Attribute::optional("appProvider", TEXT),
        Attribute::required("appName", TEXT),
        Attribute::required("appSoftwareVersion", TEXT),
        Attribute::required("appDVersion", TEXT),
        Attribute::required("checksum", CHECKSUM),
        Attribute::optional("signingCertificate", TEXT),
        Attribute::required("softwareImages", Shape::List(&APP_PKG_SW_IMAGE_INFO)),
        Attribute::left_out("additionalArtifacts", Shape::List(&APP_PKG_ARTIFACT_INFO)),
        Attribute::required(
            "onboardingState",
            one_of(&["CREATED", "UPLOADING", "PROCESSING", "ONBOARDED"]),
        ),
        Attribute::required("operationalState", one_of(&["ENABLED", "DISABLED"])),
        Attribute::required("usageState", one_of(&["IN_USE", "NOT_IN_USE"])),
        Attribute::required("mecInfo", TEXTS),
        // What a client made up: its values are compared if they are texts.
        Attribute::optional("userDefinedData", Shape::Map(&TEXT)),
        Attribute::optional("onboardingFailureDetails", PROBLEM_DETAILS),
        Attribute::required("_links", APP_PKG_INFO_LINKS),
    ],
};

const VIM_CONNECTION_INFO: Shape = Shape::Object(&[
    Attribute::required("id", TEXT),
    Attribute::optional("vimId", TEXT),
    Attribute::required("vimType", TEXT),
    Attribute::optional("interfaceInfo", Shape::Map(&TEXT)),
    Attribute::optional("accessInfo", Shape::Map(&TEXT)),
    Attribute::optional("extra", Shape::Map(&TEXT)),
]);
const VIM_CONNECTIONS: Shape = Shape::List(&Shape::Map(&VIM_CONNECTION_INFO));
const CIVIC_ADDRESS_ELEMENTS: Shape = Shape::List(&Shape::Object(&[
    Attribute::required("caType", NUMBER),
    Attribute::required("caValue", TEXT),
]));
const LOCATION_INFORMATION: Shape = Shape::Object(&[
    Attribute::required("countryCode", TEXT),
    Attribute::optional(
        "civicAddress",
        Shape::Object(&[Attribute::required(
            "civicAddressElement",
            CIVIC_ADDRESS_ELEMENTS,
        )]),
    ),
    Attribute::optional(
        "geographicalPosition",
        Shape::Object(&[
            Attribute::required("type", one_of(&["Point"])),
            Attribute::required("coordinates", Shape::List(&NUMBER)),
        ]),
    ),
]);
const MCIO_INFO: Shape = Shape::Object(&[
    Attribute::required("mcioId", TEXT),
    Attribute::required("mcioName", TEXT),
    Attribute::required("mcioNamespace", TEXT),
    Attribute::required("vduId", TEXT),
    Attribute::required("cismId", TEXT),
    Attribute::required("mcioType", TEXT),
    Attribute::required("desiredInstances", NUMBER),
    Attribute::required("availableInstances", NUMBER),
    Attribute::optional("additionalInfo", TEXT),
]);
const INSTANTIATED_APP_STATE: Shape = Shape::Object(&[
    Attribute::required("operationalState", one_of(&["STARTED", "STOPPED"])),
    Attribute::optional("appInstLocation", LOCATION_INFORMATION),
    Attribute::optional("mcioInfo", Shape::List(&MCIO_INFO)),
]);
const COMMUNICATION_INTERFACE: Shape = Shape::Object(&[Attribute::optional(
    "ipAddresses",
    Shape::List(&Shape::Object(&[
        Attribute::required("host", TEXT),
        Attribute::required("port", NUMBER),
    ])),
)]);
const APP_INSTANCE_LINKS: Shape = Shape::Object(&[
    Attribute::required("self", LINK),
    Attribute::left_out("instantiate", LINK),
    Attribute::left_out("terminate", LINK),
    Attribute::left_out("operate", LINK),
    Attribute::optional("configure_platform_for_app", LINK),
]);

/// `GET /app_instances`.
pub const APP_INSTANCES: ListSchema = ListSchema {
    name: "AppInstanceInfo",
    attributes: &[
        Attribute::required("id", TEXT),
        Attribute::optional("appInstanceName", TEXT),
        Attribute::optional("appInstanceDescription", TEXT),
        Attribute::required("appDId", TEXT),
        Attribute::required("appProvider", TEXT),
        Attribute::required("appName", TEXT),
        Attribute::required("appSoftVersion", TEXT),
        Attribute::required("appDVersion", TEXT),
        Attribute::required("appPkgId", TEXT),
        Attribute::left_out("vimConnectionInfo", VIM_CONNECTIONS),
        Attribute::optional("nsInstanceId", TEXT),
        Attribute::optional("vnfInstanceId", TEXT),
        Attribute::required(
            "instantiationState",
            one_of(&["NOT_INSTANTIATED", "INSTANTIATED"]),
        ),
        // Required while the instance is instantiated.
        Attribute::required("instantiatedAppState", INSTANTIATED_APP_STATE),
        Attribute::optional("communicationInterface", COMMUNICATION_INTERFACE),
        Attribute::required("_links", APP_INSTANCE_LINKS),
    ],
};

const GRACE: Shape = one_of(&["FORCEFUL", "GRACEFUL"]);
const MEC_HOST_INFORMATION: Shape = Shape::Object(&[
    Attribute::optional("hostName", TEXT),
    Attribute::required("hostId", Shape::Map(&TEXT)),
]);
const LOCATION_CONSTRAINTS: Shape = Shape::Object(&[
    Attribute::optional("countryCode", TEXT),
    Attribute::optional("civicAddressElement", CIVIC_ADDRESS_ELEMENTS),
    Attribute::optional("area", Shape::Opaque),
]);
/// The members of the three requests that it may be, each required in its own only.
const OPERATION_PARAMS: Shape = Shape::Object(&[
    Attribute::optional("virtualComputeDescriptor", Shape::Opaque),
    Attribute::optional("osContainerDescriptor", OPAQUE_LIST),
    Attribute::optional("virtualStorageDescriptor", OPAQUE_LIST),
    Attribute::required("selectedMECHostInfo", Shape::List(&MEC_HOST_INFORMATION)),
    Attribute::optional("locationConstraints", LOCATION_CONSTRAINTS),
    Attribute::optional("vimConnectionInfo", VIM_CONNECTIONS),
    Attribute::optional("appTermCandsForCoord", Shape::Opaque),
    Attribute::required("changeStateTo", one_of(&["STARTED", "STOPPED"])),
    Attribute::optional("stopType", GRACE),
    Attribute::optional("gracefulStopTimeout", NUMBER),
    Attribute::required("terminationType", GRACE),
    Attribute::optional("gracefulTerminationTimeout", NUMBER),
]);
const CANCEL_MODE: Shape = one_of(&["GRACEFUL", "FORCED"]);

/// `GET /app_lcm_op_occs`.
pub const APP_LCM_OP_OCCS: ListSchema = ListSchema {
    name: "AppLcmOpOcc",
    attributes: &[
        Attribute::required("id", TEXT),
        Attribute::required(
            "operationState",
            one_of(&[
                "STARTING",
                "PROCESSING",
                "COMPLETED",
                "FAILED",
                "FAILED_TEMP",
            ]),
        ),
        Attribute::required("stateEnteredTime", TIME_STAMP),
        Attribute::required("startTime", TIME_STAMP),
        Attribute::required(
            "lcmOperation",
            one_of(&["INSTANTIATE", "OPERATE", "TERMINATE"]),
        ),
        Attribute::left_out("operationParams", OPERATION_PARAMS),
        Attribute::optional("isCancelPending", BOOLEAN),
        // Required while the operation is being cancelled; either spelling.
        Attribute::required(
            "cancelMode",
            Shape::Object(&[
                Attribute::optional("cancelMode", CANCEL_MODE),
                Attribute::optional("CancelMode", CANCEL_MODE),
            ]),
        ),
        // Required of a run that failed.
        Attribute::required("error", PROBLEM_DETAILS),
        Attribute::required(
            "_links",
            Shape::Object(&[
                Attribute::required("self", LINK),
                Attribute::required("appInstance", LINK),
            ]),
        ),
    ],
};
