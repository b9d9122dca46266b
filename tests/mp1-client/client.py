"""EdgeGallery's client of Mp1, used as an application uses it.

It runs in the network of the instance MEC_APP_INSTANCE_ID, which has the address MEC_ADDRESS and the token MEC_TOKEN;
MEC_HOST is the node. The client is taken as it was published; this program only calls it. It prints one line a step and
ends with 0 when all of them did what they should.
"""

import http.server
import json
import os
import queue
import socketserver
import threading

import edgegallery_sdk_mep as sdk

INSTANCE = os.environ["MEC_APP_INSTANCE_ID"]
PATIENCE_S = 20


def client(token):
    """The client with a token, as its own constructor takes it."""
    configuration = sdk.Configuration()
    configuration.host = os.environ["MEC_HOST"]
    return sdk.ApiClient(configuration, "Authorization", f"Bearer {token}")


class Callback(http.server.BaseHTTPRequestHandler):
    """Takes notifications and answers 204."""

    heard = queue.Queue()

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        Callback.heard.put(self.rfile.read(length))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Does not ask for the name of its own address, which costs seconds where nobody has one."""

    server_bind = socketserver.TCPServer.server_bind


class Answer:
    """What the client's own reader of answers wants."""

    def __init__(self, data):
        self.data = data


def service(version):
    transport = sdk.TransportInfo(
        id="rest",
        name="REST",
        type="REST_HTTP",
        protocol="HTTP",
        version="1.1",
        endpoint={"uris": ["http://192.0.2.20:8080/"]},
        security=sdk.SecurityInfo(),
    )
    return sdk.ServiceInfoPost(
        ser_name="Barometer",
        ser_category=sdk.CategoryRef(href="/catalogue", id="weather", name="Weather", version="1.0.0"),
        version=version,
        state="ACTIVE",
        transport_info=transport,
        serializer="JSON",
        scope_of_locality="MEC_HOST",
        consumed_local_only=False,
        is_local=True,
    )


def refused(status, call, *arguments):
    """The call fails with this status, and the client can read why."""
    try:
        call(*arguments)
    except sdk.rest.ApiException as error:
        assert error.status == status, error
        assert json.loads(error.body)["status"] == status, error.body
    else:
        raise AssertionError(f"{call} was not refused")


def main():
    api = client(os.environ["MEC_TOKEN"])
    own = sdk.AppServicesApi(api)
    subscriptions = sdk.AppSubscriptionsApi(api)
    everybody = sdk.ServicesApi(api)

    address = os.environ["MEC_ADDRESS"]
    server = Server((address, 0), Callback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    callback = f"http://{address}:{server.server_address[1]}/heard"

    def heard(change):
        """The next notification, read by the client's own model."""
        data = Callback.heard.get(timeout=PATIENCE_S)
        notification = api.deserialize(Answer(data), "ServiceAvailabilityNotification")
        [reference] = notification.service_references
        assert reference.change_type == change, data
        assert reference.ser_name == "Barometer", data
        assert notification.links.subscription.href, data
        print(f"heard {change}")
        return reference

    wanted = sdk.SerAvailabilityNotificationSubscription(
        subscription_type="SerAvailabilityNotificationSubscription",
        callback_reference=callback,
        # The model cannot be made without; the node gives its own.
        links=sdk.ModelSelf(_self=sdk.LinkType(href="http://127.0.0.1/")),
        filtering_criteria=sdk.SerAvailabilityNotificationSubscriptionFilteringCriteria(
            ser_names=["Barometer"]
        ),
    )
    made, status, headers = subscriptions.applications_subscriptions_post_with_http_info(wanted, INSTANCE)
    assert status == 201 and headers["Location"], headers
    assert made.callback_reference == callback, made
    subscription = headers["Location"].rsplit("/", 1)[1]
    print("subscribed")

    registered, status, headers = own.app_services_post_with_http_info(service("1.0.0"), INSTANCE)
    assert status == 201, status
    key = registered.ser_instance_id
    assert headers["Location"].endswith(key), headers
    print("registered")
    assert heard("ADDED").ser_instance_id == key

    assert [it.ser_instance_id for it in own.app_services_get(INSTANCE)] == [key]
    assert own.app_services_service_id_get(INSTANCE, key).ser_name == "Barometer"
    assert everybody.services_service_id_get(key).ser_category.id == "weather"
    for query in (
        {"ser_name": "Barometer"},
        {"ser_instance_id": [key, "another"]},
        {"ser_category_id": "weather"},
        {"scope_of_locality": "MEC_HOST"},
    ):
        assert key in [it.ser_instance_id for it in everybody.services_get(**query)], query
    assert everybody.services_get(ser_name="Nobody's") == []
    print("found")

    changed = own.app_services_service_id_put(service("1.0.1"), INSTANCE, key)
    assert changed.version == "1.0.1", changed
    heard("ATTRIBUTES_CHANGED")

    links = subscriptions.applications_subscriptions_get(INSTANCE).links
    [link] = links.subscriptions
    assert link.href.endswith(subscription) and link.rel, link
    read = subscriptions.applications_subscription_get(INSTANCE, subscription)
    assert read.filtering_criteria.ser_names == ["Barometer"], read
    print("subscription read")

    # The client sends a body with DELETE.
    own.app_services_service_id_delete(INSTANCE, key)
    heard("REMOVED")
    refused(404, own.app_services_service_id_get, INSTANCE, key)
    subscriptions.applications_subscription_delete(INSTANCE, subscription)
    refused(404, subscriptions.applications_subscription_get, INSTANCE, subscription)
    print("gone")

    refused(401, sdk.AppServicesApi(client("forged")).app_services_get, INSTANCE)
    refused(403, own.app_services_get, os.environ["MEC_OTHER_INSTANCE_ID"])
    print("refused")


if __name__ == "__main__":
    main()
