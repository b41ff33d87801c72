//! Under which word each answer of a hook is counted: its place in `tally::verdict_names`.

use super::tally::{Verdict, Verdicts};
use crate::hook::{
    AuthenticateVerdict, Authorization, AuthorizationVerdict, ConnectVerdict, NotConsumedOutcome,
    PublishVerdict, SubscribeVerdict, UnsubscribeVerdict,
};

impl Verdict for ConnectVerdict {
    fn count(&self, verdicts: &Verdicts) {
        verdicts.add(match self {
            ConnectVerdict::Next => 0,
            ConnectVerdict::Allow => 1,
            ConnectVerdict::Deny(_) => 2,
        });
    }
}

impl Verdict for AuthenticateVerdict {
    fn count(&self, verdicts: &Verdicts) {
        verdicts.add(match self {
            AuthenticateVerdict::Next => 0,
            AuthenticateVerdict::Allow(_) => 1,
            AuthenticateVerdict::Deny(_) => 2,
            AuthenticateVerdict::Challenge(_) => 3,
        });
    }
}

impl Verdict for Authorization {
    #[inline]
    fn count(&self, verdicts: &Verdicts) {
        verdicts.add(match self.verdict {
            AuthorizationVerdict::Next => 0,
            AuthorizationVerdict::Allow => 1,
            AuthorizationVerdict::Deny(_) => 2,
        });
    }
}

impl Verdict for PublishVerdict {
    #[inline]
    fn count(&self, verdicts: &Verdicts) {
        verdicts.add(match self {
            PublishVerdict::Continue => 0,
            PublishVerdict::Modify(_) => 1,
            PublishVerdict::Swallow => 2,
            PublishVerdict::Reject(_) => 3,
        });
    }
}

impl Verdict for Vec<SubscribeVerdict> {
    fn count(&self, verdicts: &Verdicts) {
        for verdict in self {
            verdicts.add(match verdict {
                SubscribeVerdict::Next => 0,
                SubscribeVerdict::Grant { .. } => 1,
                SubscribeVerdict::GrantWithoutRouting => 2,
                SubscribeVerdict::Deny(_) => 3,
            });
        }
    }
}

impl Verdict for Vec<UnsubscribeVerdict> {
    fn count(&self, verdicts: &Verdicts) {
        for verdict in self {
            verdicts.add(match verdict {
                UnsubscribeVerdict::Next => 0,
                UnsubscribeVerdict::Keep => 1,
                UnsubscribeVerdict::Deny(_) => 2,
            });
        }
    }
}

impl Verdict for NotConsumedOutcome {
    fn count(&self, verdicts: &Verdicts) {
        verdicts.add(match self {
            NotConsumedOutcome::Observe => 0,
            NotConsumedOutcome::Redirect(_) => 1,
            NotConsumedOutcome::Answer(_) => 2,
        });
    }
}

/// Events are observed; nothing is answered.
impl Verdict for () {
    fn count(&self, _verdicts: &Verdicts) {}
}
