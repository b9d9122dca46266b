//! Ports on loopback that nobody has.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, bail};

/// Ports below the kernel's range for outgoing connections (32768 and up), so that none of those takes ours.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Tries before giving up: with half of everything taken, one in 2^64 fails.
const TRIES: u32 = 64;

/// A port on loopback that is free now, for TCP and UDP. It is this process's until it ends, whether somebody listens
/// there or not: a program that is given it listens a second later, and two nodes that start at once must not meet.
///
/// # Errors
/// Almost everything is taken.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..TRIES {
        let [high, low] = random()?;
        let port = PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        if leased(port)? && TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 after {TRIES} tries")
}

/// Two such ports in a row, of which the first is returned: a software TPM has its power switch behind its door.
///
/// # Errors
/// Almost everything is taken.
pub fn free_pair() -> anyhow::Result<u16> {
    for _ in 0..TRIES {
        let port = free_port()?;
        let next = port + 1;
        if leased(next)? && TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row on 127.0.0.1 after {TRIES} tries")
}

/// Takes a port's name for as long as this process lives; false where another has it. Abstract names belong to a
/// network namespace, as ports do, and go with the last file descriptor (unix(7)).
fn leased(port: u16) -> anyhow::Result<bool> {
    let name = SocketAddr::from_abstract_name(format!("umec-port-{port}"))
        .context("cannot name a port")?;
    let Ok(lease) = UnixDatagram::bind_addr(&name) else {
        return Ok(false);
    };
    // Never closed: that is the lease.
    std::mem::forget(lease);
    Ok(true)
}

/// Bytes that nobody can guess.
///
/// # Errors
/// /dev/urandom cannot be read.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_found_together_differ_and_are_free() {
        let (one, two) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(one, two);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
    }

    #[test]
    fn a_port_that_was_given_is_not_given_again() {
        let port = free_port().unwrap();
        assert!(!leased(port).unwrap(), "{port} was given twice");
    }
}
