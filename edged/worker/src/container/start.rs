//! Lets a made container go: its network first, then its program.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use edged_protocol::worker::ContainerNetwork;

use super::network;
use crate::Error;
use crate::place::Place;

/// Sets up the inside of the network and releases the program. For a helper process: it stays in the namespace.
pub fn start(place: &Place, network: &ContainerNetwork) -> Result<(), Error> {
    network::set_up(place, network)?;
    release(place)
}

/// libcontainer's init waits for a connection on a socket of its own. It is named relative to its folder because a
/// socket's path has no more than 107 bytes.
fn release(place: &Place) -> Result<(), Error> {
    let dir = place.runtime().join(place.instance.as_str());
    std::env::set_current_dir(&dir).map_err(Error::path("enter", &dir))?;
    let socket = dir.join(libcontainer::notify_socket::NOTIFY_FILE);
    UnixStream::connect(libcontainer::notify_socket::NOTIFY_FILE)
        .and_then(|mut stream| stream.write_all(b"start container"))
        .map_err(Error::path("release the program through", &socket))
}
