//! The line to the broker: edged-mqtt keeps it up, this tells the reconciler.

use std::time::Duration;

use edged_mqtt::{BrokerClient, ConnectionState, Username};
use edged_protocol::Secret;

use crate::reconcile::{Mailbox, Message};

/// Pause before a broker that is connected and did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Tells the reconciler when the broker answers, with what is there, and when it does not.
pub async fn watch(broker: BrokerClient, operator: (Username, Secret), mailbox: Mailbox) {
    let mut state = broker.state();
    loop {
        let now = state.borrow_and_update().clone();
        let connected = matches!(now, ConnectionState::Connected { .. });
        let message = match now {
            ConnectionState::Disconnected { reason, .. } => Message::BrokerDown(reason.to_string()),
            ConnectionState::Connected { .. } => {
                let accounts = async {
                    broker.bootstrap().await?;
                    broker.apply_operator(&operator.0, &operator.1).await?;
                    broker.observe_accounts().await
                };
                match accounts.await {
                    Ok(accounts) => Message::BrokerUp(accounts),
                    Err(error) => Message::BrokerDown(error.to_string()),
                }
            }
        };
        // What a connected broker did not answer is asked again: its connection may well stay as it is.
        let again = matches!(&message, Message::BrokerDown(_)) && connected;
        if mailbox.send(message).await.is_err() {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if again => {}
        }
    }
}
