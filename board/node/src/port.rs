//! Ports on loopback that nobody has.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use anyhow::{Context, bail};

/// Ports below the kernel's range for outgoing connections (32768 and up), so that none of those takes ours.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Tries before giving up: with half of everything taken, one in 2^64 fails.
const TRIES: u32 = 64;

/// A port on loopback that is free now, for TCP and UDP. It stays ours as long as `held` lives, so that several ports
/// found with the same list are different ones.
///
/// # Errors
/// Almost everything is taken.
pub fn free_port(held: &mut Vec<(TcpListener, UdpSocket)>) -> anyhow::Result<u16> {
    for _ in 0..TRIES {
        let [high, low] = random()?;
        let port = PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(address), UdpSocket::bind(address)) {
            held.push((tcp, udp));
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 after {TRIES} tries")
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
        let mut held = Vec::new();
        let (one, two) = (free_port(&mut held).unwrap(), free_port(&mut held).unwrap());
        assert_ne!(one, two);
        drop(held);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
    }
}
