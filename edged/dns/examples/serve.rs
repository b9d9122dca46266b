//! Serves a zone of 1,000 instances on a loopback port, to be measured or looked at with dig.
//!
//! `cargo run --release -p edged-dns --example serve -- 127.0.0.1:5300 [UPSTREAM…]`

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use edged_dns::{DnsConfig, DnsServer, InstanceName, Records};

/// As many names as the comparison with other servers uses.
const INSTANCES: u16 = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments
        .next()
        .ok_or("usage: serve ADDRESS:PORT [UPSTREAM…]")?
        .parse()?;
    let upstreams = arguments
        .map(|text| text.parse())
        .collect::<Result<Vec<_>, _>>()?;
    let server = DnsServer::bind(DnsConfig {
        zone: "edge.mec.internal".to_owned(),
        listen: vec![listen],
        upstreams,
        subnets: vec!["10.88.0.0/16".parse()?],
    })
    .await?;
    let mut records = Records::new().allow_forward([IpAddr::from(Ipv4Addr::LOCALHOST)]);
    for number in 0..INSTANCES {
        let [high, low] = number.to_be_bytes();
        records = records.instance(InstanceName {
            name: format!("app{number}").parse()?,
            addresses: [IpAddr::from([10, 88, high, low])].into(),
        });
    }
    server.directory().publish(records)?;
    println!(
        "{}",
        server
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    );
    server.run(std::future::pending()).await;
    Ok(())
}
