"""What schemathesis cannot read from our documents, because it is prose there.

No check is switched off. Two things happen here instead:

- A case that is meant to be good is given the parts that prose asks for: names of things that exist, one of two
  members, addresses that are addresses. Requests of the node (callbacks, downloads) are kept on loopback.
- A failure is dropped only where a reason holds for that very case: `is_null_alone`, `is_nowhere`.

MEC_INSTANCE, MEC_HOSTED_INSTANCE, MEC_TRAFFIC_RULE and MEC_DNS_RULE name what the node has.
"""

import os

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation as Location
from schemathesis.openapi.checks import EnsureResourceAvailability

# Nobody listens on the discard port of loopback.
NOBODY = "http://127.0.0.1:9/heard"
# 2100-01-01, as far away as 32 bits reach comfortably.
LATER = {"seconds": 4102444800, "nanoSeconds": 0}

EXISTING = {
    "appInstanceId": os.environ.get("MEC_INSTANCE"),
    "trafficRuleId": os.environ.get("MEC_TRAFFIC_RULE"),
    "dnsRuleId": os.environ.get("MEC_DNS_RULE"),
}

# Only what runs here has a link to hold bandwidth on.
HOSTED = os.environ.get("MEC_HOSTED_INSTANCE")

# Optional structured attributes, which alone can be selected (MEC 009), of what the operation lists.
SELECTABLE = {
    "/app_packages": "userDefinedData",
    "/onboarded_app_packages": "userDefinedData",
    "/app_instances": "communicationInterface",
    "/app_lcm_op_occs": "operationParams",
}
DESCRIPTOR_ATTRIBUTE = "appServiceRequired"
FILTERS = {
    "/app_packages": "(eq,onboardingState,CREATED)",
    "/onboarded_app_packages": "(eq,onboardingState,ONBOARDED)",
    "/app_instances": "(eq,instantiationState,INSTANTIATED)",
    "/app_lcm_op_occs": "(eq,operationState,COMPLETED)",
}
DESCRIPTOR_FILTER = "(eq,appName,anything)"
SELECTORS = ("all_fields", "fields", "exclude_fields", "exclude_default")
SERVICE_QUERIES = ("ser_instance_id", "ser_name", "ser_category_id")


def existing_names(path, values):
    """Names of MEC 011 that the node has; those of MEC 010-2 come from earlier answers."""
    if path.startswith("/applications/"):
        for name in values:
            if EXISTING.get(name):
                values[name] = EXISTING[name]


def readable_query(path, query):
    """Selectors exclude each other, filters have a grammar, markers come from the page before."""
    query.pop("nextpage_opaque_marker", None)
    if "filter" in query:
        query["filter"] = FILTERS.get(path, DESCRIPTOR_FILTER)
    for name in ("fields", "exclude_fields"):
        if name in query:
            query[name] = SELECTABLE.get(path, DESCRIPTOR_ATTRIBUTE)
    for name in ("all_fields", "exclude_default"):
        if name in query:
            query[name] = ""
    for group in (SELECTORS, SERVICE_QUERIES, ("subscriptionType", "subscriptiontype")):
        given = [name for name in group if name in query]
        for name in given[1:]:
            del query[name]


def on_loopback(body):
    """The node calls and downloads; where to is not left to chance."""
    for name in ("callbackReference", "callbackUri", "appPkgPath"):
        if isinstance(body.get(name), str):
            body[name] = NOBODY
    if "expiryDeadline" in body:
        body["expiryDeadline"] = dict(LATER)


def service(body):
    """Exactly one of transportInfo and transportId; its liveness is a resource only where there are heartbeats."""
    body.setdefault("livenessInterval", 60)
    if "transportInfo" in body:
        body.pop("transportId", None)
    else:
        body["transportId"] = "mqtt"


def filtering_criteria(body):
    """At most one way to name services."""
    criteria = body.get("filteringCriteria", {})
    given = [it for it in ("serInstanceIds", "serNames", "serCategories") if it in criteria]
    for name in given[1:]:
        del criteria[name]


