//! `rule` and `dns`.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::deed::Deed;
use super::{Answer, ExitStatus, Stop, not_here};
use crate::{ErrorKind, Platform, PlatformError, RuleKind, RuleVerb, render};

/// The longest rule that is read, in bytes: as much as the interfaces take over HTTP.
const RULE_MAX: u64 = 64 << 10;

impl<O, E> Answer<O, E>
where
    O: AsyncWrite + Send + Unpin,
    E: AsyncWrite + Send + Unpin,
{
    pub(super) async fn rule<P: Platform, I: AsyncRead + Send + Unpin>(
        &mut self,
        platform: &P,
        kind: RuleKind,
        verb: RuleVerb,
        input: I,
    ) -> Result<ExitStatus, Stop> {
        let switch = |active| move |place| Deed::Switch { place, active };
        let word = match kind {
            RuleKind::Traffic => "rule",
            RuleKind::Dns => "dns",
        };
        if let Some(file) = verb.input_file() {
            return Err(not_here(&format!("{word} set APP RULE"), file));
        }
        if let RuleVerb::Set { one, .. } = verb {
            let place = one.place(kind);
            let text = read(input).await?;
            let kept = platform.replace_rule(&place, &text).await?;
            self.show(&kept, |_| format!("{}\n", place.rule)).await?;
            return Ok(ExitStatus::OK);
        }
        // A client that sends input nobody reads must not wait for it to be read.
        drop(input);
        match verb {
            RuleVerb::Ls { application } => {
                let application = application.as_deref();
                match kind {
                    RuleKind::Traffic => {
                        let list = platform.traffic_rules(application).await?;
                        self.show(&list, |look| render::traffic_rules(&list, look))
                            .await?;
                    }
                    RuleKind::Dns => {
                        let list = platform.dns_rules(application).await?;
                        self.show(&list, |look| render::dns_rules(&list, look))
                            .await?;
                    }
                }
            }
            RuleVerb::Inspect(one) => {
                let rule = platform.rule(&one.place(kind)).await?;
                self.print(&render::json(&rule)).await?;
            }
            RuleVerb::Enable(some) => {
                let deeds = some.places(kind).map(switch(true)).collect();
                return self.each(platform, "enabled", deeds).await;
            }
            RuleVerb::Disable(some) => {
                let deeds = some.places(kind).map(switch(false)).collect();
                return self.each(platform, "disabled", deeds).await;
            }
            // It reads input, and was done before.
            RuleVerb::Set { .. } => {}
        }
        Ok(ExitStatus::OK)
    }
}

/// The whole input.
async fn read(input: impl AsyncRead + Send + Unpin) -> Result<Vec<u8>, Stop> {
    let mut text = Vec::new();
    // One byte more than is taken shows that there is more.
    let mut input = input.take(RULE_MAX.saturating_add(1));
    let length = input.read_to_end(&mut text).await?;
    if u64::try_from(length).is_ok_and(|length| length <= RULE_MAX) {
        return Ok(text);
    }
    let message = format!("the rule is longer than {RULE_MAX} bytes");
    Err(PlatformError::new(ErrorKind::Invalid, message)
        .with_hint("send one rule, as inspect shows it")
        .into())
}