def termination(body):
    """Only one's own end can be heard of."""
    body["appInstanceId"] = EXISTING["appInstanceId"]


def registration(body):
    """An application from elsewhere says where it is; one of the node's has a descriptor and is known."""
    for name in ("isInsByMec", "appDId", "appInstanceId"):
        body.pop(name, None)
    body["endpoint"] = {"uris": ["http://192.0.2.30/"]}


ADDRESSES = ("srcAddress", "dstAddress", "srcTunnelAddress", "tgtTunnelAddress")
PORTS = ("srcPort", "dstPort", "srcTunnelPort", "dstTunnelPort")
# Interfaces that an action needs.
INTERFACES = {"DROP": 0, "DUPLICATE_DECAPSULATED": 2, "DUPLICATE_ENCAPSULATED": 2}


def traffic_rule(body):
    """Addresses, ports and protocols are texts with a grammar, and the action says how many interfaces there are."""
    for entry in body["trafficFilter"]:
        for name in ADDRESSES:
            if name in entry:
                entry[name] = ["192.0.2.0/24", "198.51.100.1-198.51.100.9"]
        for name in PORTS:
            if name in entry:
                entry[name] = ["80", "8000-8010"]
        if "protocol" in entry:
            entry["protocol"] = ["tcp", "17"]
    count = INTERFACES.get(body["action"], 1)
    interface = {"interfaceType": "IP", "dstIpAddress": "192.0.2.40"}
    body["dstInterface"] = [interface] * count if count != 1 else interface
    if count == 0:
        del body["dstInterface"]


def dns_rule(body):
    """A name and an address of the type."""
    body["domainName"] = "cdn.example.org"
    body["ipAddress"] = "192.0.2.50" if body["ipAddressType"] == "IP_V4" else "2001:db8::50"


def allocation(body):
    """An application of the node's, a session where one is meant, a rate that a link can hold and has left."""
    body["appInsId"] = HOSTED
    if "fixedAllocation" in body:
        body["fixedAllocation"] = "10000"
    if body["requestType"] == 1 or "sessionFilter" in body:
        body["sessionFilter"] = [{"sourceIp": "192.0.2.17", "dstPort": "8554", "protocol": "6"}]


def package(body):
    """A checksum is hexadecimal and as long as its algorithm says."""
    body["checksum"] = {"algorithm": "SHA-256", "hash": "9f" * 32}


def operation(body):
    """How to stop makes sense only for stopping, and grace needs its time."""
    if body["changeStateTo"] == "STARTED":
        body.pop("stopType", None)
        body.pop("gracefulStopTimeout", None)
    elif body.get("stopType") == "GRACEFUL":
        body["gracefulStopTimeout"] = 1
    else:
        body.pop("gracefulStopTimeout", None)


def end(body):
    """Grace needs its time, and force has none."""
    if body["terminationType"] == "GRACEFUL":
        body["gracefulTerminationTimeout"] = 1
    else:
        body.pop("gracefulTerminationTimeout", None)


# What this node does not do for an instance, each refused by name.
REFUSED_FOR_INSTANCES = (
    "virtualComputeDescriptor",
    "osContainerDescriptor",
    "virtualStorageDescriptor",
    "locationConstraints",
    "vimConnectionInfo",
    "appTermCandsForCoord",
)
REFUSED_FOR_PLATFORM = (
    "appServiceRequired",
    "appServiceProduced",
    "appFeatureRequired",
    "transportDependencies",
    "appTrafficRule",
    "appLatency",
    "userContextTransferCapability",
    "appNetworkPolicy",
)


def instance(body):
    """It can only be on this node, and its name becomes a host name."""
    body.pop("appPlacementInfo", None)
    body.pop("appInstanceDescription", None)
    if "appInstanceName" in body:
        body["appInstanceName"] = "fuzzed"


def instantiation(body):
    """It can only be on this node."""
    for name in REFUSED_FOR_INSTANCES:
        body.pop(name, None)
    body["selectedMECHostInfo"] = [{"hostName": "here", "hostId": {"id": "edge"}}]


def configuration(body):
    """Of all that could be set up, this node sets up rules."""
    for name in REFUSED_FOR_PLATFORM:
        body.pop(name, None)
    for rule in body.get("appDNSRule", []):
        dns_rule(rule)


def instance_filter(body):
    """A selector needs what it selects by."""
    given = body.get("appInstanceSubscriptionFilter")
    nested = body.get("appLcmOpOccSubscriptionFilter", {})
    for it in (given, nested.get("appInstanceSubscriptionFilter")):
        if it is not None:
            it.setdefault("appInstances", [])
            it.setdefault("appsFromProviders", [])


def package_state(body):
    """Two spellings of one member do not contradict each other."""
    if len(body.keys() & {"operationalState", "operationState"}) == 2:
        body["operationState"] = body["operationalState"]


def cancel_mode(body):
    """Two spellings of one member do not contradict each other."""
    if len(body.keys() & {"cancelMode", "CancelMode"}) == 2:
        body["CancelMode"] = body["cancelMode"]


BODIES = {
    "createInstance": instance,
    "instantiateInstance": instantiation,
    "configurePlatformForInstance": configuration,
    "cancelOperation": cancel_mode,
    "changePackage": package_state,
    "changeOnboardedPackage": package_state,
    "createService": service,
    "replaceService": service,
    "createRegistration": registration,
    "replaceRegistration": registration,
    "replaceTrafficRule": traffic_rule,
    "replaceDnsRule": dns_rule,
    "createAllocation": allocation,
    "replaceAllocation": allocation,
    "changeAllocation": allocation,
    "createPackage": package,
    "createOnboardedPackage": package,
    "operateInstance": operation,
    "terminateInstance": end,
}


@schemathesis.serializer("application/zip")
def zip_file(context, value):
    """Bytes as they are: a package of noise is for the node to refuse."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.serializer("application/pkcs10")
def certificate_request(context, value):
    """The same for a request of a certificate."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


def is_good(case, location):
    return case.meta is not None and not case.meta.is_negative_at(location)


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    if is_good(case, Location.PATH) and case.path_parameters:
        existing_names(path, case.path_parameters)
    if is_good(case, Location.QUERY) and case.query:
        readable_query(path, case.query)
    if is_good(case, Location.HEADER) and case.headers:
        if "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
        if "Range" in case.headers:
            case.headers["Range"] = "bytes=0-9"
    if isinstance(case.body, dict):
        on_loopback(case.body)
        if is_good(case, Location.BODY):
            name = case.operation.definition.raw.get("operationId")
            if "/applications/{appInstanceId}/subscriptions" == path:
                filtering_criteria(case.body)
                if "appInstanceId" in case.body:
                    termination(case.body)
            instance_filter(case.body)
            rule = BODIES.get(name)
            if rule:
                rule(case.body)
            if name == "changeAllocation":
                case.body["allocationId"] = case.path_parameters["allocationId"]


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(it) for name, it in value.items() if it is not None}
    if isinstance(value, list):
        return [without_nulls(it) for it in value]
    return value


def is_null_alone(case):
    """Whether the body is good once its members that are null are left out.

    Clients of MEC write null for a member that they leave out, so the node takes it as absent.
    """
    others = [it for it in case.meta.components if it != Location.BODY]
    if any(case.meta.is_negative_at(it) for it in others) or not isinstance(case.body, dict):
        return False
    body = without_nulls(case.body)
    if body == case.body:
        return False
    schema = case.operation.get_body_for_media_type(case.media_type)
    return schema is not None and jsonschema_rs.is_valid(schema.optimized_schema, body)


def is_nowhere(case):
    """Whether a name in the path is empty, so that the path is another one.

    A package has no appDId until its descriptor has been read, and the fuzzer takes the empty one for a name.
    """
    return any(value == "" for value in (case.path_parameters or {}).values())


@schemathesis.hook
def filter_failure(context, failure, case, response):
    is_excused = (
        isinstance(failure, AcceptedNegativeData)
        and is_null_alone(case)
        or isinstance(failure, EnsureResourceAvailability)
        and is_nowhere(case)
    )
    return not is_excused
